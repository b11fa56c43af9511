"""What may compute a model version: backend, precision and device, once it is proved that they answer as they should.

In f32 a process proves it itself: it answers the bundle's golden images before any other. bf16 rounds to 8 bits, and
whether that is as good only labelled images can say: `check_parity` asks them, and the ledger keeps what they said.
"""

import dataclasses

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError


class UnprovedRuntime(PermanentError):
    """A version may not be computed so; the message says what to trigger."""


def proved(connection: ledger.Connection, runtime: contract.Runtime, *versions: str) -> contract.Runtime:
    """The runtime, once it is known that it may compute these versions.

    Raises:
        UnprovedRuntime: the last comparison of one of them was not passed, or there is none and it is not f32.
    """
    for version in versions:
        found = ledger.fetch(connection, "select_parity", {"version": version, **runtime.to_dict()})
        if not found and runtime.precision != "f32":
            raise UnprovedRuntime(
                f"nobody has shown that model version {version[:12]} answers by {runtime} as it does in f32: trigger"
                f" check_parity with model_version {version[:12]}, or set STRANDLINE_PRECISION=f32"
            )
        if found and found[0]["outcome"] != "pass":
            raise UnprovedRuntime(
                f"model version {version[:12]} may not be computed by {runtime}: {found[0]['sentence']}"
                f" (check_parity, {found[0]['recorded_at']:%Y-%m-%d %H:%M} UTC). Set another STRANDLINE_PRECISION or"
                f" STRANDLINE_BACKEND, or trigger check_parity with model_version {version[:12]} again"
            )
    return runtime


def reference(vision: settings.Vision, has_weights: bool) -> contract.Runtime:
    """What all others are compared with: GluonCV's own library; without it or its weights, ONNX Runtime, on a CPU."""
    there = vision.device == "cpu" or vision.backend == "mxnet"  # images for new GPUs have no MXNet
    backend: contract.Backend = "mxnet" if has_weights and there else "onnxruntime"
    return dataclasses.replace(vision.runtime(), backend=backend, precision="f32", device="cpu")
