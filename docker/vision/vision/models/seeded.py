"""Weights by a seed, of no use but to compare: how far apart backends are on a network, and how fast."""

from typing import Any

import mxnet as mx
import numpy as np

from vision.models import networks

SPREAD = 2.0  # standard deviation of logits, about that of a trained network
SHIFT = 0.5  # after batch norm; with none, each ReLU makes differences larger: of 152 layers, a thousand times


def initialise(net: mx.gluon.HybridBlock, batch: np.ndarray, seed: int = 0) -> None:
    """Weights drawn by a seed, batch norm's statistics and the size of the last layer's weights measured on a batch
    float32 [n, 3, height, width].

    Weights that are only drawn make the values of a deep network explode, and its rounding errors with them.

    Raises:
        contract.BadRequest: the network ends in neither a dense layer nor a convolution of 1 x 1.
    """
    mx.random.seed(seed)
    net.initialize(mx.init.MSRAPrelu("out", 0), force_reinit=True)
    data = mx.nd.array(batch)
    net(data[:1])  # so that all sizes are known
    hooks: list[Any] = []
    net.apply(lambda layer: hooks.append(layer.register_forward_pre_hook(_measure)) if _is_batch_norm(layer) else None)
    logits = net(data)
    for hook in hooks:
        hook.detach()
    spread = logits.asnumpy().std()
    weights = net.collect_params()[networks.head(net).weights]
    weights.set_data(weights.data() * (SPREAD / spread))


def _is_batch_norm(layer: mx.gluon.HybridBlock) -> bool:
    return isinstance(layer, mx.gluon.nn.BatchNorm)


def _measure(layer: mx.gluon.nn.BatchNorm, inputs: tuple[mx.nd.NDArray]) -> None:
    """Give a layer the statistics of what it is about to be given, by channel."""
    values = inputs[0].asnumpy()
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    layer.running_mean.set_data(mx.nd.array(values.mean(axes)))
    layer.running_var.set_data(mx.nd.array(values.var(axes)))
    layer.beta.set_data(mx.nd.full(layer.beta.shape, SHIFT))
