"""Model bundles: an immutable folder of weights, classes, preprocessing and measurements, sealed by a manifest."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import strandline_contract as contract

MANIFEST = "manifest.json"
WEIGHTS, CLASSES, PREPROCESSING = "weights.params", "classes.json", "preprocessing.json"
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
        return self.folder / WEIGHTS


def load(store: Path, ref: contract.BundleRef) -> Bundle:
    """A bundle whose manifest is the version asked for, and whose every file is what the manifest says.

    Raises:
        contract.BadInput: it is missing, altered, malformed, or another version.
    """
    folder = contract.store_path(store, ref.path)
    try:
        raw = contract.read_file(folder / MANIFEST)
        manifest = contract.BundleManifest.from_json(raw)
    except FileNotFoundError as error:
        raise contract.BadInput(f"{folder} is not a model bundle: it has no {MANIFEST}") from error
    except (OSError, contract.BadRequest) as error:
        raise contract.BadInput(f"{folder} is not a model bundle: {error}") from error
    if (found := hashlib.sha256(raw).hexdigest()) != ref.version:
        raise contract.BadInput(f"{folder} is version {found}, the request asks for {ref.version}")
    if missing := sorted({WEIGHTS, CLASSES, PREPROCESSING} - manifest.files.keys()):
        raise contract.BadInput(f"the manifest of {folder} does not name {', '.join(missing)}")
    for name, entry in manifest.files.items():
        if not contract.is_whole(folder, name, entry.sha256):
            raise contract.BadInput(f"{folder / name} is missing or not what the bundle's manifest says")
    try:
        classes, settings = (contract.parse_json(contract.read_file(folder / one)) for one in (CLASSES, PREPROCESSING))
        mean, std = tuple(settings["mean"]), tuple(settings["std"])
        return Bundle(
            folder, ref.version, manifest.network, tuple(classes), settings["height"], settings["width"], mean, std
        )
    except (contract.BadRequest, KeyError, TypeError) as error:
        raise contract.BadInput(f"{folder} has a malformed {CLASSES} or {PREPROCESSING}: {error!r}") from error


def seal(folder: Path, name: str, network: str) -> str:
    """Write the manifest over the folder's files; its SHA-256 is the version."""
    files = {
        path.name: {"sha256": contract.sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    contract.write_json(folder / MANIFEST, {"name": name, "network": network, "files": files})
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


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
    net.save_parameters(str(folder / WEIGHTS))
    write_settings(folder, request.classes, request.height, request.width, request.mean, request.std)
    record = parameters(request) | data_set | done | {"versions": runtime_versions()}
    contract.write_json(folder / "training.json", record)
    return seal(folder, request.name, request.network)


def write_settings(
    folder: Path, classes: tuple[str, ...], height: int, width: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    contract.write_json(folder / CLASSES, list(classes))
    preprocessing = {"height": height, "width": width, "mean": list(mean), "std": list(std)}
    contract.write_json(folder / PREPROCESSING, preprocessing)


def runtime_versions() -> dict[str, str]:
    import mxnet  # its builds for GPUs are installed under other names

    others = {name: installed_version(name) for name in ("gluoncv", "numpy", "pillow", "pyarrow")}
    return {"mxnet": mxnet.__version__} | others
