"""Model bundles: an immutable folder of weights, classes, preprocessing and measurements, sealed by a manifest."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import strandline_contract as contract

NEEDED = {contract.WEIGHTS_FILE, contract.CLASSES_FILE, contract.PREPROCESSING_FILE}
WHERE = ("shards", "labels", "resume", "threads", "shard_id")  # of a training: where its data lay, how fast it was


@dataclass(frozen=True)
class Bundle:
    folder: Path
    version: str
    network: str
    classes: tuple[str, ...]
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def weights(self) -> Path:
        return self.folder / contract.WEIGHTS_FILE


def load(store: Path, ref: contract.BundleRef) -> Bundle:
    """A bundle whose manifest is the version asked for, and whose every file is what the manifest says.

    Raises:
        contract.BadInput: it is missing, altered, malformed, or another version.
    """
    folder = contract.store_path(store, ref.path)
    manifest = contract.verify_bundle(folder, ref.version)
    if missing := sorted(NEEDED - manifest.files.keys()):
        raise contract.BadInput(f"the manifest of {folder} does not name {', '.join(missing)}")
    try:
        classes, settings = (
            contract.parse_json(contract.read_file(folder / one))
            for one in (contract.CLASSES_FILE, contract.PREPROCESSING_FILE)
        )
        mean, std = tuple(settings["mean"]), tuple(settings["std"])
        return Bundle(
            folder, ref.version, manifest.network, tuple(classes), settings["height"], settings["width"], mean, std
        )
    except (contract.BadRequest, KeyError, TypeError) as error:
        files = f"{contract.CLASSES_FILE} or {contract.PREPROCESSING_FILE}"
        raise contract.BadInput(f"{folder} has a malformed {files}: {error!r}") from error


def seal(folder: Path, name: str, network: str) -> str:
    """Write the manifest over the folder's files; its SHA-256 is the version."""
    files = {
        path.name: {"sha256": contract.sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != contract.BUNDLE_MANIFEST
    }
    contract.write_json(folder / contract.BUNDLE_MANIFEST, {"name": name, "network": network, "files": files})
    return hashlib.sha256((folder / contract.BUNDLE_MANIFEST).read_bytes()).hexdigest()


def parameters(request: contract.TrainRequest) -> dict[str, Any]:
    """What a training was asked for, wherever its files lie; a bundle to start from goes by its version."""
    asked = {key: value for key, value in request.to_dict().items() if key not in WHERE}
    return asked | {"start": request.start.version if request.start else None}


def write_trained(
    folder: Path, net: Any, request: contract.TrainRequest, data_set: dict[str, Any], done: dict[str, int]
) -> str:
    """The bundle of a network just trained, not yet measured; returns its version.

    Args:
        data_set: what it was trained on, and `done`: how far, for `training.json`.
    """
    folder.mkdir(exist_ok=True)
    net.save_parameters(str(folder / contract.WEIGHTS_FILE))
    write_settings(folder, request.classes, request.height, request.width, request.mean, request.std)
    record = parameters(request) | data_set | done | {"versions": runtime_versions()}
    contract.write_json(folder / contract.TRAINING_FILE, record)
    return seal(folder, request.name, request.network)


def write_settings(
    folder: Path, classes: tuple[str, ...], height: int, width: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    contract.write_json(folder / contract.CLASSES_FILE, list(classes))
    preprocessing = {"height": height, "width": width, "mean": list(mean), "std": list(std)}
    contract.write_json(folder / contract.PREPROCESSING_FILE, preprocessing)


def runtime_versions() -> dict[str, str]:
    import mxnet  # its builds for GPUs are installed under other names

    others = {name: installed_version(name) for name in ("gluoncv", "numpy", "pillow", "pyarrow")}
    return {"mxnet": mxnet.__version__} | others
