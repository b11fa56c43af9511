"""GluonCV networks: built by name, with weights, and with a second output, the embedding."""

import json
import os
from collections.abc import Sequence

import mxnet as mx
from gluoncv.model_zoo import get_model

import strandline_contract as contract
from vision.models.bundles import Bundle, installed


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


def with_embedding(net: mx.gluon.HybridBlock) -> mx.sym.Symbol:
    """A network's graph, from a normalised batch `data` [n, 3, height, width] to `probabilities`
    [n, classes] and `embedding` [n, features].

    The embedding is what the last dense layer is given. In a network that ends in a convolution of 1 x 1 instead, it is
    the mean of what that is given over all places.

    Raises:
        contract.BadRequest: it has no such layer.
    """
    data = mx.sym.var("data")
    logits = net(data)
    operation, embedding = _last_layer(logits)
    if operation == "Convolution":
        embedding = mx.sym.Pooling(embedding, global_pool=True, pool_type="avg", kernel=(1, 1))
    outputs = [
        mx.sym.softmax(mx.sym.Flatten(logits), axis=1, name="probabilities"),
        mx.sym.Flatten(embedding, name="embedding"),
    ]
    return mx.sym.Group(outputs)


def _last_layer(logits: mx.sym.Symbol) -> tuple[str, mx.sym.Symbol]:
    """The operation that is the last with weights, and what it is given: found in the graph, for networks name their
    layers each in its own way.
    """
    graph = json.loads(logits.tojson())
    nodes = graph["nodes"]
    at = graph["heads"][0][0]
    while True:
        node = nodes[at]
        of_one = node["op"] == "Convolution" and node["attrs"]["kernel"] == "(1, 1)"
        if of_one or node["op"] == "FullyConnected":
            source, index = node["inputs"][0][:2]
            outputs = logits.get_internals()
            names = [name for name in outputs.list_outputs() if name.startswith(f"{nodes[source]['name']}_output")]
            return node["op"], outputs[names[index]]
        data = [source for source, *_ in node["inputs"] if nodes[source]["op"] != "null"]
        if len(data) != 1:
            raise contract.BadRequest(
                f"the network does not end in a dense layer, nor in a convolution of 1 x 1, but in {node['op']}"
            )
        at = data[0]


def versions() -> dict[str, str]:
    """Of what decides the weights of a training; MXNet's builds for GPUs are installed under other names."""
    return installed("gluoncv", "numpy", "pillow", "pyarrow") | {"mxnet": mx.__version__}
