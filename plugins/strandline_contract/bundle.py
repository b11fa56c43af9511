"""A model bundle: an immutable folder, sealed by its manifest, whose SHA-256 is the model version.

Its network is a graph, GluonCV's weights, or both: bundles of the first format have no graph. Beside the files named
here a bundle may have METRICS_FILE, CURVES_FILE, CURVES_PLOT and LINEAGE_FILE.
"""

import dataclasses
import hashlib
from pathlib import Path

from strandline_contract.files import MAX_FILES, is_whole, plain_name, read_file, store_path
from strandline_contract.messages import BadInput, BadRequest, Message

BUNDLE_MANIFEST = "manifest.json"
GRAPH_FILE = "model.onnx"  # a normalised batch in; `probabilities` and `embedding` out
WEIGHTS_FILE = "weights.params"  # GluonCV's own
GOLDEN_FILE = "golden.parquet"  # some images, and what the network answers to them
CLASSES_FILE = "classes.json"
PREPROCESSING_FILE = "preprocessing.json"
TRAINING_FILE = "training.json"  # how it was trained
REFERENCE_FILE = "reference.parquet"  # what the version predicted of its holdout
CARD_FILE = "MODEL_CARD.md"
CONVERTED_FILE = "converted.json"  # the version of which it is another format


@dataclasses.dataclass(frozen=True)
class BundleRef(Message):
    """A model bundle of the store: its folder, and its version (the SHA-256 of its manifest)."""

    path: str
    version: str

    def __post_init__(self) -> None:
        store_path(Path(), self.path)


@dataclasses.dataclass(frozen=True)
class BundleFile(Message):
    """A file of a bundle, as its manifest has it."""

    sha256: str
    bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class BundleManifest(Message):
    """What is in a model bundle; the SHA-256 of its JSON is the model version. Files go by plain names.

    Raises:
        BadRequest: a file's name is not a plain one, or there are too many.
    """

    name: str
    network: str
    files: dict[str, BundleFile]

    def __post_init__(self) -> None:
        for name in self.files:
            plain_name(name)
        if len(self.files) > MAX_FILES:
            raise BadRequest(f"a bundle of {len(self.files)} files has more than {MAX_FILES}")


def verify_bundle(folder: Path, version: str | None = None) -> BundleManifest:
    """The manifest of a bundle whose every file agrees with it.

    Args:
        version: that the bundle has to be.

    Raises:
        BadInput: the manifest is missing or malformed, a file is missing or altered, or it is another version.
    """
    try:
        raw = read_file(folder / BUNDLE_MANIFEST)
        manifest = BundleManifest.from_json(raw)
    except FileNotFoundError as error:
        raise BadInput(f"{folder} is not a model bundle: it has no {BUNDLE_MANIFEST}") from error
    except (OSError, BadRequest) as error:
        raise BadInput(f"{folder} is not a model bundle: {error}") from error
    if version and (found := hashlib.sha256(raw).hexdigest()) != version:
        raise BadInput(f"{folder} is version {found}, the request asks for {version}; fetch the bundle again")
    for name, entry in manifest.files.items():
        if not is_whole(folder, name, entry.sha256):
            raise BadInput(f"{folder / name} is missing or not what the bundle's manifest says; fetch the bundle again")
    return manifest
