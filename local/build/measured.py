"""Measure a bundle on the holdout, as retrain_model does what it has trained.

Without metrics and a reference profile, drift reports have nothing to compare with, and a gate lacks evidence.
"""

import dataclasses
from pathlib import Path
from typing import Any

import strandline_contract as contract
from local.build import bundles
from strandline import ledger, settings
from strandline.models import datasets


def measure(config: settings.Settings, bundle: Path, by: str) -> Path | None:
    """The folder of the same bundle with metrics, reference profile and model card; None, and a sentence, if it cannot
    be measured.

    Args:
        bundle: a folder of the store; attempts lie beside it.
        by: the program that asks.
    """
    with ledger.connect("training") as connection:
        holdout = datasets.latest(connection, "holdout")
    if holdout is None:
        print("There is no holdout to measure it on (docs/retraining.md): drift reports and gates will lack evidence.")
        return None
    found = {"bundle": _reference(config, bundle), "shards": [shard.to_dict() for shard in holdout.shards]}
    runtime = dataclasses.replace(config.vision.runtime(), backend="onnxruntime", precision="f32", device="cpu")
    asked = {"labels": holdout.labels.to_dict(), "runtime": runtime.to_dict()}
    evaluated = _attempt(config, bundle.with_name("evaluate"), "evaluate", found | asked)
    if evaluated is None:
        print(f"It is not measured, for it cannot answer holdout {holdout.dataset_id[:12]}: the line above says why.")
        return None
    files = {"metrics": contract.METRICS_FILE, "predictions": contract.PREDICTIONS_FILE}
    measured = {name: _file(config, evaluated / file) for name, file in files.items()}
    packaged = _attempt(config, bundle.with_name("package"), "package", found | measured | {"made_by": by})
    return packaged / contract.BUNDLE_FOLDER if packaged else None


def _attempt(config: settings.Settings, folder: Path, command: str, request: dict[str, Any]) -> Path | None:
    folder.mkdir()
    contract.write_json(folder / contract.REQUEST_FILE, contract.parse_request(command, request).to_dict())
    if bundles.run_command(config, command, folder):
        return None  # it has said why
    contract.read_result(folder, command)
    return folder


def _reference(config: settings.Settings, bundle: Path) -> dict[str, str]:
    version = contract.sha256_file(bundle / contract.BUNDLE_MANIFEST)
    return contract.BundleRef(str(bundle.relative_to(config.store)), version).to_dict()


def _file(config: settings.Settings, path: Path) -> dict[str, str]:
    return contract.FileRef(str(path.relative_to(config.store)), contract.sha256_file(path)).to_dict()
