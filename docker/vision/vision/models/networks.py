"""GluonCV networks: built by name, with weights, and with a second output, the embedding."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mxnet as mx
from gluoncv import nn
from gluoncv.model_zoo import get_model, shufflenet
from gluoncv.model_zoo.model_zoo import _models as builders

import strandline_contract as contract
from vision.models.bundles import Bundle, installed

# Modules of GluonCV's zoo whose networks are image classifiers; its others detect, segment, follow poses or see videos.
FAMILIES = frozenset(
    {
        "alexnet",
        "cifarresnet",
        "cifarresnext",
        "cifarwideresnet",
        "densenet",
        "googlenet",
        "hrnet",
        "inception",
        "mobilenet",
        "mobilenetv3",
        "nasnet",
        "pruned_resnet.resnetv1b_pruned",
        "residual_attentionnet",
        "resnest",
        "resnet",
        "resnetv1b",
        "resnext",
        "senet",
        "shufflenet",
        "squeezenet",
        "vgg",
        "xception",
        "yolo.darknet",
    }
)


def _group_norm(layer: nn.GroupNorm, F: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """As GluonCV's own, which needs the size of the batch and so cannot be a graph."""
    groups = F.reshape(x, shape=(0, layer.ngroups, -1))
    one_each = F.slice_axis(gamma, axis=0, begin=0, end=layer.ngroups)  # on the right device
    normal = F.InstanceNorm(groups, F.ones_like(one_each), F.zeros_like(one_each), eps=layer._kwargs["eps"])
    normal = F.reshape_like(normal, x)
    scaled = F.broadcast_mul(normal, F.reshape(gamma, shape=(1, -1, 1, 1)))
    return F.broadcast_add(scaled, F.reshape(beta, shape=(1, -1, 1, 1)))


def _shuffle(layer: mx.gluon.HybridBlock, F: Any, data: Any, groups: int) -> Any:
    """As GluonCV's own of two groups or more, in operations that have a translation to ONNX."""
    return F.reshape_like(F.stack(*F.split(data, num_outputs=groups, axis=1), axis=2), data)


nn.GroupNorm.hybrid_forward = _group_norm
shufflenet.shuffleUnit.channel_shuffle = _shuffle
shufflenet.shuffleUnitV2.channel_shuffle = _shuffle


def classifiers() -> list[str]:
    """The names of GluonCV's image classifiers, those rounded to int8 among them."""
    names = [name for name in builders if not name.endswith("_s")]  # these networks of hrnet segment
    return [name for name in names if _family(name.removesuffix("_int8")) in FAMILIES]


def _family(name: str) -> str | None:
    builder = builders.get(name)
    return builder.__module__.removeprefix("gluoncv.model_zoo.") if builder else None


def check(network: str) -> None:
    """
    Raises:
        contract.BadRequest: GluonCV has no such image classifier, or one that cannot work here; says why.
    """
    if network.lower() not in classifiers():
        raise contract.BadRequest(f"GluonCV has no network {network} that classifies images: see docs/zoo.md")
    if network.lower().endswith("_int8"):
        raise contract.BadRequest(
            f"{network} is rounded to int8 for MXNet's own kernels, and no other backend can compute it: take"
            f" {network.removesuffix('_int8')}"
        )


def build(network: str, classes: Sequence[str]) -> mx.gluon.HybridBlock:
    """
    Raises:
        contract.BadRequest: GluonCV has no such network, or it cannot work here.
    """
    check(network)
    family = _family(network.lower())
    options: dict[str, Any] = {"num_classes" if family == "hrnet" else "classes": len(classes)}
    if family == "nasnet":
        options["use_aux"] = False  # logits of a layer in the middle, beside its own
    net = get_model(network, pretrained=False, **options)
    if family == "pruned_resnet.resnetv1b_pruned":  # GluonCV gives them ImageNet's 1000, whatever was asked
        net.fc = mx.gluon.nn.Dense(len(classes), in_units=net.fc.weight.shape[1], prefix=net.fc.prefix)
    return net


def load_weights(net: mx.gluon.HybridBlock, bundle: Bundle, context: mx.Context) -> None:
    """As `load_file`, of a bundle."""
    load_file(net, bundle.weights, bundle.network, context)


def load_file(net: mx.gluon.HybridBlock, weights: Path, network: str, context: mx.Context) -> None:
    """Give a network the weights that gluon's `save_parameters` has written.

    Raises:
        contract.BadInput: they are of another network, or the file is none of that kind.
    """
    try:
        net.load_parameters(str(weights), ctx=context)
    except (AssertionError, ValueError, mx.MXNetError) as error:
        raise contract.BadInput(f"{weights} does not hold weights of {network}: {error}") from error


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


class Head(NamedTuple):
    """The last layer of a network that has weights."""

    operation: str
    weights: str
    given: mx.sym.Symbol  # what it computes the logits from


def with_embedding(net: mx.gluon.HybridBlock) -> mx.sym.Symbol:
    """A network's graph, from a normalised batch `data` [n, 3, height, width] to `probabilities`
    [n, classes] and `embedding` [n, features].

    The embedding is what the last dense layer is given. In a network that ends in a convolution of 1 x 1 instead, it is
    the mean of what that is given over all places.

    Raises:
        contract.BadRequest: it has no such layer.
    """
    logits = net(mx.sym.var("data"))
    operation, _, embedding = _head(logits)
    if operation == "Convolution":
        embedding = mx.sym.Pooling(embedding, global_pool=True, pool_type="avg", kernel=(1, 1))
    outputs = [
        mx.sym.softmax(mx.sym.Flatten(logits), axis=1, name="probabilities"),
        mx.sym.Flatten(embedding, name="embedding"),
    ]
    return mx.sym.Group(outputs)


def head(net: mx.gluon.HybridBlock) -> Head:
    """
    Raises:
        contract.BadRequest: it ends in neither a dense layer nor a convolution of 1 x 1.
    """
    return _head(net(mx.sym.var("data")))


def _head(logits: mx.sym.Symbol) -> Head:
    """Found in the graph, for networks name their layers each in its own way."""
    graph = json.loads(logits.tojson())
    nodes = graph["nodes"]
    at = graph["heads"][0][0]
    while True:
        node = nodes[at]
        of_one = node["op"] == "Convolution" and node["attrs"]["kernel"] == "(1, 1)"
        if of_one or node["op"] == "FullyConnected":
            (source, index), weights = node["inputs"][0][:2], node["inputs"][1][0]
            outputs = logits.get_internals()
            names = [name for name in outputs.list_outputs() if name.startswith(f"{nodes[source]['name']}_output")]
            return Head(node["op"], nodes[weights]["name"], outputs[names[index]])
        data = [source for source, *_ in node["inputs"] if nodes[source]["op"] != "null"]
        if len(data) != 1:
            raise contract.BadRequest(
                f"the network does not end in a dense layer, nor in a convolution of 1 x 1, but in {node['op']}"
            )
        at = data[0]


def versions() -> dict[str, str]:
    """Of what decides the weights of a training; MXNet's builds for GPUs are installed under other names."""
    return installed("gluoncv", "numpy", "pillow", "pyarrow") | {"mxnet": mx.__version__}
