"""Measure a bundle on a holdout, as retrain_model does what it has trained, and register it: `make measure VERSION=...
[PICTURES=folder]` does so to a version, and the verbs that make a bundle to that.

Without metrics and a reference profile, drift reports have nothing to compare with, and a gate lacks evidence.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import strandline_contract as contract
from local.build import bundles, holdout
from local.build.holdout import HoldoutError
from strandline import ledger, settings
from strandline.models import datasets, registry, versions
from strandline.models.bundles import BundleError, preprocessing, read_json, verify

PROGRAM = "make measure"


def main(version: str, pictures: str) -> int:
    if not version:
        print("make measure VERSION=<the version, or the first digits of it> [PICTURES=folder]", file=sys.stderr)
        return 1
    if not bundles.use_ledger(settings.load()):
        return 1
    return measure_version(settings.get(), version, pictures)


def measure_version(config: settings.Settings, given: str, pictures: str) -> int:
    """Measure the version whose id begins so, and register it as another; 1, and a sentence, if that cannot be."""
    try:
        with ledger.connect("training") as connection:
            found = versions.find(connection, given)
        bundle = contract.store_path(config.store, found["bundle"])
        verify(bundle, found["version"])
    except (ledger.Unreachable, versions.VersionError, BundleError) as error:
        print(error, file=sys.stderr)
        return 1
    with bundles.scratch(config) as scratch:
        return register(config, bundle, scratch, PROGRAM, pictures)


def register(config: settings.Settings, bundle: Path, scratch: Path, by: str, pictures: str = "") -> int:
    """Measure a bundle of the store, and register it; 1, and a sentence, if that cannot be.

    Args:
        scratch: a folder of the store, for what comes up.
        by: the program that asks.
        pictures: a folder of labelled pictures to measure on; by default the newest holdout of its classes.
    """
    try:
        measured = measure(config, bundle, scratch, by, pictures)
        version = registry.register(measured or bundle, by)
    except (ledger.Unreachable, BundleError, HoldoutError, datasets.DatasetError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{verify(bundle).name} is registered as model version {version}: {bundles.NEXT}")
    return 0


def measure(config: settings.Settings, bundle: Path, scratch: Path, by: str, pictures: str = "") -> Path | None:
    """The folder of the same bundle with metrics, reference profile and model card; None, and a sentence, if there is
    nothing to measure it on.

    Raises:
        BundleError: it is not whole.
        HoldoutError, datasets.DatasetError: it cannot be measured on these pictures; the message says why.
    """
    version = contract.sha256_file(bundle / contract.BUNDLE_MANIFEST)
    rule = preprocessing(bundle, version).resize_rule()
    classes = read_json(bundle, verify(bundle, version), contract.CLASSES_FILE)
    reference = contract.BundleRef(str(bundle.relative_to(config.store)), version)
    if pictures:
        return _measure(config, reference, holdout.freeze(config, Path(pictures), classes, rule, by), scratch, by)
    try:
        if found := holdout.latest(config, classes, rule, scratch):
            return _measure(config, reference, found, scratch, by)
        why = "there is no holdout of its classes"
    except HoldoutError as error:
        why = str(error)
    print(
        f"It is not measured, so drift reports and gates will lack evidence: {why}. Measure it on pictures of its"
        " classes: make measure VERSION=<version> PICTURES=folder"
    )
    return None


def _measure(config: settings.Settings, bundle: contract.BundleRef, on: holdout.Packed, scratch: Path, by: str) -> Path:
    asked: dict[str, Any] = {"bundle": bundle.to_dict(), "labels": on.labels.to_dict()}
    asked |= {"shards": [shard.to_dict() for shard in on.shards]}
    runtime = dataclasses.replace(config.vision.runtime(), backend="onnxruntime", precision="f32", device="cpu")
    evaluated = _attempt(config, scratch / "evaluate", "evaluate", asked | {"runtime": runtime.to_dict()})
    files = {"metrics": contract.METRICS_FILE, "predictions": contract.PREDICTIONS_FILE}
    refs = {name: _file(config, evaluated / file) for name, file in files.items()}
    packaged = _attempt(config, scratch / "package", "package", asked | refs | {"made_by": by})
    metrics = contract.parse_json(contract.read_file(evaluated / contract.METRICS_FILE))
    print(f"Of the {metrics['images']:,} images of holdout {on.name} it has {metrics['accuracy']:.1%} right.")
    return packaged / contract.BUNDLE_FOLDER


def _attempt(config: settings.Settings, folder: Path, command: str, request: dict[str, Any]) -> Path:
    folder.mkdir()
    contract.write_json(folder / contract.REQUEST_FILE, contract.parse_request(command, request).to_dict())
    if bundles.run_command(config, command, folder):
        raise HoldoutError(f"{command} failed, and the line above says why")
    contract.read_result(folder, command)
    return folder


def _file(config: settings.Settings, path: Path) -> dict[str, str]:
    return contract.FileRef(str(path.relative_to(config.store)), contract.sha256_file(path)).to_dict()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("version", "pictures"):
        parser.add_argument(f"--{option}", default="")
    sys.exit(main(**vars(parser.parse_args())))
