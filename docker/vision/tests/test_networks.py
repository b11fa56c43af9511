"""GluonCV's networks: one of each family becomes a bundle, and every backend says of it what MXNet says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
# Each with a small side, in pixels, that it can be built for.
NETWORKS = {
    "alexnet": 64,
    "cifar_residualattentionnet56": 32,
    "cifar_resnet20_v1": 32,
    "cifar_resnet20_v2": 32,
    "cifar_resnext29_32x4d": 32,
    "cifar_wideresnet16_10": 32,
    "darknet53": 64,
    "densenet121": 224,
    "googlenet": 224,
    "hrnet_w18_small_v1_c": 64,
    "inceptionv3": 299,
    "mobilenet0.25": 64,
    "mobilenetv2_0.25": 64,
    "mobilenetv3_small": 64,
    "nasnet_4_1056": 64,
    "resnest14": 64,
    "resnet18_v1": 64,
    "resnet18_v2": 64,
    "resnet50_v1b_gn": 64,
    "resnet50_v1d_0.11": 64,
    "resnext50_32x4d": 64,
    "se_resnet18_v1": 64,
    "shufflenet_v1": 64,
    "shufflenet_v2": 64,
    "squeezenet1.1": 224,
    "vgg11_bn": 32,
    "xception": 64,
}

# What this project writes again of GluonCV, beside GluonCV's own.
REWRITTEN = """
import json
import mxnet as mx
import numpy as np
from gluoncv import nn
from gluoncv.model_zoo import shufflenet
own_norm, own_shuffle = nn.GroupNorm.hybrid_forward, shufflenet.shuffleUnit.channel_shuffle
from vision.models import networks

images = mx.nd.random.normal(3, 2, shape=(2, 12, 5, 6))
layer = nn.GroupNorm(ngroups=4, in_channels=12)
layer.initialize()
gamma, beta = (mx.nd.random.normal(shape=(12,)) for _ in range(2))
ours = layer.hybrid_forward(mx.nd, images, gamma, beta)
own = own_norm(layer, mx.nd, images, gamma, beta)
unit = shufflenet.shuffleUnitV2.channel_shuffle
print(json.dumps({
    "group_norm": float((ours - own).abs().max().asscalar()),
    "shuffle": [bool((unit(None, mx.nd, images, n) == own_shuffle(None, mx.nd, images, n)).min()) for n in (2, 3)],
    "classifiers": networks.classifiers(),
}))
"""
REFUSED = """
import sys
import strandline_contract as contract
from vision.models import networks
for name in sys.argv[1:]:
    try:
        networks.build(name, ("a", "b"))
    except contract.BadRequest as error:
        print(error)
"""


def run(folder: Path, *arguments: str) -> str:
    """What a process of Python prints that computes in one thread."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MPLCONFIGDIR": str(folder),
        "PYTHONPATH": str(PROJECT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("networks")
    wanted = [f"{network}={side}" for network, side in NETWORKS.items()]
    return json.loads(run(folder, str(PROJECT / "tests/compare_networks.py"), str(folder), *wanted))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("network", NETWORKS)
def test_all_backends_agree(found, network):
    assert found[network]["classes"] == 7
    assert found[network]["spread"] > 0.1  # or agreeing would be easy
    assert found[network]["probability"] < 1e-4
    assert found[network]["embedding"] < 1e-3
    assert found[network]["labels"]


def test_what_is_written_again_computes_what_gluoncvs_own_does(tmp_path):
    found = json.loads(run(tmp_path, "-c", REWRITTEN))
    assert found["group_norm"] < 1e-5
    assert found["shuffle"] == [True, True]
    assert len(found["classifiers"]) == 130
    assert set(NETWORKS) < set(found["classifiers"])
    assert not {"ssd_300_vgg16_atrous_voc", "hrnet_w48_s", "vgg16_ucf101_int8"} & set(found["classifiers"])


def test_a_network_that_cannot_work_is_refused_with_the_reason(tmp_path):
    int8, unknown, detector = run(
        tmp_path, "-c", REFUSED, "resnet50_v1_int8", "lenet", "yolo3_darknet53_voc"
    ).splitlines()
    assert "int8" in int8
    assert int8.endswith("take resnet50_v1")
    assert "lenet" in unknown
    assert "no network yolo3_darknet53_voc that classifies images" in detector
