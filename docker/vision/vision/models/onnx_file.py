"""An ONNX file of somebody else's: read, and refused where it is more than the graph of one classifier."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
import onnxruntime as ort
from google.protobuf.message import DecodeError

import strandline_contract as contract
from vision.models import bundles

OLDEST_OPSET = 9
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
OTHER_FORMATS = {  # by their first bytes
    b"\x80": "a pickle, which may run code when it is opened",
    b"PK": "a zip archive, as PyTorch's .pt and Keras' .keras are",
    b"\x89HDF": "an HDF5 file, as Keras' .h5 is",
    b"\x1f\x8b": "packed by gzip",
}
ONE_FILE = "save it as one file (PyTorch: external_data=False; else onnx.save(onnx.load(PATH), PATH))"
ZIPMAP = "scikit-learn's are exported without maps by options={'zipmap': False}"


def read(path: Path) -> onnx.ModelProto:
    """The model of a file, with all of its own functions written out in ONNX's operators.

    Raises:
        contract.BadInput: it is too large, no ONNX or a broken one, needs another file or operators that are not
            ONNX's, or takes or gives something else than tensors.
    """
    try:
        content = contract.read_file(path, bundles.MAX_GRAPH_BYTES)
    except OSError as error:
        raise contract.BadInput(f"{path} cannot be read: {error}") from error
    model = _parse(path, content)
    _check_tensors(path, model)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _check_operators(path, model)
    _check_sides(path, model.graph)
    try:
        session(content)
    except Exception as error:
        raise contract.BadInput(f"{path} cannot be run by ONNX Runtime: {str(error)[:500]}") from error
    return model


def session(content: bytes) -> ort.InferenceSession:
    """A model that ONNX Runtime can run, on one core; by its bytes, so that it can name no other file to be read."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)


def classical(model: onnx.ModelProto) -> list[str]:
    """The operators of ai.onnx.ml that it needs: those of trees, linear models and the like."""
    return sorted({node.op_type for node in _nodes(model.graph) if node.domain == "ai.onnx.ml"})


def inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Those that are no weights: old files list them both."""
    constants = {tensor.name for tensor in graph.initializer}
    return [given for given in graph.input if given.name not in constants]


def _parse(path: Path, content: bytes) -> onnx.ModelProto:
    kind = next((kind for start, kind in OTHER_FORMATS.items() if content.startswith(start)), None)
    if kind is None and content[4:8] == b"TFL3":
        kind = "a TensorFlow Lite file"
    if kind:
        raise contract.BadInput(f"{path} is {kind}: nothing of it was read. Export the model as ONNX")
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise contract.BadInput(f"{path} is no ONNX file: {error}") from error
    if not model.ir_version or not model.graph.node:
        raise contract.BadInput(f"{path} is no ONNX file: it has no graph")
    return model


def _check_tensors(path: Path, model: onnx.ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise contract.BadInput(f"{path} keeps weights in another file, which is not read: {ONE_FILE}")


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    if foreign := {(node.domain, node.op_type) for node in _nodes(model.graph) if node.domain not in DOMAINS}:
        named = ", ".join(sorted(f"{domain}.{operator}" for domain, operator in foreign))[:500]
        raise contract.BadInput(
            f"{path} needs operators that are not ONNX's ({named}): export it without them, and without a runtime's"
            " optimisations"
        )
    if opset(model) < OLDEST_OPSET:
        raise contract.BadInput(
            f"{path} is of opset {opset(model)}: export it in {OLDEST_OPSET} or a newer one"
            " (onnx.version_converter may do it)"
        )


def _check_sides(path: Path, graph: onnx.GraphProto) -> None:
    for noun, values in (("takes", inputs(graph)), ("gives", graph.output)):
        if kinds := {kind for value in values if (kind := value.type.WhichOneof("value")) != "tensor_type"}:
            named = " and ".join(str(kind).removesuffix("_type") for kind in sorted(kinds, key=str))
            raise contract.BadInput(f"{path} {noun} a {named}, not tensors alone: {ZIPMAP}")
    if len(found := inputs(graph)) != 1:
        named = ", ".join(value.name for value in found)
        raise contract.BadInput(f"{path} takes {len(found)} inputs ({named[:500]}); a classifier of images takes one")
    kind = found[0].type.tensor_type.elem_type
    if kind != onnx.TensorProto.FLOAT:
        name = onnx.TensorProto.DataType.Name(kind).lower() if kind in onnx.TensorProto.DataType.values() else kind
        raise contract.BadInput(f"{path} takes numbers of the type {name}: export it with an input of float32")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all that lie in attributes of its nodes, as the branches of an `If`."""
    yield graph
    for node in graph.node:
        yield from inner_graphs(node)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _graphs(graph)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for each in _graphs(graph):
        yield from each.node


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All of them: weights, and those in attributes of nodes, of functions as well."""
    graphs = [*_graphs(model.graph), *(g for f in model.functions for node in f.node for g in inner_graphs(node))]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    nodes = [node for graph in graphs for node in graph.node] + [node for f in model.functions for node in f.node]
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
