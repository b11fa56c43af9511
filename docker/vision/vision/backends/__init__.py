"""One interface for whatever computes a network: a batch of pixels in, probabilities and embeddings out.

A request names its backend, and nothing falls back to another. MXNet is the reference; the others compute a bundle's
`model.onnx`, and start without MXNet.
"""

import importlib

import strandline_contract as contract
from vision.backends.backend import Backend
from vision.models.bundles import Bundle

__all__ = ["Backend", "load", "start"]


def load(name: str) -> type[Backend]:
    """A backend's class, with its libraries.

    Raises:
        RuntimeError: this environment does not have them.
    """
    try:
        backend: type[Backend] = importlib.import_module(f"vision.backends.{name}").BACKEND
    except ImportError as error:
        raise RuntimeError(f"this environment has no {name}, which the request asks for: {error}") from error
    return backend


def start(bundle: Bundle, runtime: contract.Runtime) -> Backend:
    """A bundle's network, ready to classify.

    Raises:
        contract.BadRequest: the backend has no such precision, or cannot run on such a device.
        contract.BadInput: the bundle has no network for it, or another one than it says.
        RuntimeError: the backend, the device or the precision is not there, or one image does not fit into its memory.
    """
    backend = load(runtime.backend)
    if runtime.device not in backend.devices or runtime.precision not in backend.precisions:
        raise contract.BadRequest(
            f"{runtime.backend} computes in {' or '.join(backend.precisions)} on a {' or '.join(backend.devices)}; the"
            f" request asks for {runtime.precision} on a {runtime.device}"
        )
    started = backend(bundle, runtime)
    started.start()
    return started
