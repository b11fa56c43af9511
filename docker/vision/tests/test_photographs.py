"""Real photographs: what `pack` makes of them is what a model's accuracy was published for."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from conftest import PROJECT, Drop
from PIL import Image, ImageOps

import strandline_contract as contract
from vision.decoding import pixels

FOLDER = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "retina.jpg")  # 451 x 300 to 1411 x 1411
# In processes of their own, since GluonCV switches Pillow's check for cut files off.
WANTED = """
import json, sys
from vision.models import pretrained
print(json.dumps({model: pretrained.preprocessing(model).to_dict() for model in sys.argv[1:]}))
"""
GLUONCV = """
import json, sys
import mxnet as mx, numpy as np
from gluoncv.data.transforms.presets.imagenet import transform_eval
from gluoncv.model_zoo import get_model
from vision.backends.backend import normalise
from vision.models import pretrained

given, wanted, names = np.load(sys.argv[1]), pretrained.preprocessing(sys.argv[2]), sys.argv[3:]
mx.random.seed(1)
np.random.seed(1)
net = get_model("alexnet", classes=1000)  # of what has no weights yet, one whose labels differ from image to image
net.initialize(mx.init.Xavier())
differences, labels = [], []
for name in names:
    whole, ours = mx.nd.array(given[name], dtype="uint8"), given["ours " + name]
    theirs = transform_eval(whole, resize_short=wanted.short_side, crop_size=wanted.height)
    as_pixels = theirs.asnumpy()[0].transpose(1, 2, 0) * np.array(wanted.std) + np.array(wanted.mean)
    differences.append(float(np.abs(ours / 255 - as_pixels).mean()))
    batch = mx.nd.array(normalise(ours[None], wanted.mean, wanted.std))
    labels.append([net(each).asnumpy().argmax().tolist() for each in (batch, theirs)])
print(json.dumps([differences, labels]))
"""


def answer(program: str, *arguments: str) -> Any:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "MPLCONFIGDIR": "/nonexistent"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def wanted() -> dict[str, contract.Preprocessing]:
    models = ("resnet50_v1", "inceptionv3", "xception71", "nasnet_4_1056", "resnest200", "cifar_resnet20_v1")
    return {model: contract.Preprocessing.from_dict(raw) for model, raw in answer(WANTED, *models).items()}


def test_a_model_of_the_zoo_gets_the_size_that_gluoncv_measured_it_on(wanted):
    sizes = {model: (one.height, one.resize, one.crop_ratio and one.short_side) for model, one in wanted.items()}
    assert sizes == {
        "resnet50_v1": (224, "crop", 256),
        "inceptionv3": (299, "crop", 342),
        "xception71": (299, "crop", 342),
        "nasnet_4_1056": (331, "crop", 379),
        "resnest200": (320, "crop", 366),
        "cifar_resnet20_v1": (32, "fit", None),
    }


@pytest.mark.parametrize("model", ["resnet50_v1", "inceptionv3", "nasnet_4_1056"])
def test_what_an_imagenet_model_gets_is_what_gluoncv_measured_it_on(drop: Drop, wanted, model: str):
    rule = wanted[model].resize_rule()
    for name in PHOTOGRAPHS:
        drop.add(name.encode(), (FOLDER / name).read_bytes())
    packed = drop.pack(rule=rule)
    arrays = {}
    for name in PHOTOGRAPHS:
        arrays[name] = np.asarray(Image.open(FOLDER / name).convert("RGB"))
        ours = np.frombuffer(packed.pixels(name.encode()), np.uint8)
        arrays["ours " + name] = ours.reshape(rule.height, rule.width, 3)
    np.savez(drop.folder / "given.npz", **arrays)
    differences, labels = answer(GLUONCV, str(drop.folder / "given.npz"), model, *PHOTOGRAPHS)
    assert max(differences) <= 2 / 255
    assert [ours for ours, _ in labels] == [theirs for _, theirs in labels]
    assert len({ours for ours, _ in labels}) > 1


def jpeg(name: str, mode: str = "RGB", size: tuple[int, int] | None = None, orientation: int = 1, **options) -> bytes:
    """A photograph as a JPEG of at least 427 pixels on its short side."""
    picture = Image.open(FOLDER / name).convert("RGB").convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture = picture.resize(size, Image.Resampling.LANCZOS) if size else picture
    picture.save(buffer, "JPEG", exif=exif.tobytes(), **{"quality": 88, "subsampling": "4:2:0"} | options)
    return buffer.getvalue()


def decoded_whole(content: bytes, rule: contract.ResizeRule) -> bytes:
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    return pixels.canonical(picture.convert("RGB"), rule)


LARGE = (1403, 1051)  # neither is a multiple of a block
REDUCED = {
    "plain": {"name": "astronaut.png"},
    "small.jpg": {"name": "rocket.jpg"},
    "odd": {"name": "coffee.png", "size": LARGE},
    "grey": {"name": "coffee.png", "size": LARGE, "mode": "L"},
    "inks": {"name": "astronaut.png", "mode": "CMYK"},
    "progressive": {"name": "coffee.png", "size": LARGE, "progressive": True},
    "4:4:4": {"name": "coffee.png", "size": LARGE, "subsampling": "4:4:4"},
    "4:2:2": {"name": "retina.jpg", "subsampling": "4:2:2"},
    "restarts": {"name": "retina.jpg", "restart_marker_rows": 1},
} | {f"turned {value}": {"name": "coffee.png", "size": LARGE, "orientation": value} for value in range(2, 9)}
RULES = {
    "fit": contract.ResizeRule(112, 112),
    "wide": contract.ResizeRule(64, 128),
    "crop": contract.ResizeRule(112, 112, "crop", 0.875, "hamming"),
    "squash": contract.ResizeRule(96, 64, "squash", interpolation="bilinear"),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_jpeg_decoded_at_a_part_of_its_size_looks_as_it_does_decoded_whole(drop: Drop, rule: contract.ResizeRule):
    contents = {name.encode(): jpeg(**options) for name, options in REDUCED.items()}
    for name, content in contents.items():
        drop.add(name, content)
    packed = drop.pack(rule=rule)
    for name, content in contents.items():
        row = packed.by_name[name]
        found, whole = (np.frombuffer(raw, np.uint8) for raw in (packed.pixels(name), decoded_whole(content, rule)))
        assert 0 < np.abs(found.astype(int) - whole).mean() <= 2, name
        assert (row["width"], row["height"]) == ImageOps.exif_transpose(Image.open(io.BytesIO(content))).size, name
        assert "REDUCED" not in row["notes"].split(), name


def test_a_jpeg_that_is_not_much_larger_than_what_the_model_sees_is_decoded_whole(drop: Drop):
    rule = contract.ResizeRule(224, 224)
    for side in (224, 300, 511, 716):
        drop.add(b"%d.jpg" % side, jpeg("astronaut.png", size=(side, side + 7)))
    packed = drop.pack(rule=rule)
    for name, _ in drop.listed:
        assert packed.pixels(name) == decoded_whole(drop.path(name).read_bytes(), rule)


def test_a_cut_or_broken_jpeg_is_refused_at_any_scale(drop: Drop):
    whole = jpeg("coffee.png", size=LARGE)
    for part in range(1, 20):
        drop.add(b"%d.jpg" % part, whole[: len(whole) * part // 20])
    reasons = [{row["reason"] for row in drop.pack(height=side, width=side).outcomes} for side in (32, 1024)]
    assert reasons == [{"TRUNCATED"}, {"TRUNCATED"}]
