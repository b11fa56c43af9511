"""A model of one's own, that tells colours apart, and pictures of its classes."""

import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from strandline import settings

COLOURS = {
    "black": (0, 0, 0),
    "blue": (20, 20, 230),
    "green": (20, 230, 20),
    "red": (230, 20, 20),
    "white": (255, 255, 255),
}
EACH = 24  # pictures of a class
# Its logits are 40 times minus the squared distance of the mean colour to each.
EXPORT = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
side, out, *colours = int(sys.argv[1]), sys.argv[2], *sys.argv[3:]
points = np.array([[int(value) / 255 for value in colour.split(",")] for colour in colours], np.float32)
weights = {"weights": 80 * points.T, "bias": -40 * (points ** 2).sum(axis=1)}
nodes = [
    helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
    helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
]
graph = helper.make_graph(
    nodes,
    "colours",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, side, side])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(colours)])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), out)
"""


def write_model(folder: Path, side: int, name: str) -> tuple[str, str, str]:
    """The ONNX file of a model for pictures of side x side pixels, its classes and its preprocessing, as `make
    import-model` takes them.
    """
    onnx, classes, preprocessing = (folder / one for one in (f"{name}.onnx", "classes.txt", f"{name}.json"))
    colours = [",".join(map(str, colour)) for colour in COLOURS.values()]
    command = [str(settings.load().vision.python), "-c", EXPORT, str(side), str(onnx), *colours]
    subprocess.run(command, check=True)
    classes.write_text("\n".join(COLOURS))
    preprocessing.write_text(json.dumps({"height": side, "width": side}))
    return str(onnx), str(classes), str(preprocessing)


def write_pictures(folder: Path, each: int = EACH, seed: int = 0) -> Path:
    """The folder, with a folder of pictures for each class."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            noise = rng.integers(-40, 40, (60, 80, 3)) + np.array(colour)
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.jpg", quality=90)
    return folder
