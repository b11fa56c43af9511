"""What the orchestrator and the vision container say to each other: files, and nothing else.

`vision COMMAND --request request.json` reads its request, writes its outputs beside it, and ends by renaming
`result.json` into place. Paths in a request are relative to the landing zone or to the store, so that the same
request means the same thing on a laptop and inside a container. Standard library only: both sides import this file.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import re
import stat
import types
import typing
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

EXIT_DONE = 0
EXIT_BAD_REQUEST = 64  # do not retry: the request itself is wrong
EXIT_BAD_INPUT = 65  # do not retry: an input is not what its hash says
EXIT_FAILED = 70  # retry
EXIT_TEMPORARY = 75  # retry
DO_NOT_RETRY = frozenset({EXIT_BAD_REQUEST, EXIT_BAD_INPUT})

STATES = ("ingested", "duplicate", "quarantined", "rejected", "vanished")
# Pillow's colour modes that have an agreed conversion to RGB.
MODES = (
    *("1", "L", "LA", "La", "P", "PA", "I;16", "I;16L", "I;16B", "I;16N"),
    *("RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"),
)

# Image formats that can be allowed, by Pillow's names. MPO: several JPEGs in one; HEIF: what phones name HEIC.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")

FILE_BYTES = "STRANDLINE_FILE_BYTES"  # environment variable: the size that a command may give to a file

REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
MANIFEST_FILE = "manifest.parquet"
SHARD_FILE = "shard.parquet"
OUTCOMES_FILE = "outcomes.parquet"
PREDICTIONS_FILE = "predictions.parquet"
METRICS_FILE = "metrics.json"
PREFLIGHT_FILE = "preflight.json"
TRIAL_FILE = "trial.json"
CHECKPOINT_FILE = "checkpoint.npz"
CURVES_FILE = "curves.json"
CURVES_PLOT = "curves.svg"
LINEAGE_FILE = "lineage.json"
BUNDLE_FOLDER = "bundle"

MAX_JSON_BYTES = 2**20  # of a result, a manifest, a report: what is larger is not read
MAX_REQUEST_BYTES = 2**24  # a training may name thousands of shards
MAX_FILE_BYTES = 2**36
MAX_FILES = 64  # of a bundle, or of an attempt

# Columns of the Parquet files, in order, as (name, Arrow type in its own words).
MANIFEST_COLUMNS = (("entry", "int32"), ("name", "binary"), ("version", "string"))
IMAGE_STATISTICS = ("brightness", "contrast", "saturation", "sharpness")
SHARD_COLUMNS = (
    ("image_id", "string"),
    ("pixels", "binary"),  # height x width x 3, uint8, RGB, row by row
    ("width", "int32"),  # of the original, upright
    ("height", "int32"),
    ("format", "string"),
    ("bytes", "int64"),
    *((name, "float") for name in IMAGE_STATISTICS),
)
OUTCOME_COLUMNS = (
    ("entry", "int32"),
    ("status", "string"),  # decoded, or one of STATES but the first two
    ("reason", "string"),  # a code of the table in docs/reasons.md; null where decoded
    ("detail", "string"),  # for a person; free of control characters
    ("notes", "string"),  # codes joined by a space
    ("image_id", "string"),  # null where the bytes were not read whole
    ("width", "int32"),
    ("height", "int32"),
    ("format", "string"),
    ("mode", "string"),
    ("bytes", "int64"),
    *((name, "float") for name in IMAGE_STATISTICS),
    ("dhash", "int64"),  # 64 bits of what it looks like: vision.pixels.dhash
)
PREDICTION_COLUMNS = (
    ("image_id", "string"),
    ("label", "string"),  # null where the image failed
    ("confidence", "float"),
    ("probabilities", "list<item: float>"),  # in the order of the bundle's classes
    ("embedding", "list<item: float>"),  # the input of the output layer
    ("failure", "string"),  # null where the image was classified
)
LABEL_COLUMNS = (("image_id", "string"), ("label", "string"))


_VERSION = re.compile(r"([0-9]+)-(-?[0-9]+)(?:-c(-?[0-9]+))?(?:-i([0-9]+))?(?![0-9])")


def version_tag(status: os.stat_result, fields: Collection[str]) -> str:
    """What tells the states of a landed file apart without opening it: `<size>-<mtime>-c<ctime>-i<inode>`, times in ns.

    Bytes of the same size can be put under the same name and modification time; change time and inode then differ.

    Args:
        fields: those of `ctime` and `inode` that the file system keeps.
    """
    changed = f"-c{status.st_ctime_ns}" if "ctime" in fields else ""
    return f"{status.st_size}-{status.st_mtime_ns}{changed}" + (f"-i{status.st_ino}" if "inode" in fields else "")


def is_version(status: os.stat_result, version: str) -> bool:
    """Whether a file is still the listed version, by all that the version says; remarks behind it are passed over."""
    match = _VERSION.match(version)
    if not match:
        return False
    found = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return all(said is None or int(said) == one for said, one in zip(match.groups(), found, strict=True))


def plain_version(version: str) -> str:
    """The version as it was once written, `<size>-<mtime>`, with the same remarks."""
    match = _VERSION.match(version)
    return f"{match[1]}-{match[2]}{version[match.end() :]}" if match else version


def changed_ns(version: str) -> int | None:
    """The change time that a version names, ns since 1970."""
    match = _VERSION.match(version)
    return int(match[3]) if match and match[3] else None


class ContractError(Exception):
    """
    ContractError
    ├── BadRequest   the request is malformed: exit 64
    ├── BadInput     an input file does not match its hash: exit 65
    └── NoResult     an attempt has no result that agrees with its files
    """


class BadRequest(ContractError):
    pass


class BadInput(ContractError):
    pass


class NoResult(ContractError):
    pass


@dataclasses.dataclass(frozen=True)
class Message:
    """A flat JSON object; unknown, missing and mistyped fields are refused by name."""

    @classmethod
    def from_dict(cls, raw: object) -> Self:
        if not isinstance(raw, dict):
            raise BadRequest(f"{cls.__name__} must be a JSON object, not {type(raw).__name__}")
        hints = typing.get_type_hints(cls)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(raw) - set(fields)):
            raise BadRequest(f"{cls.__name__} has no field {', '.join(map(str, unknown))}")
        required = {
            name
            for name, field in fields.items()
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        if missing := sorted(required - set(raw)):
            raise BadRequest(f"{cls.__name__} lacks {', '.join(missing)}")
        return cls(**{name: _parse(hints[name], value, f"{cls.__name__}.{name}") for name, value in raw.items()})

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """
        Raises:
            BadRequest: it is not JSON, or no message of this kind.
        """
        return cls.from_dict(parse_json(raw))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text: of numbers only finite ones, of texts only what every reader and the ledger can hold.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        written.encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"no JSON that can be read: {str(error)[:200]}") from error
    if "\\u0000" in written:
        raise BadRequest("no JSON that can be read: it has the character NUL")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _parse(kind: Any, value: object, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _parse(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise BadRequest(f"{where} must be one of {', '.join(map(str, arguments))}, not {value!r}")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {str(key): _parse(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Message):
        try:
            return value if isinstance(value, kind) else kind.from_dict(value)
        except BadRequest as error:
            raise BadRequest(f"{where}: {error}") from error
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise BadRequest(f"{where} must be {getattr(kind, '__name__', kind)}, not {type(value).__name__}")


@dataclasses.dataclass(frozen=True)
class FileRef(Message):
    """A file of the store: path relative to the store, SHA-256 in hex."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        store_path(Path(), self.path)


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
class PackRequest(Message):
    """Decode the files that a manifest lists into one shard of height x width x 3 pixels."""

    shard_id: str
    manifest: FileRef
    height: int
    width: int
    limits: Limits
    workers: int
    command: Literal["pack"] = "pack"


@dataclasses.dataclass(frozen=True)
class ClassifyRequest(Message):
    """Classify every row of a shard with a bundle's network."""

    shard_id: str
    shard: FileRef
    bundle: BundleRef
    batch_size: int
    threads: int
    device: Literal["cpu", "gpu"] = "cpu"
    command: Literal["classify"] = "classify"


@dataclasses.dataclass(frozen=True)
class TrainRequest(Message):
    """Train a GluonCV network on the labelled images of some shards, from scratch or from the weights of `start`.

    Low-resolution epochs come first: random crops of `low_side` pixels cost about half and teach nearly as much.
    `validation_share` of the images is not learnt from: the weights that are kept are those of the epoch with the least
    loss on it, and `patience` epochs without a better one end the training. No epoch begins that would probably end
    after `seconds`: the learning rate then falls to zero over the epochs that fit. `blend` is how far the weights go
    from those of `start` to those that were learnt: 1 is all the way. `resume` names the folder of an earlier attempt
    whose checkpoint is to be continued; `shard_id` is a name for the training.
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
    blend: float = 1.0
    shard_id: str = "train"
    command: Literal["train"] = "train"


@dataclasses.dataclass(frozen=True)
class EvaluateRequest(Message):
    """Measure a bundle on the labelled images of some shards. `shard_id` is a name for the set."""

    bundle: BundleRef
    shards: tuple[FileRef, ...]
    labels: FileRef
    batch_size: int
    threads: int
    device: Literal["cpu", "gpu"] = "cpu"
    shard_id: str = "evaluate"
    command: Literal["evaluate"] = "evaluate"


@dataclasses.dataclass(frozen=True)
class Lineage(Message):
    """Where a model comes from: `parent` is the version whose weights it started from; `training_set`, `holdout` and
    `gate_window` are datasets by their ids; `image_digest` is that of the container that trained, None without one.
    """

    parent: str
    training_set: str
    holdout: str
    gate_window: str
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
    made_by: str
    reference_rows: int = 5000
    curves: FileRef | None = None
    lineage: Lineage | None = None
    shard_id: str = "package"
    command: Literal["package"] = "package"


@dataclasses.dataclass(frozen=True)
class PreflightRequest(Message):
    """Find out whether a host can classify with a bundle on a device. `shard_id` is a name for the check."""

    shard_id: str
    bundle: BundleRef
    batch_size: int
    threads: int
    device: Literal["cpu", "gpu"] = "cpu"
    command: Literal["preflight"] = "preflight"


@dataclasses.dataclass(frozen=True)
class PreflightReport(Message):
    """What a host can do. `hardware` is the processor, or a line a card: name, driver, memory; `largest_difference`
    is between probabilities of the GPU and of the CPU, None where no GPU was asked for.
    """

    device: Literal["cpu", "gpu"]
    hardware: tuple[str, ...]
    versions: dict[str, str]
    images_per_second: float
    largest_difference: float | None


@dataclasses.dataclass(frozen=True)
class TrialRequest(Message):
    """Try a challenger beside the champion: whether it loads and answers, and how fast both are, in turns.

    `shard_id` is a name for the trial.
    """

    shard_id: str
    champion: BundleRef
    challenger: BundleRef
    rounds: int
    batch_size: int
    threads: int
    device: Literal["cpu", "gpu"] = "cpu"
    command: Literal["trial"] = "trial"


@dataclasses.dataclass(frozen=True)
class TrialReport(Message):
    """How a trial went. `detail` says what happened where the challenger did not load or answer; seconds are for one
    image, a number a round.
    """

    loaded: bool
    detail: str
    champion_seconds: tuple[float, ...]
    challenger_seconds: tuple[float, ...]
    device: Literal["cpu", "gpu"]
    versions: dict[str, str]


Request = (
    PackRequest | ClassifyRequest | TrainRequest | EvaluateRequest | PackageRequest | PreflightRequest | TrialRequest
)
REQUESTS: dict[str, type[Any]] = {
    "pack": PackRequest,
    "classify": ClassifyRequest,
    "train": TrainRequest,
    "evaluate": EvaluateRequest,
    "package": PackageRequest,
    "preflight": PreflightRequest,
    "trial": TrialRequest,
}


@dataclasses.dataclass(frozen=True)
class Result(Message):
    """What an attempt did. `request` is the SHA-256 of the request it answers; `files` maps each output to its
    SHA-256; `counts` are rows, `seconds` wall-clock by phase, `versions` of the libraries that decided the values.
    """

    command: str
    request: str
    files: dict[str, str]
    counts: dict[str, int]
    seconds: dict[str, float]
    versions: dict[str, str]
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in self.files:
            plain_name(name.removeprefix(f"{BUNDLE_FOLDER}/"))
        if len(self.files) > MAX_FILES or {REQUEST_FILE, RESULT_FILE, BUNDLE_FOLDER} & self.files.keys():
            raise BadRequest(f"a result names {MAX_FILES} files at the most, and neither itself nor its request")


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


def write_json(path: Path, value: object) -> None:
    """As `write_whole`."""
    write_whole(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """As `whole`, of what is at hand."""
    with whole(path) as file:
        file.write(content)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes its name once it is on the disk: a reader never sees half of it.

    If the block or the disk fails, nothing is left behind, and what had the name before still has it.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_result(
    folder: Path,
    command: str,
    files: Iterable[str],
    counts: dict[str, int],
    seconds: dict[str, float],
    versions: dict[str, str],
    device: str = "cpu",
) -> Result:
    """Seal an attempt: hash its outputs and rename `result.json` into place."""
    result = Result(
        command=command,
        request=sha256_file(folder / REQUEST_FILE),
        files={name: sha256_file(folder / name) for name in files},
        counts=counts,
        seconds={phase: round(value, 4) for phase, value in seconds.items()},
        versions=versions,
        device=device,
    )
    write_json(folder / RESULT_FILE, result.to_dict())
    return result


def read_result(folder: Path, command: str, max_bytes: int = MAX_FILE_BYTES) -> Result:
    """The result of a sealed attempt, checked against the request and the files that lie beside it.

    Raises:
        NoResult: no result, a result of something else, or an output that is missing, altered, no regular file, or
            larger than `max_bytes`.
    """
    path = folder / RESULT_FILE
    try:
        result = Result.from_json(read_file(path))
    except (OSError, BadRequest) as error:
        raise NoResult(f"{path} cannot be read ({error}): the attempt did not happen, run it again") from error
    if result.command != command or not is_whole(folder, REQUEST_FILE, result.request, MAX_REQUEST_BYTES):
        raise NoResult(f"{path} answers another request: the attempt did not happen, run it again")
    for name, digest in result.files.items():
        if not is_whole(folder, name, digest, max_bytes):
            raise NoResult(f"{folder / name} is missing or not what {path} says: run the attempt again")
    return result


def is_whole(folder: Path, name: str, sha256: str, max_bytes: int = MAX_FILE_BYTES) -> bool:
    """Whether a folder has a regular file of this name, no larger than that, with this content."""
    try:
        with open_file(store_path(folder, name), max_bytes, folder) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def open_file(path: Path, max_bytes: int = MAX_FILE_BYTES, beneath: Path | None = None) -> io.BufferedReader:
    """A regular file, to be read. No link is followed: not at its end, nor in the folders between `beneath` (by default
    the file's own folder) and it. Nothing waits, whatever lies there.

    Raises:
        OSError: it is missing, no regular file, a link, or larger than `max_bytes`.
    """
    beneath = beneath or path.parent
    *folders, name = path.relative_to(beneath).parts
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(beneath, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in folders:
            inner = os.open(each, os.O_PATH | os.O_DIRECTORY | flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Looked at before it is opened, since opening a device can have effects.
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(f"{path} is no regular file")
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | flags, dir_fd=folder)
    finally:
        os.close(folder)
    file = os.fdopen(descriptor, "rb")
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= max_bytes:
        return file
    file.close()
    raise OSError(f"{path} is no regular file of at most {max_bytes:,} bytes")


def read_file(path: Path, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """All of a file that `open_file` opens.

    Raises:
        OSError: as there, or it grew while it was read.
    """
    with open_file(path, max_bytes) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(f"{path} grew beyond {max_bytes:,} bytes while it was read")
    return content


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_name(name: str) -> str:
    """The name, once it is known to be that of a file in whatever folder it is joined to: one component, of printable
    characters, that climbs nowhere.

    Raises:
        BadRequest: it is not.
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(os.fsencode(name)) > 255:
        raise BadRequest(f"{name[:300]!r} is not the plain name of a file")
    return name


def store_path(store: Path, relative: str) -> Path:
    """A path below the store, or another folder: plain names with a slash between them.

    Raises:
        BadRequest: the path is empty or absolute, climbs, or has a name that is not plain.
    """
    try:
        return store.joinpath(*(plain_name(name) for name in relative.split("/")))
    except BadRequest as error:
        raise BadRequest(f"{relative[:300]!r} must be relative to the store and stay inside it: {error}") from error


def verified(store: Path, ref: FileRef) -> Path:
    """The file that `ref` names, once its hash was checked.

    Raises:
        BadInput: it is missing, no regular file, or has other content.
    """
    path = store_path(store, ref.path)
    try:
        with open_file(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    if found != ref.sha256:
        raise BadInput(f"{path} has SHA-256 {found}, the request says {ref.sha256}")
    return path
