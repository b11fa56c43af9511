"""A network as one ONNX graph: a normalised batch in, `probabilities` and `embedding` out, any number of rows."""

import tempfile
from pathlib import Path

import mxnet as mx
import onnx
import onnxruntime as ort
from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph

import strandline_contract as contract
from vision.models import networks, onnx_file

OPSET = 13  # the newest that MXNet's translations are written for
IR_VERSION = 8


def write(net: mx.gluon.HybridBlock, height: int, width: int, path: Path) -> None:
    """Write a network that has its weights; batch norm is folded into the convolution before it, wherever it can be.

    Raises:
        contract.BadRequest: a part of it has no translation.
    """
    symbol = networks.with_embedding(net)
    names = set(symbol.list_inputs())
    weights = {name: parameter.data() for name, parameter in net.collect_params().items() if name in names}
    shape = (1, 3, height, width)
    try:
        graph = MXNetGraph().create_onnx_graph_proto(
            symbol,
            weights,
            [shape],
            [onnx.TensorProto.FLOAT],
            opset_version=OPSET,
            dynamic=True,
            dynamic_input_shapes=[("n", *shape[1:])],
        )
    except (AttributeError, NotImplementedError, onnx.checker.ValidationError) as error:
        raise contract.BadRequest(f"{net.name} cannot be written as ONNX: {error}") from error
    inputs = onnx_file.inputs(graph)  # where weights are inputs as well, nothing can be folded
    del graph.input[:]
    graph.input.extend(inputs)
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="strandline"
    )
    contract.write_whole(path, _folded(model).SerializeToString(deterministic=True))


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """As ONNX Runtime simplifies it in ONNX's own words: constants folded, batch norm in the convolutions."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        options.optimized_model_filepath = file.name
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(file.name)
    _number(folded.graph)
    opsets = [one for one in folded.opset_import if not one.domain]
    del folded.opset_import[:]
    folded.opset_import.extend(opsets)
    return folded


def _number(graph: onnx.GraphProto) -> None:
    """Number what is named inside of the graph: MXNet's names count what its process has built before."""
    kept = {value.name for values in (graph.input, graph.output) for value in values} | {""}
    names: dict[str, str] = {name: name for name in kept}
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"weights_{len(names)}")
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{number}"
        for side in (node.input, node.output):
            side[:] = [names.setdefault(name, f"value_{len(names)}") for name in side]
    del graph.value_info[:]
    graph.name = "classifier"
