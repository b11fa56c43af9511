"""Between pack and classify: what became of each entry, and whether the run goes on, by Great Expectations."""

import collections
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import io
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import strandline_contract as contract
from strandline import attempts, ledger, periods, reports, settings, tables
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.html.spreadsheet import write_csv
from strandline.ingest import expectations, folders, scenes
from strandline.ingest import page as validation_page
from strandline.ingest.entries import Entries
from strandline.ingest.expectations import Finding, ValidationError
from strandline.ingest.listing import ListedRun, PackedShard
from strandline.scan import class_of, depth, display_name, path_label, source

log = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 100_000  # that are held in memory
EXAMPLES = 5  # failing files that are shown for an expectation
FUTURE = "{:,} files lie in {}s that have not begun, and wait for them: is the year mistyped, or the {} not in UTC?"
FOLDERS = 20  # set aside, that a log names
SURPLUS = 1000  # outcomes of a shard beyond what is listed: an expectation shows them; of more, nothing is read

STATES = {"decoded": "accepted", "quarantined": "quarantined", "rejected": "rejected", "vanished": "vanished"}
NULL_WHERE_DECODED = {"reason", "detail", "notes"}
OUTCOMES_COLUMNS = (
    ("shard_id", "string"),
    ("entry", "int32"),
    ("state", "string"),  # accepted, quarantined, rejected or vanished
    ("decoded", "bool"),  # it is in its shard; when quarantined, an expectation refused it
    *contract.OUTCOME_COLUMNS[2:],
)


class ValidationStopped(PermanentError):
    """A critical expectation failed; the message says which, with its numbers, and what to do."""


@dataclasses.dataclass(frozen=True)
class Validated:
    """What became of all that a run listed: entries by state, `warnings` as sentences, and the shards with an accepted
    image.
    """

    run_id: str
    entries: int
    accepted: int
    quarantined: int
    rejected: int
    vanished: int
    warnings: list[str]
    shards: list[PackedShard]


def validate(run: ListedRun, packed: Sequence[SealedAttempt]) -> Validated:
    """Decide for each entry of a run, and for the run as a whole, whether it goes on.

    Writes `outcomes.parquet` (OUTCOMES_COLUMNS, in the order of `packed`, then of entries), `validation.json`,
    `index.html`, `files.csv` (each file that was not accepted, or has a note) and `near-duplicates.csv` into the run's
    folder `validation`, and, unless it is a dry run, a row for each expectation into the ledger.

    Raises:
        ValidationStopped: a critical expectation failed; all of the above is written nevertheless.
        ValidationError: a file of ours is not what the contract says, or an expectation could not be evaluated.
        contract.NoResult: an attempt's files are missing or altered.
    """
    config = settings.get()
    folder = config.run_folder(run.run_id)
    shards: list[PackedShard] = []
    looked_at: list[list[Finding]] = []
    tally = folders.Tally()
    with Entries() as entries:
        for kept, group in _groups(config.store, folder / "manifests", packed, run.classes):
            found = expectations.evaluate(_row_frame(group), expectations.of_rows(run.limits, run.classes))
            outcomes = _outcomes(group, found)
            tally.add(outcomes)
            looked_at.append([_first(finding, len(entries)) for finding in found])
            entries.add(outcomes)
            shards += kept
        on_rows = [_all(findings) for findings in zip(*looked_at, strict=True)]
        limits = (run.quarantine_limit, run.source_limits)
        judged = folders.examine(tally, *limits, config.ingest.quarantine_min_entries)
        (on_folders,) = expectations.evaluate(folders.frame(judged), expectations.of_folders(*limits))
        aside = [judged[row] for row in on_folders.rows]
        brief, ends = _write_outcomes(folder / "validation", entries, aside)
        # A share of few says little.
        vanished = config.ingest.vanished_limit if run.listed >= config.ingest.quarantine_min_entries else 1.0
        on_run = expectations.evaluate(_run_frame(brief), expectations.of_run(run.listed, vanished))

        alike = scenes.find(brief, brief)
        result = _result(run, entries, ends, [*on_run, on_folders, *on_rows], aside)
        names = entries.take([row for scene in alike.rows for row in scene])["name"].to_pylist()
        result |= {"near_duplicates": _near_duplicates(names, alike)}
        near_duplicates = _scenes(names, alike)
    digest = _write(folder / "validation", result, near_duplicates)
    said = _sums(result["counts"])
    log.info("%s %s.", result["outcome"], said)
    page = reports.publish("validation", folder.name, f"{result['counts']['entries']:,} files: {said}")
    if not run.dry_run:
        _record(result, digest)
    if not result["goes_on"]:
        raise ValidationStopped(f"run {run.run_id}: {result['outcome']} {result['advice']} Details: {page}")
    alive = set(brief.filter(_equal(brief["state"], "accepted"))["shard_id"].unique().to_pylist())
    kept = [shard for shard in shards if shard.shard_id in alive]
    return Validated(run.run_id, **result["counts"], warnings=result["warnings"], shards=kept)


def _groups(
    store: Path, manifests: Path, packed: Iterable[SealedAttempt], classes: Sequence[str]
) -> Iterator[tuple[list[PackedShard], Any]]:
    """What classify needs to know of packed shards, and the entries of these as one table, as many shards at a time as
    ENTRIES_AT_ONCE allows; a run without shards has one group without entries.
    """
    shards: list[PackedShard] = []
    tables: list[Any] = []
    first = True
    for item in packed:
        shard, entries = _read_shard(store, manifests, item, classes)
        if tables and sum(map(len, tables)) + len(entries) > ENTRIES_AT_ONCE:
            yield shards, _concatenate(tables)
            shards, tables, first = [], [], False
        shards.append(shard)
        tables.append(entries)
    if tables or first:
        yield shards, _concatenate(tables)


def _read_shard(store: Path, manifests: Path, packed: SealedAttempt, classes: Sequence[str]) -> tuple[PackedShard, Any]:
    """What classify needs to know of a packed shard; and the outcomes of its entries, with `name`, `source`,
    `path_label` and the number of `folders` around it.
    """
    folder, result = attempts.read(store, packed, "pack")
    if missing := {contract.SHARD_FILE, contract.OUTCOMES_FILE} - result.files.keys():
        raise ValidationError(f"the result in {folder} does not list {' and '.join(sorted(missing))}: pack it again")
    with _ours():
        listing = manifests / f"{contract.plain_name(packed.shard_id)}.parquet"
        manifest = tables.read(listing, contract.MANIFEST_COLUMNS)
        most = len(manifest) + SURPLUS
        outcomes = tables.read(folder / contract.OUTCOMES_FILE, contract.OUTCOME_COLUMNS, most=most).sort_by("entry")
        images = tables.count(folder / contract.SHARD_FILE, contract.SHARD_COLUMNS, len(outcomes))
    _check(folder / contract.OUTCOMES_FILE, outcomes)
    listed_at = pc.index_in(outcomes["entry"], value_set=manifest["entry"].combine_chunks())
    names = manifest["name"].take(listed_at)
    origins = [class_of(display_name(source(name)), classes) or None if name else None for name in names.to_pylist()]
    labels = [class_of(path_label(name), classes) if name else None for name in names.to_pylist()]
    depths = [depth(name) if name else None for name in names.to_pylist()]
    entries = (
        outcomes.add_column(0, "shard_id", pa.repeat(packed.shard_id, len(outcomes)))
        .append_column("name", names)
        .append_column("source", pa.array(origins, pa.string()))
        .append_column("path_label", pa.array(labels, pa.string()))
        .append_column("folders", pa.array(depths, pa.int32()))
    )
    return PackedShard(packed.shard_id, packed.folder, images, result.files[contract.SHARD_FILE]), entries


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """A file inside that is not what the contract says is an error of ours."""
    try:
        yield
    except tables.TableError as error:
        raise ValidationError(str(error)) from error


def _check(path: Path, outcomes: Any) -> None:
    """Refuse what the expectations would pass over: they ignore nulls."""
    known = pc.is_in(outcomes["status"], value_set=pa.array(STATES))
    decoded = outcomes.filter(_equal(outcomes["status"], "decoded"))
    refused = outcomes.filter(pc.invert(_equal(outcomes["status"], "decoded")))
    empty = [
        name for name, _ in contract.OUTCOME_COLUMNS if name not in NULL_WHERE_DECODED and decoded[name].null_count
    ]
    empty += ["reason"] * bool(refused["reason"].null_count) + ["status"] * (not pc.all(known, min_count=0).as_py())
    if empty:
        raise ValidationError(f"{path} has rows that lack {', '.join(empty)}, which they must have: pack it again")


def _concatenate(tables: Sequence[Any]) -> Any:
    """All entries of a run as one table; without a shard it is empty and has the same columns."""
    columns = [
        ("shard_id", "string"),
        *contract.OUTCOME_COLUMNS,
        ("name", "binary"),
        ("source", "string"),
        ("path_label", "string"),
        ("folders", "int32"),
    ]
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns])
    return pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()


def _row_frame(entries: Any) -> Any:
    """What `expectations.of_rows` look at. Null, which they pass over, is what is not known of a file."""
    width, height = (entries[side].to_pandas().astype("float64") for side in ("width", "height"))
    short, long = np.minimum(width, height), np.maximum(width, height)
    opened = pc.is_in(entries["status"], value_set=pa.array(["decoded", "quarantined"]))
    labelled = pc.if_else(_equal(entries["status"], "decoded"), entries["path_label"], None)
    unlabelled = pc.and_(_equal(entries["status"], "decoded"), entries["path_label"].is_null())
    depths = pc.if_else(_equal(entries["status"], "decoded"), entries["folders"], None)
    return pd.DataFrame(
        {
            "status": _categories(pc.if_else(opened, entries["status"], None)),
            "short_side": short,
            "long_side": long,
            "pixels": width * height,
            "aspect": long / short,
            "format": _categories(entries["format"]),
            "mode": _categories(entries["mode"]),
            **{name: entries[name].to_pandas() for name in ("bytes", *contract.IMAGE_STATISTICS)},
            "path_label": _categories(labelled),
            "source": _categories(pc.if_else(unlabelled, entries["source"], None)),
            "folders": depths.to_pandas().astype("float64"),
        }
    )


def _run_frame(brief: Any) -> Any:
    """What `expectations.of_run` look at."""
    return pd.DataFrame(
        {
            "shard": _categories(brief["shard_id"]).cat.codes,
            "entry": brief["entry"].to_pandas(),
            "listed": brief["listed"].to_pandas(),
            "state": _categories(brief["state"]),
        }
    )


def _categories(column: Any) -> Any:
    """A column of text as a pandas categorical: many times smaller and faster than text."""
    return column.combine_chunks().dictionary_encode().to_pandas()


def _equal(column: Any, value: str) -> Any:
    return pc.fill_null(pc.equal(column, value), False)


def _outcomes(entries: Any, findings: Sequence[Finding]) -> Any:
    """The state of each entry, as a table of OUTCOMES_COLUMNS, with its `name`. A reason that pack gave stays."""
    state = [STATES[status] for status in entries["status"].to_pylist()]
    reason, detail, notes = (entries[name].to_pylist() for name in ("reason", "detail", "notes"))
    for finding in findings:
        expectation = finding.expectation
        for row, value in zip(finding.rows, finding.values, strict=True):
            if expectation.severity == "warn":
                notes[row] = " ".join(filter(None, (notes[row], expectation.code)))
            elif state[row] == "accepted":
                state[row], reason[row] = "quarantined", expectation.code
                detail[row] = f"expected {expectation.says}, found {_text(value)}"
    columns = {"state": state, "reason": reason, "detail": detail, "notes": notes}
    columns["decoded"] = _equal(entries["status"], "decoded")
    schema = _schema().append(pa.field("name", pa.binary()))
    return pa.table({name: columns[name] if name in columns else entries[name] for name in schema.names}, schema)


def _schema() -> Any:
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in OUTCOMES_COLUMNS])


def _first(finding: Finding, start: int) -> Finding:
    """A finding of a group, with no more rows than are shown, and these by their numbers among all."""
    rows = [start + row for row in finding.rows[:EXAMPLES]]
    return dataclasses.replace(finding, rows=rows, values=finding.values[:EXAMPLES])


def _all(findings: Sequence[Finding]) -> Finding:
    """What was found of an expectation in all groups, as one finding."""
    return Finding(
        findings[0].expectation,
        all(finding.success for finding in findings),
        sum(finding.evaluated for finding in findings),
        sum(finding.unexpected for finding in findings),
        [row for finding in findings for row in finding.rows],
        [value for finding in findings for value in finding.values],
    )


def _write_outcomes(
    folder: Path, entries: Entries, aside: Sequence[folders.Folder]
) -> tuple[Any, collections.Counter[tuple[str, str]]]:
    """Write outcomes.parquet, and files.csv: each packed file that was not accepted, or has a note.

    Returns:
        A table of what has to be known of all entries at once; and how many ended so, by state and reason.
    """
    brief, ends = [], collections.Counter[tuple[str, str]]()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        contract.whole(folder / contract.OUTCOMES_FILE) as parquet,
        pq.ParquetWriter(parquet, _schema(), compression="zstd", compression_level=1) as table,
        contract.whole(folder / "files.csv") as file,
    ):
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        write_csv(text, [("file", "state", "reason", "detail", "notes")])
        for group in entries.groups():
            outcomes = folders.set_aside(group, aside)
            table.write_table(outcomes.select(_schema().names))
            columns = [outcomes[name].to_pylist() for name in ("state", "reason", "detail", "notes")]
            rows = zip(outcomes["name"].to_pylist(), *columns, strict=True)
            write_csv(text, ((_shown(name), *facts) for name, *facts in rows if facts[0] != "accepted" or facts[3]))
            ends.update(zip(columns[0], columns[1], strict=True))
            brief.append(_brief(outcomes))
        text.detach()
    return pa.concat_tables(brief, promote_options="default").unify_dictionaries().combine_chunks(), ends


def _brief(outcomes: Any) -> Any:
    """What has to be known of all entries of a run at once, in a few bytes each."""
    images = [int(image[:16], 16) if image else 0 for image in outcomes["image_id"].to_pylist()]
    kept = outcomes.select(["entry", "contrast", "dhash"]).append_column("image_id", pa.array(images, pa.uint64()))
    for name in ("shard_id", "state"):
        kept = kept.append_column(name, outcomes[name].combine_chunks().dictionary_encode())
    return kept.append_column("listed", outcomes["name"].is_valid())


def _result(
    run: ListedRun,
    entries: Entries,
    ends: collections.Counter[tuple[str, str]],
    findings: Sequence[Finding],
    aside: Sequence[folders.Folder],
) -> dict[str, Any]:
    """All that validation.json says, but for near duplicates; `ends` are those of packed entries."""
    packed_codes = _by_reason(ends, "quarantined")
    ends = ends.copy()
    for one in run.refused:
        ends[one.state, one.reason] += one.entries
    states = {state: sum(n for (of, _), n in ends.items() if of == state) for state in STATES.values()}
    counts = {"entries": ends.total(), **states}
    failed = [finding for finding in findings if finding.expectation.severity == "stop" and not finding.success]
    noun = periods.get().noun
    return {
        "run_id": run.run_id,
        "goes_on": not failed,
        "periods": run.periods,
        "outcome": _outcome(counts, failed, aside),
        "advice": _advice(packed_codes, failed, aside),
        "alerts": _alerts(findings, aside, packed_codes),
        "counts": counts,
        "reasons": _by_reason(ends, "quarantined"),
        "rejected": _by_reason(ends, "rejected"),
        "warnings": [
            *[FUTURE.format(run.future, noun, noun)] * bool(run.future),
            *(
                f"Expected {one.expectation.says}, but {one.text}."
                for one in findings
                if one.expectation.severity == "warn" and not one.success
            ),
        ],
        "expectations": [_described(one, entries, aside) for one in findings],
        "great_expectations": importlib.metadata.version("great_expectations"),
    }


def _by_reason(ends: Mapping[tuple[str, str], int], state: str) -> dict[str, int]:
    """How many entries ended so, by reason, the most frequent first."""
    codes = {reason: n for (of, reason), n in ends.items() if of == state}
    return dict(sorted(codes.items(), key=lambda item: (-item[1], item[0])))


def _sums(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[state]:,} {state}" for state in STATES.values())


def _described(finding: Finding, entries: Entries, aside: Sequence[folders.Folder]) -> dict[str, Any]:
    expectation = finding.expectation
    if expectation.code == folders.SET_ASIDE:
        examples = [{"name": display_name(folder.name), "why": folder.says} for folder in aside[:EXAMPLES]]
    else:
        examples = _examples(finding, entries, aside)
    return {
        "name": expectation.name,
        "severity": expectation.severity,
        "says": expectation.says,
        "success": finding.success,
        "evaluated": finding.evaluated,
        "unexpected": finding.unexpected,
        "examples": examples,
    }


def _examples(finding: Finding, entries: Entries, aside: Sequence[folders.Folder]) -> list[dict[str, Any]]:
    """The first entries that fail an expectation, with why."""
    if not finding.rows:
        return []
    examples = []
    outcomes = folders.set_aside(entries.take(finding.rows[:EXAMPLES]), aside)
    for entry, value in zip(outcomes.to_pylist(), finding.values, strict=False):
        reason, detail = entry["reason"], entry["detail"]
        why = (
            f"found {_text(value)}"
            if finding.expectation.severity == "warn"
            else f"{reason}: {detail}"
            if reason
            else ""
        )
        named = {"name": _shown(entry["name"]), "shard_id": entry["shard_id"], "entry": entry["entry"]}
        examples.append(named | {"why": why})
    return examples


def _scenes(names: Sequence[bytes | None], alike: scenes.Scenes) -> str:
    """Each file that shows nearly the same as another image, by scene; `names` are those of all scenes, in order."""
    numbers = (number for number, scene in enumerate(alike.rows, 1) for _ in scene)
    text = io.StringIO()
    write_csv(text, [("scene", "file"), *zip(numbers, map(_shown, names), strict=True)])
    return text.getvalue()


def _shown(name: bytes | None) -> str:
    return "not listed" if name is None else display_name(name)


def _near_duplicates(names: Sequence[bytes | None], alike: scenes.Scenes) -> dict[str, Any]:
    """Counts, and the first files of the largest scenes."""
    firsts = itertools.accumulate(map(len, alike.rows), initial=0)
    largest = sorted(zip(firsts, alike.rows, strict=False), key=lambda scene: len(scene[1]), reverse=True)[:EXAMPLES]
    return {
        "compared": alike.compared,
        "alike": alike.alike,
        "scenes": len(alike.rows),
        "largest": [{"name": _shown(names[first]), "files": len(rows)} for first, rows in largest],
    }


def _outcome(counts: Mapping[str, int], failed: Sequence[Finding], aside: Sequence[folders.Folder]) -> str:
    if failed:
        found = "; ".join(f"expected {finding.expectation.says}, but {finding.text}" for finding in failed)
        return f"The run is stopped: {found}."
    if not counts["entries"]:
        return "The run goes on: there are no entries to look at."
    without = f", without {len(aside):,} folders that are set aside" if len(aside) > 1 else ""
    without = f", without {aside[0].says}, which is set aside" if len(aside) == 1 else without
    return f"The run goes on with {counts['accepted']:,} of {counts['entries']:,} entries{without}."


def _advice(reasons: Mapping[str, int], failed: Sequence[Finding], aside: Sequence[folders.Folder]) -> str | None:
    """What to do about a run that is stopped, or has set folders aside; `reasons` has the most frequent first."""
    if failed:
        return (
            "The shards disagree with the listing, which is no fault of the files: clear the task pack, and report it"
            " if that does not help."
        )
    if not aside:
        return None
    code, count = next((code, count) for code, count in reasons.items() if code != folders.SET_ASIDE)
    return (
        f"The most frequent reason is {code} ({count:,}). Fix the source and upload what is broken again; then, or if"
        f" the files are what they should be, trigger the {periods.get().noun} with Release {folders.SET_ASIDE}: all"
        " that was set aside is listed again."
    )


def _alerts(findings: Sequence[Finding], aside: Sequence[folders.Folder], reasons: Mapping[str, int]) -> list[str]:
    alerts = []
    if aside:
        more = f"; and {len(aside) - FOLDERS:,} more" if len(aside) > FOLDERS else ""
        named = "; ".join(folder.says for folder in aside[:FOLDERS])
        alerts.append(f"Set aside: {named}{more}. {_advice(reasons, [], aside)}")
    (vanished,) = (finding for finding in findings if finding.expectation.name == "vanished_share")
    if not vanished.success:
        alerts.append(
            f"Expected {vanished.expectation.says}, but {vanished.text}. Find out what removes or rewrites files while"
            " they are read; the next run lists what is there. If nothing does, the file system shows files"
            " otherwise on each host: see STRANDLINE_VERSION_FIELDS."
        )
    return alerts


def _write(folder: Path, result: dict[str, Any], near_duplicates: str) -> str:
    """Write each file whole or not at all; returns the SHA-256 of validation.json, in hex."""
    text = json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False)
    for name, content in (
        ("validation.json", text),
        ("near-duplicates.csv", near_duplicates),
        (reports.PAGE, validation_page.render(result)),
    ):
        contract.write_whole(folder / name, content.encode())
    return hashlib.sha256(text.encode()).hexdigest()


def _record(result: Mapping[str, Any], digest: str) -> None:
    """One row for each expectation, in a transaction of its own; the same result again adds none."""
    with ledger.connect("ingest") as connection:
        for expectation in result["expectations"]:
            row = {"run_id": result["run_id"], "digest": digest, **expectation}
            ledger.execute(connection, "insert_validation_result", row)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
