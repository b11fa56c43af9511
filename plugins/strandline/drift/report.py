"""What changed in a window of predictions: a report for people, and a verdict for machines."""

import collections
import dataclasses
import datetime
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, reports, settings
from strandline.drift import detectors, evidently_page, evidently_report, near_duplicates, verdict, windows
from strandline.drift import page as drift_page
from strandline.drift.detectors import columns, embedding_drift, slices
from strandline.drift.detectors.sample import Integers
from strandline.drift.schedule import AskedWindow
from strandline.drift.windows import Data
from strandline.models import versions
from strandline.periods import Window, WindowError
from strandline.stats import calibration, estimates, multiplicity

log = logging.getLogger(__name__)

EXAMPLES = 12  # thumbnails that are shown
HISTOGRAM_BINS = 20  # of confidence, from 0 to 1
RELIABILITY_BINS = 10  # fewer than for a calibration error: each is drawn with its interval


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A window compared with the reference; if that could not be, `drift` is None and `instead` may say why.

    `counts` are of images: landed and predicted (`images`), `compared`, and `labelled` among these. `content` is what
    comes of it into report.json.
    """

    counts: Mapping[str, int]
    content: Mapping[str, Any]
    drift: detectors.Drift | None = None
    instead: str | None = None
    examples: Sequence[drift_page.Example] = ()
    evidently_html: str = ""
    evidently: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Reported(contract.Message):
    """A report, as the ledger has it: `window` is its name, `page` the address of the HTML."""

    report_id: int
    window: str
    model_version: str
    action: str
    sentence: str
    held_back: str | None
    live: bool
    page: str
    requests_retraining: bool


def report(run_id: str, asked: AskedWindow) -> Reported:
    """Report a window: files in the store (`index.html`, `report.json`, `evidently.json`) and a row in the ledger.

    A run of `report_drift` reports a window once; asked again, it answers with what it reported.

    Raises:
        WindowError: the window is not of full periods, there is no such model, files are gone, or the settings allow no
            alarm.
    """
    config = settings.get()
    with ledger.connect("ingest") as connection:
        model = versions.find_or_champion(connection, asked.model_version)
        parse = datetime.datetime.fromisoformat
        window = Window(parse(asked.start), parse(asked.end), model["version"])
        key = {"run_id": run_id, "window_start": window.start, "window_end": window.end}
        key["model_version"] = model["version"]
        if not ledger.fetch(connection, "select_drift_report", key):
            comparison = _compare(connection, config, model, window)
            ledger.execute(connection, "lock_ledger")  # one after the other: each sees the verdicts before it
            _record(connection, config, key, model, comparison, asked.alarms)
        (row,) = ledger.fetch(connection, "select_drift_report", key)
    log.info("%s: %s. %s", window.name, row["action"], row["sentence"])
    page = reports.publish(
        "drift", Path(row["folder"]).name, f"{window.name}: {row['images']:,} images, {row['action']}"
    )
    return Reported(
        report_id=row["report_id"],
        window=window.name,
        model_version=model["version"],
        **{name: row[name] for name in ("action", "sentence", "held_back", "live")},
        page=page,
        requests_retraining=row["action"] == "retrain" and not row["held_back"],
    )


def _compare(
    connection: ledger.Connection, config: settings.Settings, model: Mapping[str, Any], window: Window
) -> Comparison:
    classes: list[str] = model["classes"]
    rows = windows.read_rows(connection, window)
    truth = np.array([classes.index(row["truth"]) if row["truth"] in classes else -1 for row in rows], np.int64)
    query = {"window_start": window.start, "window_end": window.end, "model_version": window.model_version}
    (images,) = ledger.fetch(connection, "count_window_images", query)
    counts = {"images": images["predicted"], "compared": len(rows), "labelled": int((truth >= 0).sum())}
    problems = _problems(images, rows, classes)
    content: dict[str, Any] = {"problems": problems, "predicted": {"reference": [], "current": []}, "columns": []}
    content |= {"confidence": None, "calibration": None, "column_p_values": {}, "sources": [], "most_changed": []}
    reference = windows.read_reference(config, model)
    if reference is None or not (model["metrics"] or {}).get("confusion"):
        instead = (
            f"Nothing to compare with: model {model['name']} was registered without a reference profile or without"
            " test results. Measure it on labelled pictures (make measure), and use the version that comes of it."
        )
        return Comparison(counts, content, instead=instead)
    if not rows:
        return Comparison(counts, content)

    everything = windows.read_window(connection, config, rows, classes)
    kept = near_duplicates.distinct(everything, reference, truth >= 0)
    if duplicates := len(rows) - len(kept):
        problems.append(
            f"Of {len(rows):,} images, {duplicates:,} are near duplicates of others, as the frames of one scene are:"
            f" {len(kept):,} scenes count, each once."
        )
    current, truth = everything.rows(kept), truth[kept]
    reference = reference.rows(near_duplicates.distinct(reference, reference))
    try:
        alpha = multiplicity.alpha_per_window(config.weekly_false_alarms, config.weekly_windows, detectors.TESTS)
        confusion = np.array(model["metrics"]["confusion"])
        drift = detectors.measure(current.sample, reference.sample, confusion, alpha, truth)
        drift = dataclasses.replace(drift, duplicates=duplicates)
    except ValueError as error:
        raise WindowError(f"window {window.name} cannot be compared: {error}") from error
    evidently = evidently_report.compare(reference.frame(classes), current.frame(classes))
    samples = {"reference": reference.sample, "current": current.sample}
    content |= {
        "predicted": {side: sample.counts().tolist() for side, sample in samples.items()},
        "confidence": _histograms({side: sample.probabilities.max(axis=1) for side, sample in samples.items()}),
        "calibration": _calibration(current, truth) if drift.realized else None,
        "columns": [dataclasses.asdict(column) for column in evidently.columns],
        "column_p_values": columns.p_values(current.columns, reference.columns),
        "sources": _sources([row["source"] for row in rows], kept, current, reference, confusion, truth),
    }
    shown = current.rows(np.arange(min(len(kept), embedding_drift.COMPARED_ROWS)))
    most = embedding_drift.most_changed(shown.sample, reference.sample, EXAMPLES)
    changed = [rows[number] for number in kept[most].tolist()]
    content["most_changed"] = [row["image_id"] for row in changed]
    thumbnails = windows.thumbnails(config, model, changed, windows.folders(connection, config, changed))
    examples = [
        drift_page.Example(row["name"], row["label"], row["confidence"], png)
        for row, png in zip(changed, thumbnails, strict=True)
    ]
    return Comparison(counts, content, drift, None, examples, evidently.html, evidently.snapshot)


def _sources(
    landed: Sequence[str],
    kept: Integers,
    current: Data,
    reference: Data,
    confusion: Integers,
    truth: Integers,
) -> list[dict[str, Any]]:
    """The slice of each source of the window, by the sources of all its images, those with the most images first; none,
    if there is one source only. `kept` are the rows that are in `current`.
    """
    images = collections.Counter(landed)
    if len(images) < 2:
        return []
    sources = np.array(landed, object)[kept]
    masks = {name: sources == name for name, _ in images.most_common() if (sources == name).any()}
    found = slices.measure(masks, current.sample, reference.sample, confusion, truth)
    return [{"source": name, "images": images[name], **dataclasses.asdict(one)} for name, one in found.items()]


def _problems(images: Mapping[str, int], rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[str]:
    """What a reader has to know about the window's data, as sentences."""
    problems = []
    if missing := images["landed"] - images["predicted"]:
        problems.append(f"{missing:,} of the {images['landed']:,} images that landed have no prediction by this model.")
    if images["predicted"] > len(rows):
        problems.append(
            f"Of {images['predicted']:,} images, {len(rows):,} are compared: those with the smallest SHA-256, which is"
            " a random sample."
        )
    if unknown := sorted({row["truth"] for row in rows} - {None, *classes}):
        named = ", ".join(unknown[:3]) + (" and others" if len(unknown) > 3 else "")
        problems.append(f"There are labels that the model has no class for ({named}): they count as unlabelled.")
    return problems


def _histograms(confidences: Mapping[str, NDArray[np.floating[Any]]]) -> dict[str, Any]:
    """Shares of predictions by confidence."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    shares = {side: np.histogram(values, edges)[0] / len(values) for side, values in confidences.items()}
    return {"edges": edges.tolist(), **{side: values.tolist() for side, values in shares.items()}}


def _calibration(current: Data, truth: NDArray[np.integer[Any]]) -> list[dict[str, float]]:
    """Accuracy of labelled predictions by confidence, with Wilson's interval; bins without any are left out."""
    labelled = truth >= 0
    confidence = current.sample.probabilities.max(axis=1)[labelled]
    right = (current.sample.predicted == truth)[labelled]
    curve = []
    for one in calibration.reliability(confidence, right, RELIABILITY_BINS):
        low, high = estimates.wilson(one.accuracy * one.rows, one.rows)
        point = {"confidence": one.confidence, "accuracy": one.accuracy, "low": low, "high": high}
        curve.append(point | {"images": one.rows})
    return curve


def _record(
    connection: ledger.Connection,
    config: settings.Settings,
    key: Mapping[str, Any],
    model: Mapping[str, Any],
    comparison: Comparison,
    alarms: bool,
) -> None:
    """Judge, in the light of the windows around it, and write the report and its row."""
    (standing,) = ledger.fetch(connection, "select_window_standing", key)
    not_live = _why_not_live(config, standing, comparison, alarms)
    live, reopened = not_live is None, not_live is None and standing["reported"] is not None
    query = {**key, "windows": config.drift.last_windows - 1}
    around = ledger.fetch(connection, "select_neighbouring_windows", query) if live else []
    judged = _decide(config, model, comparison, around, standing["reported"] if reopened else None)
    if judged.action == "retrain" and not live:
        judged = dataclasses.replace(judged, action="warn")
    asking = [(row["window_start"], row["window_end"]) for row in around if row["asks"]]
    starts, ends = zip(*asking, (key["window_start"], key["window_end"]), strict=True)
    held_back = _held_back(connection, config, min(starts), max(ends)) if judged.action == "retrain" else None
    replaces = {"report_id": standing["replaces"], "made_at": _text(standing["replaced_at"])}
    window = {"start": _text(key["window_start"]), "end": _text(key["window_end"]), **comparison.counts}
    content = {
        "window": window,
        "model": {"name": model["name"], "version": model["version"]},
        "made_at": _text(datetime.datetime.now(datetime.UTC)),
        "live": live,
        "not_live": not_live,
        "reopened": reopened,
        "replaces": replaces if standing["replaces"] else None,
        "verdict": dataclasses.asdict(judged),
        "held_back": held_back,
        "classes": model["classes"],
        "drift": comparison.drift and dataclasses.asdict(comparison.drift),
        **comparison.content,
    }
    folder = _folder(config, key)
    page = drift_page.render(content, comparison.examples, comparison.evidently_html)
    evidently_page.write_shared(comparison.evidently_html, config.store)
    digest = _write(config.store / folder, content, comparison.evidently, page)
    row = {**key, **comparison.counts, "live": live, "replaces": standing["replaces"], "held_back": held_back}
    row |= {"action": judged.action, "asks": judged.asks, "sentence": judged.sentence}
    row |= {"report": Jsonb(content), "folder": folder, "html_sha256": digest}
    ledger.fetch(connection, "insert_drift_report", row)


def _why_not_live(
    config: settings.Settings, standing: Mapping[str, Any], comparison: Comparison, alarms: bool
) -> str | None:
    """Why a window may raise no alarm, for people; None if it may.

    One that was reported live before may once more, if it had too few labels then and has enough now: its accuracy was
    not judged by labels yet.
    """
    realized = comparison.drift and comparison.drift.realized
    if not comparison.counts["images"]:
        return "There are no images to judge, so this report raises no alarm. One of images that come late may."
    if not alarms:
        return "This report raises no alarm: it is of a backfill, of late files, or a person asked for it."
    if not standing["begun"]:
        return "This report raises no alarm: its window has not begun."
    if not standing["in_use"]:
        return "This report raises no alarm: it is of a model that is not in use."
    if standing["reported"] is None:
        return "This report raises no alarm: a later window was reported before." if standing["overtaken"] else None
    if standing["labelled"] < config.drift.min_labels <= (realized.labelled if realized else 0):
        return None
    return "This report raises no alarm: the window was reported before."


def _decide(
    config: settings.Settings,
    model: Mapping[str, Any],
    comparison: Comparison,
    around: Sequence[Mapping[str, Any]],
    reported: Mapping[str, bool] | None,
) -> verdict.Verdict:
    if comparison.instead:
        return verdict.Verdict("none", comparison.instead, enough=False)
    return verdict.decide(
        comparison.drift,
        model["classes"],
        [row["asks"] for row in around if row["earlier"]],
        [row["asks"] for row in around if not row["earlier"]],
        reported,
        need=config.drift.min_windows,
        of=config.drift.last_windows,
        minimum_labels=config.drift.min_labels,
    )


def _held_back(
    connection: ledger.Connection, config: settings.Settings, start: datetime.datetime, end: datetime.datetime
) -> str | None:
    """Why no retraining is requested although it is due; None if it is. [start, end) are the windows that ask."""
    (labels,) = ledger.fetch(connection, "count_labelled_images", {"start": start, "end": end})
    (requests,) = ledger.fetch(connection, "select_retraining_requests")
    if labels["labelled"] < config.training.min_labels:
        return (
            f"Retraining waits for labels: the windows that ask for it have {labels['labelled']:,} labelled images, and"
            f" {config.training.min_labels:,} are needed."
        )
    cooldown = datetime.timedelta(hours=config.training.cooldown_hours)
    if requests["latest"] and requests["now"] < requests["latest"] + cooldown:
        until = f"{requests['latest'] + cooldown:%Y-%m-%d %H:%M} UTC"
        return f"Retraining was requested a short while ago: there will be no other request before {until}."
    if requests["of_the_week"] >= config.training.weekly_budget:
        return (
            f"Retraining was requested {requests['of_the_week']} times in 7 days, as often as the budget allows: a"
            " person may trigger retrain_model."
        )
    return None


def _text(moment: datetime.datetime | None) -> str | None:
    return moment.astimezone(datetime.UTC).isoformat() if moment else None


def _folder(config: settings.Settings, key: Mapping[str, Any]) -> str:
    """Of a report, relative to the store: readable, and one's own for each run of `report_drift`."""
    window = Window(key["window_start"], key["window_end"]).name
    run = hashlib.sha256(key["run_id"].encode()).hexdigest()[:8]
    return f"drift/{window}-{key['model_version'][:12]}-{run}"


def _write(folder: Path, content: Mapping[str, Any], evidently: Mapping[str, Any], page: str) -> str:
    """Write each file whole or not at all; returns the SHA-256 of the page, in hex."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"report.json": content, "evidently.json": evidently}
    texts = {name: json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) for name, value in files.items()}
    for name, text in {**texts, reports.PAGE: page}.items():
        contract.write_whole(folder / name, text.encode())
    return hashlib.sha256(page.encode()).hexdigest()
