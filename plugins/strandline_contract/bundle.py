"""A model bundle: an immutable folder, sealed by its manifest, whose SHA-256 is the model version.

Its network is a graph, GluonCV's weights, or both: bundles of the first format have no graph. Beside the files named
here a bundle may have METRICS_FILE, CURVES_FILE, CURVES_PLOT and LINEAGE_FILE.
"""

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Literal

from strandline_contract.files import MAX_FILES, is_whole, plain_name, read_file, store_path
from strandline_contract.messages import BadInput, BadRequest, Message

BUNDLE_MANIFEST = "manifest.json"
GRAPH_FILE = "model.onnx"  # a normalised batch in; `probabilities` and `embedding` out
WEIGHTS_FILE = "weights.params"  # GluonCV's own
GOLDEN_FILE = "golden.parquet"  # some images, and what the network answers to them
CLASSES_FILE = "classes.json"
PREPROCESSING_FILE = "preprocessing.json"
TRAINING_FILE = "training.json"  # how it was trained
SOURCE_FILE = "source.json"  # where it was had from, if it was not trained here
REFERENCE_FILE = "reference.parquet"  # what the version predicted of its holdout
CARD_FILE = "MODEL_CARD.md"
CONVERTED_FILE = "converted.json"  # the version of which it is another format


MAX_SIDE = 2048  # pixels, of what a model sees
Resize = Literal["fit", "crop", "squash"]
Interpolation = Literal["bilinear", "bicubic", "hamming"]  # Pillow's filters
ChannelOrder = Literal["rgb"]


@dataclasses.dataclass(frozen=True)
class ResizeRule(Message):
    """How a picture becomes height x width pixels.

    `fit` takes the largest centred part of that aspect, resized. `crop` resizes the shorter side to `short_side`, which
    is the side divided by `crop_ratio`, and takes the centre: the way in which accuracies on ImageNet are published.
    `squash` takes all of the picture, whatever its aspect.

    Raises:
        BadRequest: a side is out of bounds, or a crop has no ratio, or is not square.
    """

    height: int
    width: int
    resize: Resize = "fit"
    crop_ratio: float | None = None
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise BadRequest(f"no model's image is {self.width} x {self.height} pixels: sides are 1 to {MAX_SIDE:,}")
        if self.resize != "crop" and self.crop_ratio is not None:
            raise BadRequest(f"crop_ratio is of the resize `crop` only, not of `{self.resize}`")
        if self.resize == "crop":
            if self.crop_ratio is None or not 0.1 <= self.crop_ratio <= 1:
                raise BadRequest(f"the resize `crop` needs a crop_ratio from 0.1 to 1, not {self.crop_ratio}")
            if self.height != self.width:
                raise BadRequest(f"a crop is a square, not {self.width} x {self.height} pixels")

    @property
    def short_side(self) -> int:
        """Of a picture that is to be cropped, once it is resized, in pixels."""
        return math.ceil(self.height / (self.crop_ratio or 1))

    def resize_rule(self) -> "ResizeRule":
        """Itself, without what a message has beside it."""
        return ResizeRule(self.height, self.width, self.resize, self.crop_ratio, self.interpolation)

    def __str__(self) -> str:
        how = self.resize if self.crop_ratio is None else f"{self.resize} of {self.crop_ratio:g}"
        return f"{self.width} x {self.height} pixels ({how}, {self.interpolation})"


@dataclasses.dataclass(frozen=True)
class Preprocessing(ResizeRule):
    """What a bundle wants of its images. `mean` and `std` are by channel, of values from 0 to 1, and empty if it does
    not say them; `channel_order` is that of what the network gets: a shard's pixels are RGB, always.

    Raises:
        BadRequest: as a `ResizeRule`, or they are not three numbers each, or no such ones.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channel_order: ChannelOrder = "rgb"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) not in (0, 3) or len(self.mean) != len(self.std):
            raise BadRequest(f"mean and std have a number for each of three channels, not {self.mean} and {self.std}")
        if not all(0 <= mean <= 1 for mean in self.mean) or not all(0 < std <= 1 for std in self.std):
            raise BadRequest(f"mean {self.mean} and std {self.std} are not of values from 0 to 1")


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
