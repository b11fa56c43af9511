"""Model bundles: an immutable folder of weights, classes, preprocessing and measurements, sealed by a manifest."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

import strandline_contract as contract

NEEDED = {contract.CLASSES_FILE, contract.PREPROCESSING_FILE}
NETWORKS = {contract.GRAPH_FILE, contract.WEIGHTS_FILE}  # of which it has at least one
MAX_GRAPH_BYTES = 2**30


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
    resize: contract.Resize = "fit"
    crop_ratio: float | None = None
    interpolation: contract.Interpolation = "bicubic"
    channel_order: contract.ChannelOrder = "rgb"

    def resize_rule(self) -> contract.ResizeRule:
        return contract.ResizeRule(self.height, self.width, self.resize, self.crop_ratio, self.interpolation)

    @property
    def weights(self) -> Path:
        """GluonCV's own, which MXNet loads and a training starts from; an imported model has none."""
        return self.folder / contract.WEIGHTS_FILE

    @property
    def graph(self) -> Path:
        """The network for the other backends; a bundle of the first format has none."""
        return self.folder / contract.GRAPH_FILE


def load(store: Path, ref: contract.BundleRef) -> Bundle:
    """A bundle whose manifest is the version asked for, and whose every file is what the manifest says.

    Raises:
        contract.BadInput: it is missing, altered, malformed, or another version.
    """
    folder = contract.store_path(store, ref.path)
    manifest = contract.verify_bundle(folder, ref.version)
    if missing := sorted(NEEDED - manifest.files.keys()):
        raise contract.BadInput(f"the manifest of {folder} does not name {', '.join(missing)}")
    if not NETWORKS & manifest.files.keys():
        raise contract.BadInput(f"the manifest of {folder} names no network: neither {' nor '.join(sorted(NETWORKS))}")
    return read(folder, ref.version, manifest.network)


def read(folder: Path, version: str, network: str) -> Bundle:
    """A bundle by what its folder says of its classes and images.

    Raises:
        contract.BadInput: it is malformed.
    """
    try:
        classes, settings = (
            contract.parse_json(contract.read_file(folder / one))
            for one in (contract.CLASSES_FILE, contract.PREPROCESSING_FILE)
        )
        preprocessing = contract.Preprocessing.from_dict(settings)
        if not preprocessing.mean:
            raise contract.BadRequest("it does not say mean and std")
        return Bundle(folder, version, network, tuple(classes), **vars(preprocessing))
    except (contract.BadRequest, TypeError) as error:
        files = f"{contract.CLASSES_FILE} or {contract.PREPROCESSING_FILE}"
        raise contract.BadInput(f"{folder} has a malformed {files}: {error!r}") from error


def read_graph(bundle: Bundle) -> bytes:
    """A bundle's `model.onnx`.

    Raises:
        contract.BadInput: it has none, or one that is too large.
    """
    try:
        return contract.read_file(bundle.graph, MAX_GRAPH_BYTES)
    except FileNotFoundError as error:
        raise contract.BadInput(
            f"{bundle.folder} is a bundle of the first format, without {contract.GRAPH_FILE}: convert it (make convert)"
            " or set STRANDLINE_BACKEND=mxnet"
        ) from error
    except OSError as error:
        raise contract.BadInput(f"{bundle.graph} cannot be read: {error}") from error


def seal(folder: Path, name: str, network: str) -> str:
    """Write the manifest over the folder's files; its SHA-256 is the version."""
    files = {
        path.name: {"sha256": contract.sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != contract.BUNDLE_MANIFEST
    }
    contract.write_json(folder / contract.BUNDLE_MANIFEST, {"name": name, "network": network, "files": files})
    return hashlib.sha256((folder / contract.BUNDLE_MANIFEST).read_bytes()).hexdigest()


def write_settings(folder: Path, classes: tuple[str, ...], preprocessing: contract.Preprocessing) -> None:
    contract.write_json(folder / contract.CLASSES_FILE, list(classes))
    contract.write_json(folder / contract.PREPROCESSING_FILE, preprocessing.to_dict())


def installed(*names: str) -> dict[str, str]:
    """The versions of these distributions."""
    return {name: installed_version(name) for name in names}
