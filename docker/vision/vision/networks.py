"""GluonCV networks: built by name, hybridized, fed with normalised batches."""

import os
from collections.abc import Sequence

import mxnet as mx
import numpy as np
from gluoncv.model_zoo import get_model

from vision import contract


def build(network: str, classes: Sequence[str]) -> mx.gluon.HybridBlock:
    """
    Raises:
        contract.BadRequest: GluonCV has no such network.
    """
    try:
        return get_model(network, classes=len(classes), pretrained=False)
    except ValueError as error:
        raise contract.BadRequest(f"GluonCV has no network {network}: {error}") from error


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
