"""Replays: a past window classified again, and compared row by row with what is recorded. No prediction is changed.

`plan` freezes what the ledger says of each image of the window, and asks for the shards to be classified again as they
were: same shard, same batch size, same threads. `compare` reports, and `prove` is red if the same version and
runtime gave other bits. The files of a replay: window.parquet and plan.json, which are frozen; rows.parquet with a row
an image; replay.json and index.html.
"""

import dataclasses
import datetime
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import attempts, ledger, periods, reports, settings
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.models import bundles, packing, runtimes, versions
from strandline.periods import Window
from strandline.replay import page as replay_page
from strandline.replay import rows
from strandline.replay.rows import Attempt, Source, Tally

log = logging.getLogger(__name__)

MAPPED = 1024  # shards: Airflow maps a task over no more
SHOWN_DETAILS = 5
COUNTS = ("images", "missing", "equal", "within_tolerance", "different", "unrecorded", "unequal")
PLAN, WINDOW, ROWS, REPORT = "plan.json", "window.parquet", "rows.parquet", "replay.json"

PUT_BACK = "Put it back from a backup of the store, and trigger another replay."
# Why an image cannot be replayed, and what to do.
MISSING = {
    "NO_RESULT": ("the ledger has no result of it", "Its run was not loaded whole: clear that run's task load."),
    "REQUEST_GONE": ("the request of its classification is gone from the store, or altered", PUT_BACK),
    "SHARD_GONE": (
        "its shard is gone from the store, or altered",
        f"{PUT_BACK} The ledger has the shard's SHA-256, so that no other file is taken for it. Without a backup it"
        " cannot be replayed any more; its prediction stands.",
    ),
    "MODEL_GONE": (
        "the bundle of the model version is gone from the store, or altered",
        f"{PUT_BACK} Or register the same bundle again: its version is its hash.",
    ),
    "OTHER_PIXELS": (
        "its shard was packed for another model, and the chosen version wants other pixels",
        "Trigger ingest_images as a backfill of the window, with that version: it packs the files again.",
    ),
    rows.NOT_IN_SHARD: (
        "its shard does not hold it",
        "The ledger and the store contradict each other: keep both as they are, and report it.",
    ),
}


class ReplayError(PermanentError):
    """A window cannot be replayed and another try cannot help; the message says what to do."""


class ReplayUnequal(PermanentError):
    """What must have come out equal did not."""


class _Missing(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class ReplayPlan(contract.Message):
    """What is replayed: the window, from `start` to before `end` in ISO format, its sources, and the requests to which
    they point; `model_version` None stands for the version that each image's own run had pinned.
    """

    start: str
    end: str
    model_version: str | None
    sources: tuple[Source, ...]
    requests: tuple[contract.ClassifyRequest, ...]


@dataclasses.dataclass(frozen=True)
class Compared(contract.Message):
    """What a replay found: images by COUNTS, and `page`, the address of the HTML."""

    status: str
    sentence: str
    images: int
    missing: int
    equal: int
    within_tolerance: int
    different: int
    unrecorded: int
    unequal: int
    page: str


def plan(
    run_id: str, start: str, end: str | None = None, model_version: str | None = None
) -> list[contract.ClassifyRequest]:
    """A classify request for each shard of a window; none if this run has its replay already.

    Args:
        start: the first period, as 2026-11-21T08, in UTC.
        end: the period before which the window ends; None for a window of one.
        model_version: None stands for the version that each image's own run had pinned.

    Raises:
        ReplayError: nothing landed in the window, there is no such version, or it has too many shards.
        UnprovedRuntime: a version may not be computed so any more.
        windows.WindowError: the window does not go forward.
    """
    config, noun = settings.get(), periods.get().noun
    window = _window(start, end, model_version)
    folder = _folder(config, run_id)
    with ledger.connect("ingest") as connection:
        if ledger.fetch(connection, "select_replay", {"run_id": run_id}):
            return []
        if model_version:
            model_version = versions.find(connection, model_version)["version"]
        folder.mkdir(parents=True, exist_ok=True)
        query = {"window_start": window.start, "window_end": window.end, "model_version": model_version}
        recorded = ledger.stream(connection, "select_replay_images", query)
        keys = rows.freeze(recorded, folder / WINDOW)
        if not keys:
            raise ReplayError(f"no image landed in {window.name}: `reporting.runs` has the {noun}s that have some")
        sources, requests = _sources(connection, config, keys, model_version)
    if len(requests) > MAPPED:
        raise ReplayError(f"{window.name} has {len(requests)} shards, and one run replays {MAPPED}: take fewer {noun}s")
    start, end = window.start.isoformat(), window.end.isoformat()
    planned = ReplayPlan(start, end, model_version, tuple(sources), tuple(requests))
    contract.write_json(folder / PLAN, planned.to_dict())
    for source in sources:
        if source.reason:
            says, advice = MISSING[source.reason]
            log.warning("shard %s cannot be replayed: %s (%s). %s", source.shard_id, says, source.detail, advice)
    return requests


def _window(start: str, end: str | None, model_version: str | None) -> Window:
    period = periods.get()
    first = period.parse(start)
    last = period.parse(end) if end else first + period.length
    return Window(first, last, model_version)


def _folder(config: settings.Settings, run_id: str) -> Path:
    return config.store / "replays" / config.run_folder(run_id).name


def _sources(
    connection: ledger.Connection,
    config: settings.Settings,
    keys: Sequence[tuple[str | None, str | None]],
    model_version: str | None,
) -> tuple[list[Source], list[contract.ClassifyRequest]]:
    """The sources of a window, and the requests that they need: one for each shard and way to classify it."""
    query = {"run_ids": [run_id for run_id, _ in keys], "shard_ids": [shard_id for _, shard_id in keys]}
    batches = {
        (row["run_id"], row["shard_id"]): row for row in ledger.fetch(connection, "select_replay_batches", query)
    }
    versions = {model_version or batch["model_version"] for batch in batches.values()}
    models = {version: _model(connection, version) for version in versions}
    rule = _resize_rule(config, models[model_version]) if model_version in models else None
    sources: list[Source] = []
    requests: list[contract.ClassifyRequest] = []
    places: dict[tuple[Any, ...], int] = {}
    for key in keys:
        batch = batches.get(cast(tuple[str, str], key))
        version = model_version or (batch["model_version"] if batch else None)
        try:
            request = _request(config, batch, models.get(version or ""), rule)
        except _Missing as missing:
            sources.append(Source(*key, version, None, missing.reason, str(missing)))
            continue
        assert batch is not None
        same = (request.shard.sha256, version, request.runtime)
        if same not in places:
            runtimes.proved(connection, request.runtime, request.bundle.version)
            places[same] = len(requests)
            requests.append(request)
        runtime = _runtime(batch["versions"], batch["device"], request.runtime)
        sources.append(Source(*key, version, request=places[same], runtime=runtime))
    return sources, requests


def _model(connection: ledger.Connection, version: str) -> Mapping[str, Any]:
    (row,) = ledger.fetch(connection, "select_model_version", {"version": version})
    return row


def _resize_rule(config: settings.Settings, model: Mapping[str, Any]) -> contract.ResizeRule | None:
    """What a version wants of its images; None if its bundle is gone."""
    try:
        return bundles.preprocessing(contract.store_path(config.store, model["bundle"]), model["version"]).resize_rule()
    except bundles.BundleError:
        return None


def _request(
    config: settings.Settings,
    batch: Mapping[str, Any] | None,
    model: Mapping[str, Any] | None,
    rule: contract.ResizeRule | None,
) -> contract.ClassifyRequest:
    """What was asked then, in the same precision, for today's backend and device: which hosts there are is a setting. A
    backend without that precision takes its own.

    Args:
        rule: what the shard's pixels have to be made by, if another version is to classify them.

    Raises:
        _Missing: it is not known, or a file that it needs is gone or altered.
    """
    if batch is None or model is None:
        raise _Missing("NO_RESULT", "it is in no shard")
    try:
        recorded = attempts.recorded_request(config.store, batch)
    except contract.NoResult as error:
        raise _Missing("REQUEST_GONE", str(error)) from error
    _verify(config, recorded.shard, "SHARD_GONE")
    _verify(config, contract.FileRef(f"{model['bundle']}/{contract.BUNDLE_MANIFEST}", model["version"]), "MODEL_GONE")
    shard = contract.store_path(config.store, recorded.shard.path)
    if rule and not packing.is_packed_for(shard, rule):
        raise _Missing("OTHER_PIXELS", f"{shard} is not {rule}")
    bundle = contract.BundleRef(model["bundle"], model["version"])
    then, today = recorded.runtime, config.vision.runtime()
    precision = then.precision if then.precision in contract.PRECISIONS[today.backend] else today.precision
    batch_size = _batch_size(batch["versions"], then)
    runtime = dataclasses.replace(today, threads=then.threads, batch_size=batch_size, precision=precision)
    return dataclasses.replace(recorded, bundle=bundle, runtime=runtime)


def _verify(config: settings.Settings, file: contract.FileRef, otherwise: str) -> None:
    try:
        contract.verified(config.store, file)
    except contract.ContractError as error:
        raise _Missing(otherwise, str(error)) from error


def _batch_size(versions: Mapping[str, str], asked: contract.Runtime) -> int | None:
    """What was computed at once; of several sizes the last, which fitted into memory."""
    last = versions.get("batch_size", "").rpartition(" ")[2]
    return int(last) if last.isdecimal() else asked.batch_size


def _runtime(versions: Mapping[str, str], device: str, asked: contract.Runtime) -> dict[str, str]:
    """What decides the bits, but for the model. Batches once recorded no size: it was the one that was asked for."""
    known = {"batch_size": str(asked.batch_size), **versions}
    return {name: version for name, version in known.items() if name != "model"} | {"device": device}


def compare(run_id: str, classified: Sequence[SealedAttempt]) -> Compared:
    """Compare a planned replay with what is recorded: files in the store, and a row in the ledger. A run has one
    replay: asked again, it answers with what it found.

    Args:
        classified: the attempt at each request, in their order.

    Raises:
        ReplayError: the attempts are not those that were planned, or not fit to be compared.
        contract.NoResult: an attempt's files are missing or altered.
    """
    config = settings.get()
    with ledger.connect("ingest") as connection:
        if not ledger.fetch(connection, "select_replay", {"run_id": run_id}):
            _compare(connection, config, run_id, classified)
        (row,) = ledger.fetch(connection, "select_replay", {"run_id": run_id})
    log.info("%s", row["sentence"])
    page = reports.publish("replay", Path(row["folder"]).name, row["sentence"])
    return Compared(**{name: row[name] for name in ("status", "sentence", *COUNTS)}, page=page)


def prove(compared: Compared) -> None:
    """
    Raises:
        ReplayUnequal: predictions that must have come out equal did not.
        ReplayError: not one image could be replayed.
    """
    if compared.status == "unequal":
        raise ReplayUnequal(f"{compared.sentence} Which ones: {compared.page}")
    if compared.status == "not replayed":
        raise ReplayError(f"{compared.sentence} Why, and what to do: {compared.page}")


def _compare(
    connection: ledger.Connection, config: settings.Settings, run_id: str, classified: Sequence[SealedAttempt]
) -> None:
    folder = _folder(config, run_id)
    planned = ReplayPlan.from_json((folder / PLAN).read_bytes())
    sources = planned.sources
    answered = _attempts(config.store, planned.requests, classified)
    versions = {source.model_version for source in sources if source.model_version}
    classes = {version: len(_model(connection, version)["classes"]) for version in versions}
    try:
        tally = rows.compare(folder / WINDOW, sources, answered, classes, folder / ROWS)
    except rows.AttemptError as error:
        raise ReplayError(f"{error}: trigger a new replay, and report it if that says the same") from error
    report = _report(connection, run_id, planned, sources, tally)
    page = replay_page.render(report)
    contract.write_whole(folder / REPORT, json.dumps(report, indent=1, ensure_ascii=False).encode())
    contract.write_whole(folder / reports.PAGE, page.encode())
    row = {"run_id": run_id, "window_start": planned.start, "window_end": planned.end, **report["counts"]}
    row |= {name: report[name] for name in ("model_version", "status", "sentence")}
    row |= {"report": Jsonb(report), "folder": str(folder.relative_to(config.store))}
    ledger.execute(connection, "insert_replay", row | {"html_sha256": hashlib.sha256(page.encode()).hexdigest()})


def _attempts(
    store: Path, requests: Sequence[contract.ClassifyRequest], classified: Sequence[SealedAttempt]
) -> list[Attempt]:
    if len(requests) != len(classified):
        raise ReplayError(
            f"{len(requests)} shards were planned, and {len(classified)} classified: trigger a new replay"
        )
    answered = []
    for planned, done in zip(requests, classified, strict=True):
        folder, result = attempts.read(store, done, "classify")
        found = contract.read_request("classify", folder / contract.REQUEST_FILE)
        if found != planned or contract.PREDICTIONS_FILE not in result.files:
            raise ReplayError(f"{folder} answers something else than was planned: trigger a new replay")
        runtime = _runtime(result.versions, result.device, planned.runtime)
        answered.append(Attempt(folder / contract.PREDICTIONS_FILE, runtime))
    return answered


def _report(
    connection: ledger.Connection, run_id: str, planned: ReplayPlan, sources: Sequence[Source], tally: Tally
) -> dict[str, Any]:
    """What replay.json says."""
    statuses = {name.replace(" ", "_"): tally.statuses[name] for name in rows.STATUSES}
    counts = {"images": tally.statuses.total(), **statuses, "unequal": tally.unequal}
    status, sentence = _status(counts, tally.largest)
    runs = ledger.fetch(connection, "select_replay_runs", {"run_ids": list(tally.runs)})
    versions = {run["model_version"] for run in runs} | {source.model_version for source in sources} - {None}
    periods = ledger.fetch(connection, "select_champion_periods", {"versions": sorted(versions)})
    return {
        "run_id": run_id,
        "window": {"start": planned.start, "end": planned.end},
        "model_version": planned.model_version,
        "replayed_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "status": status,
        "sentence": sentence,
        "counts": counts,
        "tolerance": rows.TOLERANCE,
        "largest_difference": tally.largest,
        "runs": [_plain(run) | {"images": tally.runs[run["run_id"]]} for run in runs],
        "champions": [_plain(period) for period in periods],
        "runtimes": [_runtimes(*key, statuses) for key, statuses in tally.runtimes.items()],
        "missing": _missing(sources, tally),
        "agreement": _agreement(tally.pairs),
        "rows": tally.worst,
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """With times as text."""
    return {name: value.isoformat() if isinstance(value, datetime.datetime) else value for name, value in row.items()}


def _status(counts: Mapping[str, int], largest: float | None) -> tuple[str, str]:
    """The status, and it in a sentence for people."""
    images, missing, moved = counts["images"], counts["missing"], counts["within_tolerance"]
    compared = counts["equal"] + moved + counts["different"]
    if counts["unequal"]:
        status, says = "unequal", f"{counts['unequal']:,} of {compared:,} predictions are not what is recorded."
    elif missing == images:
        return "not replayed", f"None of the {images:,} images could be replayed."
    elif moved:
        status = "within tolerance"
        says = f"{moved:,} of {compared:,} predictions moved, by {largest:.1e} at the most, and kept their label."
    elif compared:
        status, says = "equal", f"All {compared:,} predictions came out as they are recorded, bit for bit."
    else:
        status, says = "not compared", "The version has no recorded predictions in this window to compare with."
    if compared and counts["unrecorded"]:
        says += f" Of {counts['unrecorded']:,} images the version has no recorded prediction."
    if missing:
        says += f" {missing:,} of {images:,} images could not be replayed."
    return status, says


def _runtimes(recorded: str, replayed: str, statuses: Mapping[str, int]) -> dict[str, Any]:
    before, now = json.loads(recorded), json.loads(replayed)
    names = [name for name in sorted(before | now) if before.get(name) != now.get(name)]
    changes = [
        f"{name}: {before.get(name, 'not recorded')} then, {now.get(name, 'not recorded')} now" for name in names
    ]
    equal = {"must_be_equal": rows.must_be_equal(before, now)}
    return {"recorded": before, "replayed": now, "changes": changes, "statuses": dict(statuses)} | equal


def _missing(sources: Sequence[Source], tally: Tally) -> list[dict[str, Any]]:
    missing = []
    for reason, images in tally.missing.most_common():
        says, advice = MISSING[reason]
        details = list(dict.fromkeys(source.detail for source in sources if source.reason == reason))
        shown = {"details": details[:SHOWN_DETAILS], "more": max(len(details) - SHOWN_DETAILS, 0)}
        missing.append({"reason": reason, "says": says, "advice": advice, "images": images, **shown})
    return missing


def _agreement(pairs: Mapping[tuple[str, ...], int]) -> dict[str, Any] | None:
    """How the version's labels agree with those of the versions that made the predictions; None if it made them."""
    if not pairs:
        return None
    matrix = [
        {"made_by": made_by, "made": made, "replayed": label, "images": images}
        for (made_by, _, made, label), images in sorted(pairs.items())
    ]
    agreed = sum(images for (_, _, made, label), images in pairs.items() if made == label)
    return {"images": sum(pairs.values()), "agreed": agreed, "pairs": matrix}
