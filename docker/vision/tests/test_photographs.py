"""Real photographs: what `pack` makes of them is what a model's accuracy was published for."""

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
from PIL import Image

import strandline_contract as contract

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
from vision.models import networks, pretrained

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
    batch = mx.nd.array(networks.normalise(ours[None], wanted.mean, wanted.std))
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
