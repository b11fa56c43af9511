"""What each vision command is asked, and what it reports beside its files."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from strandline_contract.bundle import BundleRef, ChannelOrder, Interpolation, Preprocessing, Resize, ResizeRule
from strandline_contract.files import MAX_REQUEST_BYTES, FileRef, read_file
from strandline_contract.messages import BadRequest, Message, parse_json

Backend = Literal["openvino", "onnxruntime", "mxnet"]
Precision = Literal["f32", "bf16"]

# Pillow's colour modes that have an agreed conversion to RGB.
MODES = (
    *("1", "L", "LA", "La", "P", "PA", "I;16", "I;16L", "I;16B", "I;16N"),
    *("RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"),
)
# Image formats that can be allowed, by Pillow's names. MPO: several JPEGs in one; HEIF: what phones name HEIC.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
# What each backend can compute in.
PRECISIONS: dict[Backend, tuple[Precision, ...]] = {
    "openvino": ("f32", "bf16"),
    "onnxruntime": ("f32",),
    "mxnet": ("f32",),
}
# Between probabilities of golden images: what rounding explains. Whether bf16 is as good is for `parity` to say.
TOLERANCES: dict[Precision, float] = {"f32": 1e-4, "bf16": 0.1}


@dataclasses.dataclass(frozen=True)
class Limits(Message):
    """What one file may cost: bytes, pixels, sides in pixels, seconds of CPU, bytes of memory.

    A JPEG of more than `max_pixels` is decoded at a reduced scale, up to `max_jpeg_pixels`.
    """

    max_bytes: int = 100 * 2**20
    max_pixels: int = 64_000_000
    max_jpeg_pixels: int = 256_000_000
    max_side: int = 16_384
    min_side: int = 4
    max_aspect: float = 50.0
    max_metadata_bytes: int = 4 * 2**20
    cpu_seconds: int = 10
    memory_bytes: int = 2**30
    formats: tuple[str, ...] = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@dataclasses.dataclass(frozen=True)
class Runtime(Message):
    """What computes a network: by which library, in which precision, on what, in how many threads, and how many images
    at once; None stands for as many as suit the device and the size of the images.

    Raises:
        BadRequest: that is none.
    """

    backend: Backend
    threads: int
    batch_size: int | None = None
    precision: Precision = "f32"
    device: Literal["cpu", "gpu"] = "cpu"

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise BadRequest(f"a batch of {self.batch_size} images: it has at least one")

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} on a {self.device}"


@dataclasses.dataclass(frozen=True)
class PackRequest(Message):
    """Decode the files that a manifest lists into one shard of height x width x 3 pixels, as a `ResizeRule` says.

    Names in the manifest are relative to `root`: to the landing zone, or to the store, which keeps files of datasets.
    Of what is `fetched`, each file comes while the command runs, and has its number in the manifest for a name.

    Raises:
        BadRequest: there is no such rule.
    """

    shard_id: str
    manifest: FileRef
    height: int
    width: int
    limits: Limits
    workers: int
    resize: Resize = "fit"
    crop_ratio: float | None = None
    interpolation: Interpolation = "bicubic"
    root: Literal["landing", "store", "fetched"] = "landing"
    command: Literal["pack"] = "pack"

    def __post_init__(self) -> None:
        self.resize_rule()

    def resize_rule(self) -> ResizeRule:
        return ResizeRule(self.height, self.width, self.resize, self.crop_ratio, self.interpolation)


@dataclasses.dataclass(frozen=True)
class ClassifyRequest(Message):
    """Classify every row of a shard with a bundle's network."""

    shard_id: str
    shard: FileRef
    bundle: BundleRef
    runtime: Runtime
    command: Literal["classify"] = "classify"


@dataclasses.dataclass(frozen=True)
class Corruption(Message):
    """How often an image that is learnt from is changed as cameras and tools change theirs, and how much.

    `jpeg`, `webp`, `blur`, `brightness`: shares of the images, 0..1, that are saved as such a file or get such a
    change. `quality`: the least and the highest of a file, as Pillow counts them, 1..100. `subsampled`: the share of
    JPEGs whose colours have half the resolution (4:2:0). `sigma`: of the widest Gaussian blur, in pixels. `factor`:
    brightness is multiplied by 1 - factor to 1 + factor.

    Raises:
        BadRequest: there are no such shares, qualities or strengths.
    """

    jpeg: float = 0.5
    webp: float = 0.1
    quality: tuple[int, ...] = (30, 95)
    subsampled: float = 0.7
    blur: float = 0.1
    sigma: float = 1.0
    brightness: float = 0.2
    factor: float = 0.3

    def __post_init__(self) -> None:
        shares = (self.jpeg, self.webp, self.jpeg + self.webp, self.subsampled, self.blur, self.brightness)
        if not all(0 <= share <= 1 for share in shares):
            raise BadRequest(f"the shares of {self} are not from 0 to 1")
        if len(self.quality) != 2 or not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise BadRequest(f"quality goes from a least to a highest one of 1 to 100, not {self.quality}")
        if not (0 <= self.sigma <= 100 and 0 <= self.factor <= 1):
            raise BadRequest(f"sigma {self.sigma} or factor {self.factor} is none")


@dataclasses.dataclass(frozen=True)
class TrainRequest(Message):
    """Train a GluonCV network on the labelled images of some shards, from scratch or from the weights of `start`.

    Low-resolution epochs come first: random crops of `low_side` pixels cost about half and teach nearly as much.
    `validation_share` of the images is not learnt from: the weights that are kept are those of the epoch with the least
    loss on it, and `patience` epochs without a better one end the training. No epoch begins that would probably end
    after `seconds`: the learning rate then falls to zero over the epochs that fit. `weight_interpolation` is how
    far the weights go from those of `start` to those that were learnt: 1 is all the way. `resume` names the folder of
    an earlier attempt whose checkpoint is to be continued; `shard_id` is a name for the training. Without a
    `corruption`, images are learnt from as they are.
    """

    name: str
    network: str
    classes: tuple[str, ...]
    shards: tuple[FileRef, ...]
    labels: FileRef
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    epochs: int
    threads: int
    seed: int = 0
    batch_size: int = 128
    peak_lr: float = 0.2
    warmup: float = 0.15
    momentum: float = 0.9
    weight_decay: float = 5e-4
    padding: int = 3
    low_side: int = 24
    low_share: float = 0.5
    device: Literal["cpu", "gpu"] = "cpu"
    resume: str | None = None
    start: BundleRef | None = None
    seconds: float | None = None
    validation_share: float = 0.0
    patience: int | None = None
    weight_interpolation: float = 1.0
    shard_id: str = "train"
    resize: Resize = "fit"
    crop_ratio: float | None = None
    interpolation: Interpolation = "bicubic"
    channel_order: ChannelOrder = "rgb"
    corruption: Corruption | None = None
    command: Literal["train"] = "train"

    def __post_init__(self) -> None:
        self.preprocessing()

    def preprocessing(self) -> Preprocessing:
        """What the trained bundle wants of its images, and the shards have to be made by."""
        return Preprocessing(
            self.height,
            self.width,
            self.resize,
            self.crop_ratio,
            self.interpolation,
            self.mean,
            self.std,
            self.channel_order,
        )


@dataclasses.dataclass(frozen=True)
class EvaluateRequest(Message):
    """Measure a bundle on the labelled images of some shards, and on `corrupted_images` of them as cameras and tools
    change theirs. `shard_id` is a name for the set.
    """

    bundle: BundleRef
    shards: tuple[FileRef, ...]
    labels: FileRef
    runtime: Runtime
    shard_id: str = "evaluate"
    corrupted_images: int = 0
    command: Literal["evaluate"] = "evaluate"


@dataclasses.dataclass(frozen=True)
class Lineage(Message):
    """Where a model comes from: `parent` is the version whose weights it started from; `training_set`, `holdout` and
    `recent_set` are datasets by their ids; `image_digest` is that of the container that trained, None without one.
    """

    parent: str
    training_set: str
    holdout: str
    recent_set: str
    asked_by: str
    reason: str
    report_id: int | None
    run_id: str
    code_revision: str
    image_digest: str | None
    versions: dict[str, str]
    parameters: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class PackageRequest(Message):
    """Seal a trained bundle with its metrics, its reference profile, its model card and, where they are given, its
    learning curves and its lineage. `shard_id` is a name for the bundle.
    """

    bundle: BundleRef
    metrics: FileRef
    predictions: FileRef
    shards: tuple[FileRef, ...]
    labels: FileRef
    made_by: str
    reference_rows: int = 5000
    curves: FileRef | None = None
    lineage: Lineage | None = None
    shard_id: str = "package"
    command: Literal["package"] = "package"


@dataclasses.dataclass(frozen=True)
class ConvertRequest(Message):
    """Give a bundle of the first format a `model.onnx` and golden images. `shard_id` is a name for it."""

    bundle: BundleRef
    threads: int
    shard_id: str = "convert"
    command: Literal["convert"] = "convert"


@dataclasses.dataclass(frozen=True)
class PreflightRequest(Message):
    """Find out whether a host can classify with a bundle on a device. `shard_id` is a name for the check."""

    shard_id: str
    bundle: BundleRef
    runtime: Runtime
    command: Literal["preflight"] = "preflight"


@dataclasses.dataclass(frozen=True)
class PreflightReport(Message):
    """What a host can do. `hardware` is the processor, or a line a card: name, driver, memory; `batch_size` is how many
    images it computed at once; `largest_difference` is between its probabilities of the golden images and those in the
    bundle, None if the bundle has no golden images.
    """

    device: Literal["cpu", "gpu"]
    hardware: tuple[str, ...]
    versions: dict[str, str]
    images_per_second: float
    batch_size: int
    largest_difference: float | None


@dataclasses.dataclass(frozen=True)
class InfraValidateRequest(Message):
    """Run a challenger beside the champion: whether it loads and answers, and how fast both are, in turns.

    `shard_id` is a name for the infra validation.
    """

    shard_id: str
    champion: BundleRef
    challenger: BundleRef
    rounds: int
    runtime: Runtime
    command: Literal["infra_validate"] = "infra_validate"


@dataclasses.dataclass(frozen=True)
class InfraValidationReport(Message):
    """How an infra validation went. `detail` says what happened if the challenger did not load or answer; seconds are
    for one image, a number a round.
    """

    loaded: bool
    detail: str
    champion_seconds: tuple[float, ...]
    challenger_seconds: tuple[float, ...]
    device: Literal["cpu", "gpu"]
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class ParityRequest(Message):
    """Compare what some runtimes answer with what a reference does: on the bundle's golden images, and on the labelled
    images of some shards. `shard_id` is a name for the comparison.
    """

    bundle: BundleRef
    shards: tuple[FileRef, ...]
    labels: FileRef
    reference: Runtime
    runtimes: tuple[Runtime, ...]
    shard_id: str = "parity"
    command: Literal["parity"] = "parity"

    def __post_init__(self) -> None:
        if not self.runtimes:
            raise BadRequest("ParityRequest.runtimes names none: there is nothing to compare")


@dataclasses.dataclass(frozen=True)
class Agreement(Message):
    """How a runtime's answers agree with the reference's, on labelled images. Those that it has no answer to have
    another label than the reference's, a wrong one, and a difference of 1.

    Args:
        equal_labels: images to which both give the same label, right or wrong.
        both_right, reference_right, runtime_right, none_right: images, by which of the two alone is right.
        largest_difference: of a probability of one of the images.
        golden_difference: of a probability of a golden image, from what the bundle says; None if it has none.
        versions: of what decides the values.
    """

    images: int
    equal_labels: int
    both_right: int
    reference_right: int
    runtime_right: int
    none_right: int
    largest_difference: float
    golden_difference: float | None
    images_per_second: float
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class RuntimeParity(Message):
    """What came of a runtime: its agreement, or the reason why this host cannot compute the bundle so."""

    runtime: Runtime
    agreement: Agreement | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class ParityReport(Message):
    """What came of each runtime, in the order in which they were asked for, and what it was compared with."""

    reference: Runtime
    reference_images_per_second: float
    processor: str
    found: tuple[RuntimeParity, ...]


Request = (
    PackRequest
    | ClassifyRequest
    | TrainRequest
    | EvaluateRequest
    | PackageRequest
    | ConvertRequest
    | PreflightRequest
    | InfraValidateRequest
    | ParityRequest
)
REQUESTS: dict[str, type[Any]] = {
    "pack": PackRequest,
    "classify": ClassifyRequest,
    "train": TrainRequest,
    "evaluate": EvaluateRequest,
    "package": PackageRequest,
    "convert": ConvertRequest,
    "preflight": PreflightRequest,
    "infra_validate": InfraValidateRequest,
    "parity": ParityRequest,
}


def parse_request(command: str, raw: object) -> Request:
    """The typed request of a command.

    Raises:
        BadRequest: an unknown command, or a field that is unknown, missing or of the wrong type.
    """
    if command not in REQUESTS:
        raise BadRequest(f"no command {command}; there are {', '.join(REQUESTS)}")
    request: Request = REQUESTS[command].from_dict(raw)
    return request


def read_request(command: str, path: Path) -> Request:
    """As `parse_request`, from a file."""
    try:
        return parse_request(command, parse_json(read_file(path, MAX_REQUEST_BYTES)))
    except BadRequest as error:
        raise BadRequest(f"{path}: {error}") from error
