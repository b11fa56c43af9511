"""Make a bundle of a network of GluonCV's: `python -m vision.models.pretrained MODEL --out FOLDER`, of the zoo's
pretrained weights, or with `--weights FILE --classes FILE` of one's own.

The one program of this project that needs a network, so it is no command of the contract. `MXNET_GLUON_REPO` names a
mirror with the zoo's layout.
"""

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import requests

import strandline_contract as contract
from vision.models import bundles, own

ZOO = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# GluonCV's own preprocessing: scripts/classification/cifar and scripts/classification/imagenet. The latter resizes by
# OpenCV's bilinear filter; of Pillow's, Hamming's comes closest to that.
CIFAR = contract.Preprocessing(32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
IMAGENET = contract.Preprocessing(
    224,
    224,
    resize="crop",
    crop_ratio=0.875,
    interpolation="hamming",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
# Sides in pixels, by the first letters of a model's name: those of GluonCV's documents and its image_classification.py.
SIDES = {"inceptionv3": 299, "xception": 299, "nasnet": 331, "resnest101": 256, "resnest200": 320, "resnest269": 416}


class PretrainedError(Exception):
    """The weights cannot be had; the message says why and what to do."""


class OwnWeights(NamedTuple):
    """Weights that somebody trained, as gluon's `save_parameters` writes them, and what they are of."""

    weights: Path
    classes: tuple[str, ...]
    preprocessing: contract.Preprocessing


def make_bundle(model: str, folder: Path, name: str, given: OwnWeights | None = None) -> str:
    """Seal a network with weights of one's own as a bundle, or with the zoo's, which are fetched and checked by SHA-1;
    returns its version.

    Raises:
        PretrainedError: no such model, one that cannot work here, no network, or weights of another hash.
        contract.ContractError: weights of one's own are not of this network.
    """
    threads = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before MXNet is imported
    from vision.models import trained

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        if given:
            net = load(model, given, threads)
            source = {"file": given.weights.name, "sha256": contract.sha256_file(given.weights)}
        else:
            net, source = fetch(model, Path(scratch)), {"zoo": _zoo()}
        classes = given.classes if given else CIFAR10 if model.startswith("cifar_") else tuple(net.classes)
        made = Path(scratch) / "bundle"
        made.mkdir()
        bundles.write_settings(made, classes, given.preprocessing if given else preprocessing(model))
        contract.write_json(made / contract.SOURCE_FILE, {"model": model, **source})
        trained.write_network(made, net, model, threads)
        version = bundles.seal(made, name, model)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return version


def preprocessing(model: str) -> contract.Preprocessing:
    """What GluonCV gave to a model of its zoo when it measured it."""
    if model.startswith("cifar_"):
        return CIFAR
    side = next((side for name, side in SIDES.items() if model.lower().startswith(name)), IMAGENET.height)
    return dataclasses.replace(IMAGENET, height=side, width=side)


def load(model: str, given: OwnWeights, threads: int) -> Any:
    """The gluon block with weights of one's own.

    Raises:
        contract.ContractError: there is no such model, or they are not of it.
    """
    from vision.models import networks

    net, what = networks.build(model, given.classes), f"{model} with {len(given.classes)} classes"
    networks.load_file(net, given.weights, what, networks.context("cpu", threads))
    return net


def fetch(model: str, root: Path) -> Any:
    """The gluon block with its pretrained weights; `root` is where the download goes."""
    from gluoncv.model_zoo import get_model

    from vision.models import networks

    os.environ["MXNET_HOME"] = str(root)
    try:
        networks.check(model)
        net = get_model(model, pretrained=True, root=str(root))
    except contract.BadRequest as error:
        raise PretrainedError(str(error)) from error
    except requests.RequestException as error:
        raise PretrainedError(f"{_unreachable(model)}: {_cause(error)}") from error
    except (RuntimeError, zipfile.BadZipFile) as error:
        raise PretrainedError(f"{_unreachable(model)}: {error}") from error
    except ValueError as error:
        if "different hash" in str(error):
            raise PretrainedError(f"{_zoo()} has a {model} of another SHA-1 than GluonCV expects") from error
        raise PretrainedError(f"GluonCV has no pretrained model {model}: {str(error).splitlines()[0]}") from error
    if not any(root.rglob("*.params")):  # for some, GluonCV does not say that it has none
        raise PretrainedError(f"GluonCV has no pretrained model {model}: it knows the network, but no weights")
    return net


def _zoo() -> str:
    return os.environ.get("MXNET_GLUON_REPO", ZOO)


def _unreachable(model: str) -> str:
    where = f"gluon/models/{model}-*.zip"
    return f"{model} cannot be fetched from {_zoo()} (set MXNET_GLUON_REPO to a mirror that has {where})"


def _cause(error: BaseException) -> str:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error)


def _own_weights(arguments: argparse.Namespace) -> OwnWeights | None:
    """
    Raises:
        contract.BadInput: a file that was named is not what it has to be.
    """
    if not arguments.weights:
        return None
    if not (arguments.weights.is_file() and arguments.classes):
        raise contract.BadInput(f"{arguments.weights} is no file, or no classes are named: give both")
    wanted = preprocessing(arguments.model)
    if arguments.preprocessing:
        wanted = own.read_wanted(arguments.preprocessing).of_bundle()
    return OwnWeights(arguments.weights, own.read_classes(arguments.classes), wanted)


def main() -> int:
    parser = argparse.ArgumentParser(prog="vision.models.pretrained", description=__doc__)
    parser.add_argument("model", help="a name of GluonCV's model zoo, as cifar_resnet110_v1")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--name", help="of the bundle")
    parser.add_argument("--weights", type=Path, help="of one's own, instead of the zoo's")
    parser.add_argument("--classes", type=Path, help="of them: a class a line, in the order of its outputs")
    parser.add_argument("--preprocessing", type=Path, help="JSON; by default what GluonCV gives to that model")
    arguments = parser.parse_args()
    try:
        name = arguments.name or f"{arguments.model}_pretrained"
        print(make_bundle(arguments.model, arguments.out, name, _own_weights(arguments)))
    except (PretrainedError, contract.ContractError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
