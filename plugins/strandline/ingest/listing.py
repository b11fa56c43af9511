"""A run's listing: what it takes up of the landing zone, cut into shards and frozen."""

import array
import collections
import dataclasses
import datetime
import hashlib
import itertools
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import pyarrow
import pyarrow.parquet

import strandline_contract as contract
from strandline import bucket, ledger, periods, settings
from strandline.errors import PermanentError
from strandline.ingest.taken import Taken
from strandline.models import bundles, runtimes, versions
from strandline.scan import DETAILS, Entry, class_of, path_period, scan

log = logging.getLogger(__name__)

CHUNK = 10_000  # files that are compared with the ledger at a time
MIN_SHARD = 2_000  # entries that are worth a task of their own while nothing else would run
DEFAULT_SHARD, MAX_SHARD = 16_384, 65_536  # entries; the most that a retry may cost
SHARD_BYTES = 2**30  # of pixels, whoever asks for more: 65,536 images of 224 x 224 would be 9.9 GB
LIMITS = ("max_pixels", "max_side", "max_file_bytes")  # of the settings, that a run may have of its own
LEFT = ("deferred", "future")  # states of files that are left for another run
STARTUP_SHARE = 0.1  # of a classification's seconds

Kind = Literal["scheduled", "manual", "backfill"]


class ListingError(PermanentError):
    """A run cannot be listed and another try cannot help; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What is asked of a run: its id, its interval [start, end) of full periods UTC, and its parameters.

    A `scheduled` run takes up entries of older drops too that have no outcome, the others keep to their interval.
    `model_version` None stands for the champion; `shard_size`, `quarantine_limit` and the limits `max_pixels`,
    `max_side` and `max_file_bytes` None for the settings. What was refused earlier is listed again where one of
    `release` names its reason (or SET_ASIDE: all of a folder that was set aside), its file or a folder of it, as people
    see them, or is `all`. If there are `drops`, the run takes these alone.

    Raises:
        ListingError: the interval is not one or more full periods.
    """

    run_id: str
    kind: Kind
    start: datetime.datetime
    end: datetime.datetime
    model_version: str | None = None
    shard_size: int | None = None
    quarantine_limit: float | None = None
    dry_run: bool = False
    release: tuple[str, ...] = ()
    drops: frozenset[datetime.datetime] = frozenset()
    max_pixels: int | None = None
    max_side: int | None = None
    max_file_bytes: int | None = None

    def __post_init__(self) -> None:
        period = periods.get()
        if not period.are_full(self.start, self.end):
            raise ListingError(
                f"run {self.run_id} has the interval {self.start} to {self.end}: it must be one or more full"
                f" {period.noun}s with a time zone; name one, as {period.example}"
            )

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """The run of an Airflow task's context.

        Its period is the parameter `period`, or those of the files which `release` names; else that of its data
        interval; of a run by hand to which Airflow gave none of its own (its command line does), and of a backfill,
        which may repeat such a run, the one that the logical date names; without any, the last complete one.

        Raises:
            ListingError: two periods are named, or one for each run of a backfill, or it has not begun; or of the files
                to release, some name several periods and others none.
            PeriodError: the parameter is no period.
        """
        period, params, dag_run = periods.get(), context["params"], context["dag_run"]
        run_type = getattr(dag_run.run_type, "value", dag_run.run_type)
        kind: Kind = run_type if run_type in ("scheduled", "backfill") else "manual"
        logical_date, now = context.get("logical_date"), dag_run.run_after
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        release = _release(params.get("release"))
        if params.get("period"):
            named = [period.parse(params["period"])]
        else:
            named = _periods(release) if kind == "manual" else []
        if named:
            start, end = named[0], named[-1] + period.length
            _check_named_once(kind, start, logical_date)
        elif (
            kind == "backfill"
            or start is None
            or end is None
            or (kind == "manual" and start == period.named(now, now) == end - period.length)
        ):
            start = period.named(logical_date or now, now)
            end = start + period.length
        if start > datetime.datetime.now(datetime.UTC):
            raise ListingError(
                f"the {period.noun} {period.write(start)} (UTC) has not begun, so nothing can have landed in it: name"
                " another"
            )
        # A backfill that repeats a run clears it: that is a listing of its own, and not the frozen one once more.
        repeats = getattr(dag_run, "clear_number", 0) if kind == "backfill" else 0
        return cls(
            run_id=f"{context['run_id']}~{repeats}" if repeats else context["run_id"],
            kind=kind,
            start=datetime.datetime.fromtimestamp(start.timestamp(), datetime.UTC),
            end=datetime.datetime.fromtimestamp(end.timestamp(), datetime.UTC),
            model_version=params.get("model_version"),
            shard_size=params.get("shard_size"),
            quarantine_limit=params.get("quarantine_limit"),
            dry_run=bool(params.get("dry_run")),
            release=release,
            drops=frozenset(named if len(named) > 1 else ()),
            **{name: params.get(name) for name in LIMITS},
        )

    def takes(self, drop: datetime.datetime) -> bool:
        """Whether entries of a drop are looked at."""
        if self.drops:
            return drop in self.drops
        return drop < self.end and (self.kind == "scheduled" or self.start <= drop)


@dataclasses.dataclass(frozen=True)
class Refused(contract.Message):
    """Entries that the listing settled by itself, for one reason: quarantined or rejected unopened."""

    state: str
    reason: str
    entries: int


class Listing(NamedTuple):
    """What a run lists: entries by shard; those that are in none; how many files lie in periods that have not begun."""

    shards: dict[str, int]
    refused: tuple[Refused, ...]
    future: int


class Seen(NamedTuple):
    """How many files a listing saw, knew and left for another run, `future` of these in periods that have not begun."""

    files_seen: int
    known: int
    deferred: int
    future: int


@dataclasses.dataclass(frozen=True)
class ListedRun(contract.Message):
    """A run, as its listing has frozen it.

    Args:
        periods: that it takes, for people.
        bundle: the model's, relative to the store.
        listed: entries in shards; `refused` are those that the listing settled by itself.
        future: files in periods that have not begun.
        quarantine_limit: the largest share in quarantine of a folder; `source_limits` are such shares for the folders
            of sources that have one of their own, by name.
        limits: of what one file may cost.
    """

    run_id: str
    periods: str
    model_version: str
    classes: tuple[str, ...]
    bundle: str
    listed: int
    refused: tuple[Refused, ...]
    future: int
    dry_run: bool
    quarantine_limit: float
    source_limits: dict[str, float]
    limits: contract.Limits


class Listed(NamedTuple):
    """A listed run, and a request for each of its shards. No file name is in it."""

    run: ListedRun
    pack: list[contract.PackRequest]


@dataclasses.dataclass(frozen=True)
class PackedShard:
    """A shard of which validation accepted images: where it lies (relative to the store), its rows and its SHA-256."""

    shard_id: str
    folder: str
    rows: int
    sha256: str


def _release(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) and given else tuple(given or ())


def _periods(release: Sequence[str]) -> list[datetime.datetime]:
    """The periods that the paths of files name, in order; none if none does."""
    found = {path_period(name.encode() + b"/") for name in release}
    named = sorted(start for start in found if start)
    if None in found and len(named) > 1:
        raise ListingError(
            "some of what is to be released names no period, and the rest several: give the parameter Period, and"
            " release what is of one period at a time"
        )
    return named


def _check_named_once(kind: Kind, start: datetime.datetime, logical_date: datetime.datetime | None) -> None:
    period = periods.get()
    if kind == "backfill":
        raise ListingError(
            f"a backfill takes each {period.noun} of its range: start it again without the parameter Period"
        )
    if logical_date not in (None, start) and period.floor(logical_date) == logical_date:
        raise ListingError(
            f"the logical date names the {period.noun} {period.write(logical_date)} and the parameter Period another,"
            f" {period.write(start)}: give one of them"
        )


def list_entries(run: Run) -> Listed:
    """List what a run takes up, cut it into shards, and freeze both in the ledger.

    A run that was listed before keeps its listing and its model version. A dry run leaves nothing in the ledger.

    Raises:
        ListingError: there is no such model, or its bundle is gone; the message says what to do.
        UnprovedRuntime: the model may not be computed as the settings say.
        LandingError: the landing zone cannot be read.
    """
    config = settings.get()
    log.info("this run takes %s (UTC), and is %s", periods.get().says(run.start, run.end), run.kind)
    with ledger.connect("ingest") as connection:
        if not ledger.fetch(connection, "select_run", {"run_id": run.run_id}):
            ledger.check_period(connection)
            model = versions.find_or_champion(connection, run.model_version)
            runtimes.proved(connection, config.vision.runtime(), model["version"])  # before any image is touched
            listing = _list_new(connection, run, model, config)
            if run.dry_run:
                return _answer(run, model, listing, config)
        # Also after a listing of our own: another attempt at the same run may have been first.
        model, listing = _frozen(connection, run.run_id, config)
    return _answer(run, model, listing, config)


def _list_new(connection: ledger.Connection, run: Run, model: Mapping[str, Any], config: settings.Settings) -> Listing:
    """Scan, plan, write the manifests and record the listing."""
    rule = _resize_rule(model, config)
    packing = rule.to_dict() | {"limits": _limits(run, config).to_dict()}
    size = run.shard_size or config.ingest.shard_size or _measured_size(connection, model["version"])
    size = min(size, max(1, SHARD_BYTES // (rule.height * rule.width * 3)))
    with Taken() as taken:
        seen = _take_up(connection, run, model["version"], config, taken)
        shards = {}
        for shard in plan(taken, size, config.ingest.max_shards, parallel(len(taken), size, config.vision)):
            id_ = shard_id(shard, packing)
            write_manifest(_manifest(config, run.run_id, id_), [(entry.name, entry.version) for entry in shard])
            shards[id_] = len(shard)
        if not run.dry_run:
            row = {"run_id": run.run_id, "kind": run.kind, "model_version": model["version"], "listed": len(taken)}
            row |= {"interval_start": run.start, "interval_end": run.end, **seen._asdict()}
            ledger.record_listing(connection, row, _listed(taken, shards, model["classes"]))
    settled = sorted((state, reason or "", n) for (state, reason), n in taken.ends.items() if state)
    return Listing(shards, tuple(Refused(*one) for one in settled), seen.future)


def _take_up(
    connection: ledger.Connection, run: Run, model_version: str, config: settings.Settings, taken: Taken
) -> Seen:
    """Find the entries that a run lists; returns what it saw beside them."""
    count = known = 0
    left: collections.Counter[str] = collections.Counter()
    to_come: set[datetime.datetime] = set()
    asked = run.takes, time.time_ns(), _limits(run, config).max_bytes
    zone = config.landing
    found = scan(zone, *asked) if isinstance(zone, Path) else bucket.scan(config, *asked)
    while chunk := list(itertools.islice(found, CHUNK)):
        left.update(entry.state for entry in chunk if entry.state in LEFT)
        to_come.update(entry.drop for entry in chunk if entry.state == "future")
        waiting = [entry for entry in chunk if entry.state not in LEFT]
        open_ = _open_entries(connection, run, model_version, waiting)
        taken.add(open_)
        count += len(open_)
        known += len(waiting) - len(open_)
        log.info("%d files taken up, %d known, %d left for the next run", count, known, left.total())
    taken.sort()
    if to_come:
        period = periods.get()
        shown = ", ".join(map(period.write, sorted(to_come)[:5]))
        log.warning("%d files lie in %ss that have not begun, such as %s", left["future"], period.noun, shown)
    reasons: collections.Counter[str] = collections.Counter()
    for (_, reason), entries in taken.ends.items():
        reasons[reason or "to be packed"] += entries
    log.info("of the files taken up: %s", ", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "none")
    return Seen(known + left.total() + len(taken), known, left.total(), left["future"])


def _open_entries(connection: ledger.Connection, run: Run, model_version: str, seen: Sequence[Entry]) -> list[Entry]:
    """Those of the files seen that a run takes up. One that had vanished and is back is a new version of itself, and so
    is one that was refused and is released.
    """
    drops, names, versions = ([getattr(entry, field) for entry in seen] for field in ("drop", "name", "version"))
    query = {"start": run.start, "model": model_version, "release": list(run.release), "drops": drops, "names": names}
    query |= {"versions": versions, "next": list(map(_again, versions))}
    rows = ledger.fetch(connection, "select_open_entries", query)
    found = [(seen[row["position"]], row["returned"]) for row in rows]
    back = [entry._replace(version=_again(entry.version)) for entry, returned in found if returned]
    return [entry for entry, returned in found if not returned] + (
        _open_entries(connection, run, model_version, back) if back else []
    )


def _again(version: str) -> str:
    first, _, times = version.partition("-again")
    return f"{first}-again{int(times or 0) + 1}"


def _listed(taken: Taken, shards: Mapping[str, int], classes: Sequence[str]) -> Iterator[ledger.ListedEntry]:
    """Every entry, those of the shards each with its place, which have so many."""
    places = ((id_, ordinal) for id_, entries in shards.items() for ordinal in range(entries))
    for e in taken:
        label = class_of(e.path_label, classes)
        facts = (e.drop, e.name, e.version, e.display_name, label, e.size, e.modified_at)
        detail = DETAILS[e.reason] if e.reason else None
        id_, ordinal = (None, None) if e.state else next(places)
        yield ledger.ListedEntry(*facts, id_, ordinal, e.state, e.reason, detail, e.source)


def _frozen(connection: ledger.Connection, run_id: str, config: settings.Settings) -> tuple[dict[str, Any], Listing]:
    """The model of a recorded run, and its listing; manifests that are gone are written again."""
    (row,) = ledger.fetch(connection, "select_run", {"run_id": run_id})
    shards = ledger.fetch(connection, "select_run_shards", {"run_id": run_id})
    for shard in shards:
        path = _manifest(config, run_id, shard["shard_id"])
        if not path.is_file():
            rows = ledger.fetch(connection, "select_shard_entries", {"run_id": run_id, "shard_id": shard["shard_id"]})
            write_manifest(path, [(row["name"], row["version"]) for row in rows])
    refused = tuple(Refused(**row) for row in ledger.fetch(connection, "count_listed_outcomes", {"run_id": run_id}))
    counts = {shard["shard_id"]: shard["entries"] for shard in shards}
    return versions.find_or_champion(connection, row["model_version"]), Listing(counts, refused, row["future"])


def _answer(run: Run, model: Mapping[str, Any], listing: Listing, config: settings.Settings) -> Listed:
    shards = listing.shards
    cores = config.vision.cores
    workers = cores // max(1, min(len(shards), cores))  # the shards of a run are packed at once
    rule, limits = _resize_rule(model, config), _limits(run, config)
    requests = []
    for id_ in shards:
        path = _manifest(config, run.run_id, id_)
        manifest = contract.FileRef(str(path.relative_to(config.store)), contract.sha256_file(path))
        requests.append(
            contract.PackRequest(shard_id=id_, manifest=manifest, limits=limits, workers=workers, **vars(rule))
        )
    listed = ListedRun(
        run_id=run.run_id,
        periods=periods.get().says(run.start, run.end),
        model_version=model["version"],
        classes=tuple(model["classes"]),
        bundle=model["bundle"],
        listed=sum(shards.values()),
        refused=listing.refused,
        future=listing.future,
        dry_run=run.dry_run,
        quarantine_limit=_quarantine_limit(run, config),
        source_limits={} if run.quarantine_limit is not None or run.release else dict(config.ingest.source_limits),
        limits=limits,
    )
    return Listed(listed, requests)


def _quarantine_limit(run: Run, config: settings.Settings) -> float:
    """Who releases files has judged their folder."""
    if run.quarantine_limit is not None:
        return run.quarantine_limit
    return 1.0 if run.release else config.ingest.quarantine_limit


def _limits(run: Run, config: settings.Settings) -> contract.Limits:
    """Those of the settings, unless the run has others."""
    limits = config.decoding.limits
    pixels = run.max_pixels or limits.max_pixels
    return dataclasses.replace(
        limits,
        max_bytes=run.max_file_bytes or limits.max_bytes,
        max_pixels=pixels,
        max_jpeg_pixels=max(pixels, limits.max_jpeg_pixels),
        max_side=run.max_side or limits.max_side,
    )


def _resize_rule(model: Mapping[str, Any], config: settings.Settings) -> contract.ResizeRule:
    """How images are made what a model wants."""
    try:
        wanted = bundles.preprocessing(contract.store_path(config.store, model["bundle"]), model["version"])
    except bundles.BundleError as error:
        raise ListingError(
            f"the bundle of model version {model['version']} is gone ({error}): register it again"
        ) from error
    return wanted.resize_rule()


def _manifest(config: settings.Settings, run_id: str, id_: str) -> Path:
    return config.run_folder(run_id) / "manifests" / f"{id_}.parquet"


def _measured_size(connection: ledger.Connection, version: str) -> int:
    """Entries of a shard of which start-up takes a tenth, by the version's last batches in the ledger."""
    (recent,) = ledger.fetch(connection, "select_startup", {"version": version})
    if not recent["startup"] or not recent["images_per_second"]:
        return DEFAULT_SHARD
    size: float = recent["startup"] * recent["images_per_second"] * (1 - STARTUP_SHARE) / STARTUP_SHARE
    log.info("%.1f s of start-up at %.0f images/s: a shard of %.0f would spend a tenth on it", *recent.values(), size)
    return min(max(round(size), MIN_SHARD), MAX_SHARD)


def parallel(entries: int, size: int, vision: settings.Vision) -> int:
    """How many shards should be worked on at once. If one host has one shard to do, its task uses all cores; two tasks
    with half of them each would take as long, and start everything twice.
    """
    alone = vision.max_parallel_tasks <= vision.cores and vision.device == "cpu"
    return 1 if alone and entries <= size else vision.max_parallel_tasks


def plan(taken: Taken, size: int, max_shards: int, parallel: int) -> Iterator[list[Entry]]:
    """Cut the entries that are to be packed into shards of equal size, give or take one, in the order of names and
    versions.

    Shards have at most `size` entries while that makes no more than `max_shards`, and less if fewer than `parallel`
    would run.
    """
    entries = sum(n for (state, _), n in taken.ends.items() if state is None)
    wanted = max(-(-entries // size), min(parallel, entries // MIN_SHARD))
    rounds = -(-wanted // parallel)  # a last round that is full ends sooner than one with a task or two
    if rounds * parallel * MIN_SHARD <= entries:
        wanted = rounds * parallel
    count = min(wanted, max_shards)
    images = (entry for entry in taken if entry.state is None)
    for shard in range(count):
        yield list(itertools.islice(images, entries * (shard + 1) // count - entries * shard // count))


def shard_id(shard: Sequence[Entry], parameters: Mapping[str, Any]) -> str:
    """SHA-256, in hex, over what a shard lists and how it is to be packed: the same list has the same id, always."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for entry in shard:
        digest.update(b"\n%d,%d:%b%b" % (len(entry.name), len(entry.version), entry.name, entry.version.encode()))
    return digest.hexdigest()


def write_manifest(path: Path, rows: Sequence[tuple[bytes, str]]) -> None:
    """Write the contract's manifest of names and versions, whole or not at all."""

    def texts(values: Sequence[bytes], kind: str) -> pyarrow.Array:
        offsets = array.array("i", itertools.accumulate(map(len, values), initial=0))
        buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(b"".join(values))]
        return pyarrow.Array.from_buffers(pyarrow.type_for_alias(kind), len(values), buffers)

    # Made of buffers, because `pyarrow.array` imports pandas, which takes longer than all the rest of a listing.
    ordinals = [None, pyarrow.py_buffer(array.array("i", range(len(rows))))]
    columns = [
        pyarrow.Array.from_buffers(pyarrow.int32(), len(rows), ordinals),
        texts([name for name, _ in rows], "binary"),
        texts([version.encode() for _, version in rows], "string"),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with contract.whole(path) as file:
        table = pyarrow.table(columns, [name for name, _ in contract.MANIFEST_COLUMNS])
        pyarrow.parquet.write_table(table, file, compression="zstd")
