"""A classifier's graph, rewritten into the contract's: a normalised batch float32 [n, 3, height, width] in,
`probabilities` [n, classes] and `embedding` [n, features] out.

What is around the foreign graph is ordinary ONNX of every opset from 9 on. Its own nodes stay as they are, but for the
shapes that hold its rows to one number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.compose
from onnx import helper, numpy_helper

import strandline_contract as contract
from vision.models import onnx_file
from vision.models.own import Scores

INPUT, PROBABILITIES, EMBEDDING = "data", "probabilities", "embedding"
PREFIX = "imported/"
OLDEST_IR = 4  # before it, weights had to be inputs as well
FLOAT = onnx.TensorProto.FLOAT
LAST_LAYERS = ("Gemm", "MatMul", "Conv", "LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", "TreeEnsemble")
# Their other inputs say how, and are no data, though some graphs compute them of the data's shape.
ONE_IS_DATA = ("Reshape", "Slice", "Expand", "Squeeze", "Unsqueeze", "ReduceMean", "Pad", "Clip", "Resize", "Gather")
MAX_FEATURES = 4096
NEAR = 1e-3  # to 1, the sum of an image's probabilities


@dataclass(frozen=True)
class Rewritten:
    """A model in the contract's words. `scores` is what its own output was; `embedding` says what that is."""

    model: onnx.ModelProto
    output: str
    scores: Scores
    embedding: str
    features: int


def rewrite(model: onnx.ModelProto, bgr: bool, classes: int, said: Scores | None, images: np.ndarray) -> Rewritten:
    """
    Args:
        model: as `onnx_file.read` returns it; it is altered.
        bgr: whether it takes the channels of its images in this order.
        said: what its output is; by default that is found out.
        images: some of the size that it takes, normalised, but with their channels as rgb: float32 [n, 3, h, w].

    Raises:
        contract.BadInput: it takes images of another size, has no output of so many classes, answers no numbers, or
            answers one image differently beside others.
    """
    graph = _Graph(onnx.compose.add_prefix(model, PREFIX, inplace=True))
    graph.lead_in(images.shape[2:], bgr)
    answers = graph.answers(images, graph.outputs())
    name = _classes_output(answers, len(images), classes, said)
    kind = said or ("probabilities" if _are_probabilities(answers[name]) else "logits")
    _check_scores(name, answers[name], kind, said)
    layer = graph.last_layer(name)
    inner = graph.answers(images, [layer.data])[layer.data] if layer else None
    graph.lead_out(name, answers[name].ndim, kind, classes)
    if layer and inner is not None and (features := _features(inner, layer, len(images))) <= MAX_FEATURES:
        graph.embed(layer, inner, features)
        said_of_it = f"what its last layer, {layer.node.op_type} {_own(layer.node.name)!r}, is given"
    else:
        features = classes
        graph.embed_scores(classes)
        said_of_it = "its probabilities, since it has no last layer whose input is small enough"
    return Rewritten(graph.finished(), _own(name), kind, said_of_it, features)


@dataclass(frozen=True)
class _Layer:
    node: onnx.NodeProto
    data: str

    @property
    def channels_first(self) -> bool:
        return bool(self.node.op_type == "Conv")


class _Graph:
    """A foreign graph while it is rewritten: nodes before it, its own, nodes behind it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model, self._graph = model, model.graph
        model.ir_version = max(model.ir_version, OLDEST_IR)
        (self._given,) = onnx_file.inputs(model.graph)
        self._own = list(model.graph.node)
        self._before: list[onnx.NodeProto] = []
        self._behind: list[onnx.NodeProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []  # in the contract's words
        self._fixed = 0  # the one number of rows that it takes
        self._constants = self._find_constants()

    def lead_in(self, size: tuple[int, ...], bgr: bool) -> None:
        """Give its input what it wants: channels turned round or last, or all values of an image in a row.

        Args:
            size: height and width of its images.
        """
        shape = self._given.type.tensor_type.shape
        sides = [_size(dimension) for dimension in shape.dim]
        at = INPUT
        if bgr:
            self._weights("reversed", np.array([2, 1, 0], np.int64))
            at = self._add(self._before, "Gather", [at, "reversed"], "turned_round", axis=1)
        layout = _layout(sides, *size)
        if layout != "channels first":
            at = self._add(self._before, "Transpose", [at], "channels_last", perm=[0, 2, 3, 1])
        if layout == "flat":
            at = self._add(self._before, "Flatten", [at], "flat", axis=1)
        self._add(self._before, "Identity", [at], self._given.name)
        self._fixed = sides[0] or 0
        if self._fixed:
            self._free_rows()
        del self._graph.input[:]
        self._graph.input.append(helper.make_tensor_value_info(INPUT, FLOAT, ["n", 3, *size]))
        del self._graph.value_info[:]

    def _free_rows(self) -> None:
        """Let each Reshape that names the fixed number of rows take any number."""
        for number, node in enumerate(node for node in self._own if node.op_type == "Reshape"):
            if node.input[0] in self._constants or (shape := self._constant(node.input[1])) is None or not shape.size:
                continue
            if shape[0] == self._fixed:
                free = shape.copy()
                free[0] = 0 if -1 in shape[1:] else -1
                node.input[1] = self._weights(f"shape_{number}", free)

    def outputs(self) -> list[str]:
        return [value.name for value in self._graph.output]

    def answers(self, images: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        """What these tensors of it are for some images, as ONNX Runtime computes them."""
        content = self._assembled([onnx.ValueInfoProto(name=name) for name in names]).SerializeToString()
        try:
            session = onnx_file.session(content)
            return dict(zip(names, session.run(names, {INPUT: images}), strict=True))
        except Exception as error:
            if self._fixed:
                raise contract.BadInput(
                    f"the graph takes {self._fixed} images at once, no more and no fewer: export it with a free first"
                    f" dimension ({str(error)[:300]})"
                ) from error
            raise contract.BadInput(f"ONNX Runtime cannot run the graph: {str(error)[:500]}") from error

    def last_layer(self, output: str) -> _Layer | None:
        """The last layer with weights before an output; None if the way to it forks."""
        made_by = {name: node for node in self._own for name in node.output}
        at = output
        while at in made_by:
            node = made_by[at]
            given = node.input[:1] if node.op_type in ONE_IS_DATA else node.input
            data = [name for name in given if name and name not in self._constants]
            if len(data) != 1:
                return None
            if node.op_type in LAST_LAYERS:
                return _Layer(node, data[0])
            at = data[0]
        return None

    def lead_out(self, name: str, rank: int, kind: Scores, classes: int) -> None:
        """Make probabilities of its output."""
        flat = self._add(self._behind, "Flatten", [name], "scores", axis=1) if rank != 2 else name
        operation: dict[str, Any] = {"axis": 1} if kind == "logits" else {}
        self._add(self._behind, "Softmax" if kind == "logits" else "Identity", [flat], PROBABILITIES, **operation)
        self._outputs.append(helper.make_tensor_value_info(PROBABILITIES, FLOAT, ["n", classes]))

    def embed(self, layer: _Layer, found: np.ndarray, features: int) -> None:
        """Make an embedding of what a layer is given: its mean over all places, if it has any."""
        at = layer.data
        if found.dtype != np.float32:
            at = self._add(self._behind, "Cast", [at], "single", to=FLOAT)
        if found.ndim > 2:
            if not layer.channels_first:
                last = found.ndim - 1
                at = self._add(self._behind, "Transpose", [at], "channels_first", perm=[0, last, *range(1, last)])
            at = self._add(self._behind, "GlobalAveragePool", [at], "mean")
        self._add(self._behind, "Flatten", [at], EMBEDDING, axis=1)
        self._outputs.append(helper.make_tensor_value_info(EMBEDDING, FLOAT, ["n", features]))

    def embed_scores(self, classes: int) -> None:
        self._add(self._behind, "Identity", [PROBABILITIES], EMBEDDING)
        self._outputs.append(helper.make_tensor_value_info(EMBEDDING, FLOAT, ["n", classes]))

    def finished(self) -> onnx.ModelProto:
        """The whole model, with nothing in it that its two outputs do not need."""
        model, graph = self._assembled(self._outputs), self._graph
        used = {name for node in graph.node for name in _all_inputs(node)}
        for tensors, name_of in ((graph.initializer, _name), (graph.sparse_initializer, _sparse_name)):
            kept = [tensor for tensor in tensors if name_of(tensor) in used]
            del tensors[:]
            tensors.extend(kept)
        domains = {node.domain for node in graph.node} | {"", "ai.onnx"}
        opsets = [one for one in model.opset_import if one.domain in domains]
        del model.opset_import[:]
        model.opset_import.extend(opsets)
        del model.metadata_props[:]
        model.doc_string = graph.doc_string = ""
        graph.name, model.producer_name = "classifier", "strandline"
        return model

    def _assembled(self, outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The model with these outputs, and with all nodes that they need, in order."""
        graph = self._graph
        nodes = _needed([*self._before, *self._own, *self._behind], {value.name for value in outputs})
        for values, those in ((graph.node, nodes), (graph.output, outputs)):
            del values[:]
            values.extend(those)
        return self._model

    def _add(self, nodes: list[onnx.NodeProto], operator: str, given: list[str], result: str, **how: Any) -> str:
        nodes.append(helper.make_node(operator, given, [result], name=result, **how))
        return result

    def _weights(self, name: str, values: np.ndarray) -> str:
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _constant(self, name: str) -> np.ndarray | None:
        """The value of a tensor that is written into the graph."""
        tensors = {tensor.name: tensor for tensor in self._graph.initializer}
        for node in self._own:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                tensors[node.output[0]] = node.attribute[0].t
            elif node.op_type == "Constant" and node.output[0] == name:
                return np.array(helper.get_attribute_value(node.attribute[0]))
        return np.array(numpy_helper.to_array(tensors[name])) if name in tensors else None

    def _find_constants(self) -> set[str]:
        """The names of tensors that no image decides."""
        graph = self._graph
        names = {tensor.name for tensor in graph.initializer} | {_sparse_name(one) for one in graph.sparse_initializer}
        for node in self._own:
            if all(name in names or not name for name in _all_inputs(node)):
                names.update(node.output)
        return names


def _layout(sides: list[int], height: int, width: int) -> str:
    """How an input lays out its images; a free size, which is 0, is whatever it has to be."""
    layouts = {
        "channels first": (3, height, width),
        "channels last": (height, width, 3),
        "flat": (3 * height * width,),
    }
    fitting = [
        name
        for name, sizes in layouts.items()
        if len(sides) == 1 + len(sizes) and all(side in (0, size) for side, size in zip(sides[1:], sizes, strict=True))
    ]
    named = "[" + ", ".join(str(side or "n") for side in sides) + "]"
    if not fitting:
        raise contract.BadInput(
            f"the graph takes {named}, and not images of {height} x {width} pixels in 3 channels, as the preprocessing"
            " says: channels first, channels last, or all values of an image in a row"
        )
    if len(fitting) > 1:
        raise contract.BadInput(
            f"the graph takes {named}, which may be channels first or last: export it with a fixed number of channels"
        )
    return fitting[0]


def _classes_output(answers: dict[str, np.ndarray], rows: int, classes: int, said: Scores | None) -> str:
    """The name of the output that has a number for each class.

    Raises:
        contract.BadInput: there is none, or more than one that may be it.
    """
    fitting = [
        name
        for name, answer in answers.items()
        if answer.dtype == np.float32 and answer.ndim > 1
        if (len(answer), answer.size, max(answer.shape[1:])) == (rows, rows * classes, classes)
    ]
    if len(fitting) > 1:
        certain = [name for name in fitting if _are_probabilities(answers[name])]
        fitting = certain if len(certain) == 1 and said != "logits" else fitting
    if len(fitting) == 1:
        return fitting[0]
    named = ", ".join(f"{_own(name)} {answer.dtype} {list(answer.shape)[1:]}" for name, answer in answers.items())
    if fitting:
        raise contract.BadInput(f"several outputs have a number for each class: leave one of them ({named[:500]})")
    raise contract.BadInput(
        f"no output has a number in float32 for each of {classes} classes; for an image there are {named[:500]}"
    )


def _check_scores(name: str, answer: np.ndarray, kind: Scores, said: Scores | None) -> None:
    rows = answer.reshape(len(answer), -1)
    if not np.isfinite(rows).all():
        raise contract.BadInput(f"the output {_own(name)} is no number for some image: the weights are broken")
    if kind == "probabilities" and not _are_probabilities(answer):
        raise contract.BadInput(
            f"the output {_own(name)} is no probabilities: an image's sum to {rows.sum(axis=1).min():.3g} to"
            f" {rows.sum(axis=1).max():.3g}"
        )
    if kind == "logits" and said is None and rows.min() >= 0 and rows.max() <= 1:
        raise contract.BadInput(
            f'the output {_own(name)} lies between 0 and 1 and does not sum to 1, as a sigmoid\'s: say "output":'
            ' "logits" in the preprocessing if a softmax has to follow'
        )


def _are_probabilities(answer: np.ndarray) -> bool:
    rows = answer.reshape(len(answer), -1)
    return bool(rows.min() >= -NEAR and np.abs(rows.sum(axis=1) - 1).max() <= NEAR)


def _features(found: np.ndarray, layer: _Layer, rows: int) -> int:
    """How many numbers the embedding of an image has; more than any bound where it is none."""
    if found.ndim < 2 or len(found) != rows or found.dtype.kind != "f":
        return MAX_FEATURES + 1
    return int(found.shape[1 if layer.channels_first or found.ndim == 2 else -1])


def _needed(nodes: list[onnx.NodeProto], names: set[str]) -> list[onnx.NodeProto]:
    """The nodes that these tensors come of."""
    wanted, kept = set(names), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(_all_inputs(node))
    return kept[::-1]


def _all_inputs(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that it reads, those that the graphs in its attributes read among them."""
    yield from node.input
    for graph in onnx_file.inner_graphs(node):
        for inner in graph.node:
            yield from inner.input
        yield from (value.name for value in graph.output)


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int:
    """0 if it is free."""
    return max(0, int(dimension.dim_value))


def _own(name: str) -> str:
    """As the file has it."""
    return name.removeprefix(PREFIX)


def _name(tensor: onnx.TensorProto) -> str:
    return str(tensor.name)


def _sparse_name(tensor: onnx.SparseTensorProto) -> str:
    return str(tensor.values.name)
