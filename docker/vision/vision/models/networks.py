"""GluonCV networks: built by name, hybridized, fed with normalised batches."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import mxnet as mx
import numpy as np
from gluoncv.model_zoo import get_model

import strandline_contract as contract
from vision.models.bundles import Bundle


class Classifier:
    """A bundle's network on a device.

    Batches all have one size, the last one padded: one shape is compiled once, and an image's probabilities do not
    depend on how many others came with it.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int, batch_size: int) -> None:
        self._context = context(device, threads)
        self._bundle = bundle
        self._batch_size = batch_size
        self._net = _WithEmbedding(build(bundle.network, bundle.classes))
        load_weights(self._net.net, bundle, self._context)
        self._compile()

    def _compile(self) -> None:
        """Hybridize for the one shape of batch; on a CPU with convolution, batch norm and ReLU fused."""
        static = {"static_alloc": True, "static_shape": True}
        if self.device == "cpu":
            shape = (self._batch_size, 3, self._bundle.height, self._bundle.width)
            self._net.optimize_for(mx.nd.zeros(shape, ctx=self._context), backend="MKLDNN", **static)
        else:
            self._net.hybridize(**static)
        blank = np.zeros((1, self._bundle.height, self._bundle.width, 3), np.uint8)
        self._forward(blank)[0].wait_to_read()

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        return "gpu" if self._context.device_type == "gpu" else "cpu"

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities float32 [n, classes] and embeddings float32 [n, features] of uint8 [n, h, w, 3]."""
        outputs = list(self.batches(images))
        if not outputs:
            raise contract.BadInput("no images to classify")
        probabilities, embeddings = (np.concatenate(arrays) for arrays in zip(*outputs, strict=True))
        return probabilities, embeddings

    def batches(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As calling it, a batch at a time: MXNet computes while Python prepares the next one."""
        pending: tuple[int, list[mx.nd.NDArray]] | None = None
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            submitted = len(batch), self._forward(batch)
            if pending is not None:
                yield _arrays(*pending)
            pending = submitted
        if pending is not None:
            yield _arrays(*pending)

    def _forward(self, images: np.ndarray) -> list[Any]:
        batch = normalise(images, self._bundle.mean, self._bundle.std)
        if missing := self._batch_size - len(batch):
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.float32)])
        outputs: list[Any] = self._net(mx.nd.array(batch, ctx=self._context))
        return outputs


def _arrays(rows: int, outputs: Sequence[mx.nd.NDArray]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and embeddings of a batch, without its padding."""
    probabilities, embeddings = (array.asnumpy()[:rows] for array in outputs)
    return probabilities, embeddings


class _WithEmbedding(mx.gluon.HybridBlock):
    """Softmax probabilities, and what the output layer was given."""

    def __init__(self, net: mx.gluon.HybridBlock) -> None:
        super().__init__()
        self.net = net

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        embedding = self.net.features(x)
        return [F.softmax(self.net.output(embedding)), F.flatten(embedding)]


def build(network: str, classes: Sequence[str]) -> mx.gluon.HybridBlock:
    """
    Raises:
        contract.BadRequest: GluonCV has no such network.
    """
    try:
        return get_model(network, classes=len(classes), pretrained=False)
    except ValueError as error:
        raise contract.BadRequest(f"GluonCV has no network {network}: {error}") from error


def load_weights(net: mx.gluon.HybridBlock, bundle: Bundle, context: mx.Context) -> None:
    """
    Raises:
        contract.BadInput: the weights are of another network.
    """
    try:
        net.load_parameters(str(bundle.weights), ctx=context)
    except (AssertionError, ValueError, mx.MXNetError) as error:
        raise contract.BadInput(f"{bundle.weights} does not hold weights of {bundle.network}: {error}") from error


def context(device: str, threads: int) -> mx.Context:
    """The device to compute on; the cores allowed are the threads used, since MXNet's own default picks badly.

    Raises:
        RuntimeError: a GPU was asked for and none is there. Never falls back to the CPU.
    """
    if os.environ.get("OMP_NUM_THREADS") != str(threads):
        raise RuntimeError(f"OMP_NUM_THREADS must be {threads} before MXNet is imported")
    if device == "gpu":
        if not mx.context.num_gpus():
            raise RuntimeError("the request asks for a GPU and MXNet sees none on this host")
        return mx.gpu()
    return mx.cpu()


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w]: scaled to 0..1, then standardised by channel."""
    scale = np.float32(1) / (255 * np.asarray(std, np.float32))
    shift = np.asarray(mean, np.float32) / np.asarray(std, np.float32)
    return np.ascontiguousarray((images * scale - shift).transpose(0, 3, 1, 2))
