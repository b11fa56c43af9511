"""Validation of packed shards: real Parquet files, real Great Expectations, a real ledger and a real browser."""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ledger_rows as seeding
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import strandline_contract as contract
from strandline import ledger, scan, settings
from strandline.attempts import SealedAttempt
from strandline.ingest import alert, expectations, validation
from strandline.ingest import page as validation_page
from strandline.ingest.expectations import ValidationError
from strandline.ingest.listing import PackedShard, Refused
from strandline.ingest.validation import ValidationStopped
from strandline_contract.reasons import QUARANTINED

CLASSES = ["cat", "dog"]
RUN_ID = "manual__2026-11-21T08:00:00+00:00"
HOUR = b"2026-11-21T08"
DECODED = {"status": "decoded", "width": 32, "height": 32, "format": "PNG", "mode": "RGB", "bytes": 3000}
DECODED |= dict.fromkeys(contract.IMAGE_STATISTICS, 0.2) | {"dhash": 0}  # which tells nothing
Row = dict[str, Any]


def decoded(name: bytes = HOUR + b"/cat/whole.png", **changes: Any) -> Row:
    return {"name": name} | DECODED | changes


def refused(reason: str, status: str = "quarantined", name: bytes = HOUR + b"/cat/broken.png") -> Row:
    return {"name": name, "status": status, "reason": reason, "detail": f"{reason}, says pack", "bytes": 10}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path))
    settings.get.cache_clear()
    yield tmp_path
    settings.get.cache_clear()


def run_folder() -> Path:
    return settings.get().run_folder(RUN_ID)


def pack(rows: Sequence[Row], shard_id: str = "a" * 64, manifest: Sequence[Row] | None = None) -> SealedAttempt:
    """What a run's folder holds of a shard once it is packed; the manifest lists the same entries by default."""
    filled = [
        {"entry": i, "version": "1-1", "image_id": seeding.digest(f"{shard_id}{i}")} | r for i, r in enumerate(rows)
    ]
    manifests, attempt = run_folder() / "manifests", run_folder() / "pack" / shard_id / "01-00000000"
    manifests.mkdir(parents=True, exist_ok=True)
    attempt.mkdir(parents=True)
    listing = filled if manifest is None else manifest
    write(manifests / f"{shard_id}.parquet", contract.MANIFEST_COLUMNS, listing)
    write(attempt / contract.OUTCOMES_FILE, contract.OUTCOME_COLUMNS, filled)
    images = [row | {"pixels": b""} for row in filled if row["status"] == "decoded"]
    write(attempt / contract.SHARD_FILE, contract.SHARD_COLUMNS, images)
    return seal(shard_id, attempt)


def write(path: Path, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> None:
    seeding.write_table(path, columns, [{name: row.get(name) for name, _ in columns} for row in rows])


def seal(
    shard_id: str, attempt: Path, files: Sequence[str] = (contract.SHARD_FILE, contract.OUTCOMES_FILE)
) -> SealedAttempt:
    contract.write_json(attempt / contract.REQUEST_FILE, {})
    contract.write_result(attempt, "pack", files, {}, {}, {})
    sealed = contract.sha256_file(attempt / contract.RESULT_FILE)
    return SealedAttempt(shard_id, str(attempt.relative_to(settings.get().store)), sealed)


def validate(packed: Sequence[SealedAttempt], listed: int, **changes: Any) -> validation.Validated:
    run = seeding.listed_run(RUN_ID, listed, tuple(CLASSES))
    return validation.validate(dataclasses.replace(run, **changes), packed)


def written() -> list[Row]:
    """The rows of outcomes.parquet."""
    return pq.read_table(run_folder() / "validation" / "outcomes.parquet").to_pylist()


def result() -> Row:
    return json.loads((run_folder() / "validation" / "validation.json").read_text())


def found(name: str) -> Row:
    """What validation.json says of an expectation."""
    (one,) = [expectation for expectation in result()["expectations"] if expectation["name"] == name]
    return one


@pytest.mark.parametrize("failing", [0, 1, 20, 21, 1000])
@pytest.mark.parametrize(
    ("changes", "reason"), [({"height": 3}, "TOO_SMALL"), ({"format": "PDF"}, "FORMAT_NOT_ALLOWED")]
)
def test_every_failing_row_is_quarantined(home, failing, changes, reason):
    rows = [decoded(**changes) if 2 * i < 2 * failing else decoded() for i in range(1100)]
    rows = rows[::-1]

    answer = validate([pack(rows)], 1100)

    assert answer.quarantined == failing
    assert answer.accepted == 1100 - failing
    assert [row["reason"] for row in written()] == [None] * (1100 - failing) + [reason] * failing
    assert Counter(row["state"] for row in written()) == Counter(accepted=1100 - failing, quarantined=failing)
    assert result()["reasons"] == ({reason: failing} if failing else {})


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"width": 3}, "TOO_SMALL", "found 3"),
        ({"height": 0}, "TOO_SMALL", "found 0"),
        ({"width": 16_385, "height": 1000}, "TOO_LONG_SIDE", "found 16,385"),
        ({"width": 16_001, "height": 16_000}, "TOO_MANY_PIXELS", "found 256,016,000"),
        ({"width": 10, "height": 501}, "BAD_ASPECT", "found 50.1"),
        ({"format": "PDF"}, "FORMAT_NOT_ALLOWED", "found PDF"),
        ({"mode": "F"}, "UNSUPPORTED_MODE", "found F"),
    ],
)
def test_an_image_beyond_a_bound_is_quarantined(home, changes, reason, says):
    validate([pack([decoded(), decoded(**changes), decoded()])], 3)

    before, row, after = written()
    assert (row["state"], row["reason"], row["decoded"]) == ("quarantined", reason, True)
    assert says in row["detail"]
    assert before["state"] == after["state"] == "accepted"


def test_images_at_the_bounds_are_accepted(home):
    sizes = [(4, 4), (16_384, 328), (16_000, 16_000), (500, 10)]
    rows = [decoded(width=width, height=height) for width, height in sizes]
    rows += [decoded(format=format) for format in contract.Limits().formats]
    rows += [decoded(mode=mode) for mode in contract.MODES]

    validate([pack(rows)], len(rows))

    assert [row["detail"] for row in written() if row["state"] != "accepted"] == []
    assert len(written()) == len(rows)


def test_what_pack_did_not_decode_keeps_its_state_and_reason(home):
    rows = [
        refused("TOO_SMALL") | {"width": 2, "height": 2, "format": "PNG", "mode": "RGB"},
        refused("SYMLINK", "rejected"),
        refused("CHANGED", "vanished"),
        decoded(),
    ]

    answer = validate([pack(rows)], 4)

    assert [(row["state"], row["reason"], row["detail"], row["decoded"]) for row in written()] == [
        ("quarantined", "TOO_SMALL", "TOO_SMALL, says pack", False),
        ("rejected", "SYMLINK", "SYMLINK, says pack", False),
        ("vanished", "CHANGED", "CHANGED, says pack", False),
        ("accepted", None, None, True),
    ]
    assert [getattr(answer, state) for state in ("entries", "accepted", "quarantined", "rejected", "vanished")] == [
        4,
        1,
        1,
        1,
        1,
    ]
    assert (found("decodable")["evaluated"], found("decodable")["unexpected"]) == (2, 1)


def test_what_the_listing_refused_is_counted_and_logged_with_the_page(home, caplog):
    by_listing = [
        Refused("quarantined", "UNREADABLE", 1),
        Refused("rejected", "SYMLINK", 4),
    ]

    with caplog.at_level("INFO", logger="strandline.ingest.validation"):
        answer = validate([pack([decoded(), refused("EMPTY")])], 2, refused=tuple(by_listing))

    page = run_folder() / "validation" / "index.html"
    assert (answer.entries, answer.accepted, answer.quarantined, answer.rejected) == (7, 1, 2, 4)
    assert (result()["reasons"], result()["rejected"]) == ({"EMPTY": 1, "UNREADABLE": 1}, {"SYMLINK": 4})
    assert "1 accepted, 2 quarantined, 4 rejected, 0 vanished." in caplog.text
    assert f"Open the report: /strandline/reports/validation/{run_folder().name}/" in caplog.text
    assert "Rejected, by reason" in page.read_text()


def test_files_of_hours_to_come_are_on_the_page(home):
    answer = validate([pack([decoded()])], 1, future=1234)

    assert answer.warnings[0].startswith("1,234 files lie in hours that have not begun, and wait for them")
    assert answer.warnings[0] in (run_folder() / "validation" / "index.html").read_text()


def test_every_refused_file_is_in_a_table_that_no_spreadsheet_computes(home):
    names = [b"=1+1.png", b"+1.png", b"@x.png", *(b"%d.png" % number for number in range(20))]
    rows = [refused("EMPTY", name=name) for name in names]

    validate([pack([*rows, decoded()])], len(rows) + 1)

    table = run_folder() / "validation" / "files.csv"
    with table.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["file"].removeprefix("'").encode() for row in found] == names
    assert not any(cell[:1] in ("=", "+", "-", "@") for row in found for cell in row.values())
    assert {(row["state"], row["reason"], row["notes"]) for row in found} == {("quarantined", "EMPTY", "")}
    assert f'<a href="files.csv">and {len(rows) - 5} more</a>' in (table.parent / "index.html").read_text()


def test_a_share_of_something_is_never_shown_as_nothing():
    shown = [validation_page._share(part, 2008) for part in (0, 1, 2, 1004, 2007, 2008)]

    assert shown == ["0.0%", "< 0.1%", "0.1%", "50.0%", "> 99.9%", "100.0%"]


def test_a_warning_leaves_a_note_on_an_accepted_image(home):
    notes = {
        HOUR + b"/cat/1.png": None,
        b"dt=2026-11-21/hour=08/dog/1.png": None,
        HOUR + b"/no-label.png": None,
        HOUR + b"/Cat/1.png": None,  # the one class that is called so in another case
        b"2026/11/21/08/cat/1.png": None,
        b"no-label-no-hour.png": None,
        HOUR + b"/a/deeper/folder.png": "NESTED",
        b"2026-13-45T08/cat/1.png": "NESTED",
        HOUR + b"/\xff/not-utf8.png": "UNKNOWN_LABEL",
        b"cat-images/no-hour.png": "UNKNOWN_LABEL",
        HOUR + b"/kitten/1.png": "UNKNOWN_LABEL",
        HOUR + b"/cats/1.png": "UNKNOWN_LABEL",
        HOUR + b"/3/1.png": "UNKNOWN_LABEL",
        b"dt=2026-11-21/hour=08/kitten/1.png": "UNKNOWN_LABEL",
    }
    rows = [decoded(name) for name in notes]
    rows += [decoded(contrast=0.0), decoded(contrast=0.0, notes="ALPHA CONVERTED")]
    rows += [decoded(HOUR + b"/kitten/2.png", contrast=0.0), refused("EMPTY", name=HOUR + b"/kitten/3.png")]

    answer = validate([pack(rows)], 18)

    both = ["BLANK", "ALPHA CONVERTED BLANK", "BLANK UNKNOWN_LABEL", None]
    assert [row["notes"] for row in written()] == [*notes.values(), *both]
    assert answer.accepted == 17
    assert answer.warnings == [
        "Expected more than one colour (a contrast of at least 0.001), but 3 of 17 (17.6%) fail.",
        "Expected a folder that is one of the model's classes, but 7 of 13 (53.8%) fail.",
        "Expected at most one folder below the hour, whose name is the label, but 2 of 17 (11.8%) fail.",
    ]


def near_duplicates() -> list[list[str]]:
    """The files of each scene of near-duplicates.csv."""
    with (run_folder() / "validation" / "near-duplicates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [[row["file"] for row in rows if row["scene"] == scene] for scene in dict.fromkeys(r["scene"] for r in rows)]


LOOK = 0x0F0F0F0F0F0F0F0F


def test_near_duplicates_are_counted_and_named_by_scene(home):
    frames = [decoded(HOUR + b"/cat/frame-%d.png" % number, dhash=LOOK ^ 1 << number) for number in range(3)]
    others = [decoded(b"=%d/dog/1.png" % number, dhash=0x3333333333333333 ^ number) for number in range(2)]
    alone = [decoded(HOUR + b"/cat/alone.png", dhash=-LOOK)]
    packed = [pack([frames[0], *others, *alone]), pack([frames[1], decoded(), frames[2]], "b" * 64)]

    answer = validate(packed, 7)

    names = [[f"2026-11-21T08/cat/frame-{number}.png" for number in range(3)]]
    names += [["'=0/dog/1.png", "'=1/dog/1.png"]]  # no formulas
    assert near_duplicates() == names
    counted = result()["near_duplicates"]
    assert (counted["compared"], counted["alike"], counted["scenes"]) == (6, 5, 2)
    assert counted["largest"] == [{"name": scene[0].removeprefix("'"), "files": len(scene)} for scene in names]
    assert (answer.accepted, result()["goes_on"], result()["alerts"]) == (7, True, [])
    page = (run_folder() / "validation" / "index.html").read_text()
    assert "5 of 6 images · 83.3%" in page
    assert '<a href="near-duplicates.csv">' in page


def test_the_same_bytes_are_one_picture_and_no_near_duplicate(home):
    copies = [decoded(HOUR + b"/cat/%d.png" % number, image_id="0" * 64, dhash=LOOK) for number in range(3)]

    validate([pack(copies)], 3)
    assert (result()["near_duplicates"]["compared"], near_duplicates()) == (1, [])
    assert "Near duplicates" not in (run_folder() / "validation" / "index.html").read_text()

    validate([pack([*copies, decoded(HOUR + b"/cat/near.png", dhash=LOOK ^ 1)], "b" * 64)], 4)
    assert (result()["near_duplicates"]["alike"], [len(scene) for scene in near_duplicates()]) == (2, [4])


def test_different_images_are_no_near_duplicates(home):
    validate([pack([decoded(dhash=LOOK ^ number * 0x1111111111111111) for number in range(4)])], 4)
    assert near_duplicates() == []
    page = (run_folder() / "validation" / "index.html").read_text()
    assert "None of 4 images looks nearly the same as another one of this run." in page


@pytest.mark.parametrize(
    ("rows", "manifest", "listed", "expectation"),
    [
        ([decoded()], [decoded(), decoded()], 2, "row_count"),
        ([decoded()] * 3, [decoded()] * 3, 2, "row_count"),
        ([decoded(entry=0), decoded(entry=0)], [decoded(), decoded()], 2, "one_outcome"),
        ([decoded(entry=0), decoded(entry=7)], [decoded(), decoded()], 2, "listed"),
    ],
)
def test_a_shard_that_disagrees_with_the_listing_stops_the_run(home, rows, manifest, listed, expectation):
    packed = pack(rows, manifest=[{"entry": i, "version": "1-1"} | row for i, row in enumerate(manifest)])

    with pytest.raises(ValidationStopped, match="clear the task pack"):
        validate([packed], listed)

    stopping = {one["name"] for one in result()["expectations"] if one["severity"] == "stop" and not one["success"]}
    assert stopping == {expectation}
    assert result()["goes_on"] is False
    assert len(written()) == len(rows)


def test_a_shard_that_is_missing_stops_the_run(home):
    with pytest.raises(ValidationStopped, match="expected 2 entries, as listed, but there are 1"):
        validate([pack([decoded()])], 2)


def in_folder(folder: str, broken: int, good: int) -> list[Row]:
    """The files of one folder."""
    names = [f"{folder}/{number}.png".encode() for number in range(broken + good)]
    return [refused("TRUNCATED", name=name) for name in names[:broken]] + [decoded(name) for name in names[broken:]]


@pytest.mark.parametrize(
    ("broken", "entries", "limit", "aside"),
    [
        *((20, 100, 0.2, False), (21, 100, 0.2, True), (57, 100, 0.57, False), (58, 100, 0.57, True)),
        *((0, 100, 0.0, False), (1, 100, 0.0, True), (100, 100, 1.0, False), (100, 100, 0.99, True)),
        *((10, 50, 0.2, False), (11, 50, 0.2, True), (49, 49, 0.2, False)),  # a share of few says little
    ],
)
def test_a_folder_with_too_large_a_share_of_broken_files_is_set_aside(home, broken, entries, limit, aside):
    rows = in_folder("2026-11-21T08/cat", broken, entries - broken) + in_folder("2026-11-21T08/dog", 0, 60)

    answer = validate([pack(rows)], len(rows), quarantine_limit=limit)

    assert (answer.accepted, answer.quarantined) == ((60, entries) if aside else (len(rows) - broken, broken))
    reasons = {"TRUNCATED": broken, "SET_ASIDE": entries - broken} if aside else {"TRUNCATED": broken}
    assert result()["reasons"] == {reason: count for reason, count in reasons.items() if count}
    assert result()["goes_on"] is True
    assert (found("quarantined_share")["success"], found("quarantined_share")["severity"]) == (not aside, "quarantine")
    if not aside:
        alert.alert(RUN_ID)
        return
    with pytest.raises(alert.Alert, match="The most frequent reason is TRUNCATED") as raised:
        alert.alert(RUN_ID)
    assert f"2026-11-21T08/cat ({broken:,} of {entries:,} files are broken" in str(raised.value)
    assert "Release SET_ASIDE" in str(raised.value)
    page = (run_folder() / "validation" / "index.html").read_text()
    assert page.count("2026-11-21T08/cat (") >= 2
    assert {row["notes"] for row in written()} == {"SET_ASIDE", None}


def test_every_code_that_quarantines_is_in_the_contract():
    codes = {one.code for one in expectations.of_rows(contract.Limits(), CLASSES) if one.severity == "quarantine"}
    assert codes - {None} <= QUARANTINED.keys()
    assert "TOO_SMALL" in codes


def test_one_bad_folder_stops_no_other(home):
    """Three old hours that are mostly broken, and the 60 good images of this one, which never were classified."""
    rows = [
        *in_folder("2026-11-21T05/cat", 21, 79),
        *in_folder("2026-11-21T06/cat", 80, 0),
        *in_folder("2026-11-21T07/dog", 60, 0),
        *in_folder("2026-11-21T08/cat", 0, 60),
    ]

    answer = validate([pack(rows)], len(rows), quarantine_limit=0.2)

    assert (answer.accepted, answer.quarantined) == (60, 240)
    assert {row["state"] for row in written()[-60:]} == {"accepted"}
    assert result()["outcome"] == "The run goes on with 60 of 300 entries, without 3 folders that are set aside."
    with pytest.raises(alert.Alert, match=r"T05/cat .21 of 100.*T06/cat .80 of 80.*T07/dog .60 of 60"):
        alert.alert(RUN_ID)


@pytest.mark.parametrize(
    ("folders", "aside"),
    [
        ({"a": (40, 8), "b": (0, 40)}, {"a"}),  # each too small to be judged, but not all of them
        ({"a": (9, 0), "b": (0, 40)}, set()),
        ({"a": (4, 0), "b": (6, 90)}, set()),
        ({"a": (30, 0), "b": (30, 0), "c": (0, 100)}, {"a", "b"}),
        ({"": (60, 10), "b": (0, 100)}, {""}),
    ],
    ids=["one of two", "too few", "little", "only small ones are bad", "directly in the hour"],
)
def test_small_folders_are_judged_by_all_of_them(home, folders, aside):
    rows = [row for name, counts in folders.items() for row in in_folder(f"2026-11-21T08/{name}".rstrip("/"), *counts)]

    validate([pack(rows)], len(rows), quarantine_limit=0.2)

    noted = {
        row["name"].rpartition(b"/")[0].removeprefix(b"2026-11-21T08").removeprefix(b"/").decode()
        for row, end in zip(rows, written(), strict=True)
        if end["notes"] == "SET_ASIDE"
    }
    assert noted == aside


def test_a_label_before_the_hour_is_warned_of(home):
    """It is taken for a source, and so for no label."""
    notes = {
        b"shop1/2026-11-21T08/no-label.png": None,
        b"shop1/2026-11-21T08/dog/1.png": None,
        b"Cat/2026-11-21T08/no-label.png": "CLASS_AS_SOURCE",  # most likely the label, in the wrong place
        b"cat/2026-11-21T08/dog/1.png": None,
        b"shop1/2026-11-21T08/kitten/1.png": "UNKNOWN_LABEL",
        HOUR + b"/no-label.png": None,
    }

    answer = validate([pack([decoded(name) for name in notes])], len(notes))

    assert [row["notes"] for row in written()] == [*notes.values()]
    assert "the folder of a label is below the hour, not before it, but 1 of 2 (50.0%) are." in answer.warnings[-1]


def test_a_source_may_have_a_limit_of_its_own(home):
    """Also for its small folders; and it hides no other source."""
    rows = [
        *in_folder("shop1/2026-11-21T08/cat", 40, 60),
        *in_folder("shop1/2026-11-21T08/dog", 10, 20),
        *in_folder("shop1/2026-11-21T08/rest", 14, 20),
        *in_folder("camera-7/2026-11-21T08/cat", 10, 90),
        *in_folder("2026-11-21T08/cat", 10, 90),
    ]

    validate([pack(rows)], len(rows), quarantine_limit=0.2, source_limits={"shop1": 0.5, "camera-7": 0.05})

    aside = {
        row["name"].split(b"/")[0] for row, end in zip(rows, written(), strict=True) if end["notes"] == "SET_ASIDE"
    }
    assert aside == {b"camera-7"}
    says = "at most 20% of a folder's files in quarantine (50% of shop1's, 5% of camera-7's)"
    assert found("quarantined_share")["says"] == says
    details = {row["detail"] for row in written() if row["reason"] == "SET_ASIDE"}
    assert details == {
        "set aside with its folder: camera-7/2026-11-21T08/cat (10 of 100 files are broken, 10.0%), and 5% are allowed"
    }


def test_small_folders_are_judged_with_those_of_their_source(home):
    rows = [*in_folder("shop1/2026-11-21T08/cat", 30, 10), *in_folder("shop1/2026-11-21T08/dog", 20, 10)]
    rows += [row for number in range(5) for row in in_folder(f"shop2/2026-11-21T08/{number}", 0, 45)]

    validate([pack(rows)], len(rows), quarantine_limit=0.2)

    assert [example["name"] for example in found("quarantined_share")["examples"]] == [
        "shop1/2026-11-21T08/cat",
        "shop1/2026-11-21T08/dog",
    ]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        (b"2026-11-21T08/cat/tabby/1.png", b"2026-11-21T08/cat"),
        (b"2026-11-21T08/1.png", b"2026-11-21T08"),
        (b"dt=2026-11-21/hour=08/dog/1.png", b"dt=2026-11-21/hour=08/dog"),
        (b"shop1/2026-11-21T08/cat/1.png", b"shop1/2026-11-21T08/cat"),
        (b"shop1/2026-11-21T08/1.png", b"shop1/2026-11-21T08"),
        (b"camera 3/cat/1.png", b"camera 3"),
        (b"1.png", b""),
    ],
)
def test_a_file_is_judged_with_a_folder_of_its_drop(name, folder):
    assert scan.judged_folder(name) == folder


@pytest.mark.parametrize(("vanished", "listed", "alarms"), [(72, 100, True), (10, 100, False), (49, 49, False)])
def test_many_vanished_files_are_an_alert(home, vanished, listed, alarms):
    """B78: 13,410 of 18,565 files vanished and the run was green without a warning."""
    rows = [refused("MISSING", "vanished")] * vanished + [decoded()] * (listed - vanished)

    answer = validate([pack(rows)], listed)

    assert answer.accepted == listed - vanished
    assert found("vanished_share")["success"] is not alarms
    if not alarms:
        alert.alert(RUN_ID)
        return
    assert "but 72 of 100 (72.0%) are" in answer.warnings[0]
    with pytest.raises(alert.Alert, match=r"72 of 100 \(72.0%\) are. Find out what removes"):
        alert.alert(RUN_ID)


@pytest.mark.parametrize("column", [name for name, _ in contract.OUTCOME_COLUMNS])
def test_a_missing_column_is_an_error_of_ours(home, column):
    packed = spoil(pack([decoded()]), lambda table: table.drop_columns(column))
    with pytest.raises(ValidationError, match=rf"outcomes.parquet lacks {column} \("):
        validate([packed], 1)


@pytest.mark.parametrize("column", ["entry", "status", "width", "contrast", "format"])
def test_a_column_of_another_type_is_an_error_of_ours(home, column):
    another = pa.array([b"1"])
    packed = spoil(
        pack([decoded()]), lambda table: table.set_column(table.schema.get_field_index(column), column, another)
    )
    with pytest.raises(ValidationError, match=rf"outcomes.parquet lacks {column} \("):
        validate([packed], 1)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        *((decoded(**{name: None}), name) for name in (*DECODED, "image_id") if name != "status"),
        (decoded(status=None), "status"),
        (decoded(status="fine", reason="NONE"), "status"),
        (refused("TRUNCATED") | {"reason": None}, "reason"),
    ],
    ids=str,
)
def test_a_row_without_what_it_must_have_is_an_error_of_ours(home, row, column):
    with pytest.raises(ValidationError, match=rf"rows that lack ([a-z_]+, )*{column}\b"):
        validate([pack([decoded(), row])], 2)


@pytest.mark.parametrize("column", [name for name, _ in contract.MANIFEST_COLUMNS])
def test_a_manifest_of_another_shape_is_an_error_of_ours(home, column):
    packed = pack([decoded()])
    path = run_folder() / "manifests" / f"{packed.shard_id}.parquet"
    pq.write_table(pq.read_table(path).drop_columns(column), path)
    with pytest.raises(ValidationError, match=rf"lacks {column} \("):
        validate([packed], 1)


def test_a_file_that_is_not_parquet_is_an_error_of_ours(home):
    packed = pack([decoded()])
    attempt = settings.get().store / packed.folder
    (attempt / contract.OUTCOMES_FILE).write_bytes(b"PAR1 but no more")
    with pytest.raises(ValidationError, match=r"outcomes.parquet cannot be read"):
        validate([seal(packed.shard_id, attempt)], 1)


@pytest.mark.parametrize("file", [contract.SHARD_FILE, contract.OUTCOMES_FILE])
def test_a_result_that_does_not_list_a_file_is_an_error_of_ours(home, file):
    packed = pack([decoded()])
    other = {contract.SHARD_FILE, contract.OUTCOMES_FILE} - {file}
    short = seal(packed.shard_id, settings.get().store / packed.folder, [*other])
    with pytest.raises(ValidationError, match=f"does not list {file}"):
        validate([short], 1)


def test_an_altered_file_is_no_result(home):
    packed = pack([decoded()])
    with (settings.get().store / packed.folder / contract.SHARD_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(contract.NoResult, match="shard"):
        validate([packed], 1)


def spoil(packed: SealedAttempt, change: Any) -> SealedAttempt:
    """Rewrite the outcomes of a shard, and seal the attempt again."""
    attempt = settings.get().store / packed.folder
    table = pq.read_table(attempt / contract.OUTCOMES_FILE)
    pq.write_table(change(table), attempt / contract.OUTCOMES_FILE)
    return seal(packed.shard_id, attempt)


EVERY_EXPECTATION = [*expectations.of_rows(contract.Limits(), CLASSES), *expectations.of_run(2, 0.1)]
EVERY_EXPECTATION += expectations.of_folders(0.2, {})
WHOLE = {
    **{"status": ["decoded"] * 2, "format": ["PNG"] * 2, "mode": ["RGB"] * 2, "path_label": ["cat"] * 2},
    **{"folders": [1.0, None], "source": ["shop1", None], "limit": [0.2, 0.2]},
    **{"short_side": [32.0] * 2, "long_side": [32.0] * 2, "pixels": [1024.0] * 2, "aspect": [1.0] * 2},
    **{"contrast": [0.2] * 2, "shard": [0, 0], "entry": [0, 1], "listed": [True] * 2, "state": ["accepted"] * 2},
    "share": [0.1, None],
}


def test_all_expectations_hold_on_a_whole_frame():
    assert all(finding.success for finding in expectations.evaluate(pd.DataFrame(WHOLE), EVERY_EXPECTATION))


@pytest.mark.parametrize("column", WHOLE)
def test_an_expectation_without_its_column_raises_and_names_it(column):
    with pytest.raises(ValidationError, match=column):
        expectations.evaluate(pd.DataFrame(WHOLE).drop(columns=column), EVERY_EXPECTATION)


@pytest.mark.parametrize("column", ["short_side", "long_side", "pixels", "aspect", "contrast"])
def test_an_expectation_of_numbers_on_text_raises_and_names_the_column(column):
    frame = pd.DataFrame(WHOLE | {column: ["32", "32"]})
    with pytest.raises(ValidationError, match=column):
        expectations.evaluate(frame, EVERY_EXPECTATION)


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([], {}),
        ([refused("SYMLINK", "rejected")] * 60, {"rejected": 60}),
        ([decoded(image_id="0" * 64)] * 60, {"accepted": 60}),
    ],
    ids=["empty", "only rejects", "only duplicates"],
)
def test_a_drop_without_news_succeeds_with_explicit_counts(home, rows, counts):
    packed = [pack(rows)] if rows else []

    answer = validate(packed, len(rows))

    states = ("accepted", "quarantined", "rejected", "vanished")
    assert {state: getattr(answer, state) for state in states} == dict.fromkeys(states, 0) | counts
    assert answer.entries == len(rows)
    assert len(answer.shards) == ("accepted" in counts)
    schema = pq.read_schema(run_folder() / "validation" / "outcomes.parquet")
    assert schema.names == [name for name, _ in validation.OUTCOMES_COLUMNS]
    assert schema.types == [pa.type_for_alias(kind) for _, kind in validation.OUTCOMES_COLUMNS]
    assert len(written()) == len(rows)
    assert result()["goes_on"] is True
    assert "The run goes on" in (run_folder() / "validation" / "index.html").read_text()


def test_shards_go_on_in_order_with_the_hash_and_rows_of_theirs(home):
    packed = [
        pack([refused("EMPTY"), refused("EMPTY")], "c" * 64),
        pack([decoded(entry=1), refused("EMPTY") | {"entry": 0}], "b" * 64),
        pack([decoded(width=1), decoded()], "a" * 64),
        pack([decoded(width=1)], "d" * 64),
    ]

    shards = validate(packed, 7).shards

    assert shards == [
        PackedShard(
            packed[i].shard_id,
            packed[i].folder,
            rows,
            contract.sha256_file(settings.get().store / packed[i].folder / contract.SHARD_FILE),
        )
        for i, rows in ((1, 1), (2, 2))
    ]
    places = [(row["shard_id"][0], row["entry"]) for row in written()]
    assert places == [("c", 0), ("c", 1), ("b", 0), ("b", 1), ("a", 0), ("a", 1), ("d", 0)]


def test_the_same_input_gives_the_same_bytes_and_leaves_no_partial_file(home):
    packed = [pack([decoded(), decoded(width=1), refused("EMPTY"), decoded(contrast=0.0)])]
    files = ("outcomes.parquet", "validation.json", "files.csv", "near-duplicates.csv", "index.html")
    contents = []
    for _ in range(2):
        validate(packed, 4)
        contents.append([(run_folder() / "validation" / file).read_bytes() for file in files])

    assert contents[0] == contents[1]
    assert {path.name for path in (run_folder() / "validation").iterdir()} == set(files)


def recorded(database: Any) -> list[Row]:
    with ledger.connect("analyst", database.address) as connection:
        return connection.execute("SELECT * FROM reporting.validation ORDER BY validated_at, expectation").fetchall()


@pytest.mark.parametrize("at_once", [1, 7, 100_000])
def test_the_result_is_the_same_however_many_entries_are_looked_at_at_once(home, monkeypatch, at_once):
    monkeypatch.setattr(validation, "ENTRIES_AT_ONCE", at_once)
    bad, other = HOUR + b"/bad", HOUR + b"/other"
    shards = [
        [
            decoded(bad + b"/1.png", height=3),
            decoded(bad + b"/2.png", dhash=LOOK),
            refused("CORRUPT", name=bad + b"/3.png"),
        ],
        [decoded(HOUR + b"/cat/4.png", dhash=LOOK ^ 1), decoded(HOUR + b"/cat/5.png", contrast=0.0)],
        [decoded(HOUR + b"/cat/6.png", dhash=LOOK ^ 2), decoded(other + b"/7.png", format="PDF")],
        [decoded(other + b"/8.png", dhash=LOOK), refused("MISSING", "vanished", HOUR + b"/cat/9.png")],
    ]
    packed = [pack(rows, letter * 64) for letter, rows in zip("abcd", shards, strict=True)]

    answer = validate(packed, 9, quarantine_limit=0.5)

    assert Counter(row["state"] for row in written()) == Counter(accepted=5, quarantined=3, vanished=1)
    assert [row["shard_id"][0] for row in written()] == list("aaabbccdd")
    assert [shard.shard_id[0] for shard in answer.shards] == list("abcd")
    assert (found("short_side")["unexpected"], found("short_side")["evaluated"]) == (1, 7)
    assert [example["name"] for example in found("format")["examples"]] == ["2026-11-21T08/other/7.png"]
    assert [example["why"] for example in found("not_blank")["examples"]] == ["found 0"]
    assert near_duplicates() == [
        ["2026-11-21T08/bad/2.png", "2026-11-21T08/cat/4.png", "2026-11-21T08/cat/6.png", "2026-11-21T08/other/8.png"]
    ]


def test_the_ledger_has_a_row_for_each_expectation_once(database):
    seeding.Run(RUN_ID, seeding.register(), ()).record()
    packed = [pack([decoded(), refused("EMPTY"), decoded(contrast=0.0)])]

    for _ in range(2):
        validate(packed, 3, dry_run=False)

    rows = {row["expectation"]: row for row in recorded(database)}
    assert len(rows) == len(recorded(database)) == len(EVERY_EXPECTATION)
    assert Counter(row["severity"] for row in rows.values()) == Counter(stop=3, quarantine=8, warn=5)
    assert {name for name, row in rows.items() if not row["success"]} == {"decodable", "not_blank"}
    assert (rows["decodable"]["evaluated"], rows["decodable"]["unexpected"]) == (3, 1)
    assert (rows["label"]["evaluated"], rows["label"]["unexpected"]) == (2, 0)
    assert rows["short_side"]["detail"] == "at least 4 pixels wide and high"


def test_a_dry_run_leaves_the_ledger_alone(database):
    seeding.Run(RUN_ID, seeding.register(), ()).record()
    validate([pack([decoded()])], 1)
    assert recorded(database) == []


def test_a_run_can_be_validated_again_with_a_higher_limit(database):
    seeding.Run(RUN_ID, seeding.register(), ()).record()
    packed = [pack([refused("EMPTY")] * 30 + [decoded()] * 30)]

    assert validate(packed, 60, quarantine_limit=0.2, dry_run=False).accepted == 0
    before = recorded(database)
    assert validate(packed, 60, quarantine_limit=0.5, dry_run=False).accepted == 30

    shares = [
        (row["success"], row["latest"]) for row in recorded(database) if row["expectation"] == "quarantined_share"
    ]
    assert shares == [(False, False), (True, True)]
    assert [row | {"latest": False} for row in before] == recorded(database)[: len(EVERY_EXPECTATION)]


HOSTILE = [
    b"<img src=x onerror=window.ran=1>.png",
    b'"><script>window.ran=1</script>.png',
    b"</style></title><svg onload=window.ran=1>.png",
    b"<link rel=stylesheet href=https://example.org/x.css>.png",
]


@pytest.mark.parametrize("bypass_csp", [False, True], ids=["with its policy", "by escaping alone"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_readable_offline_whatever_files_are_called(home, browser, bypass_csp, width):
    rows = [refused("TRUNCATED", name=HOUR + b"/cat/" + name) for name in HOSTILE]
    rows += [decoded(HOUR + b"/" + name[:9].replace(b"/", b"") + b"/1.png") for name in HOSTILE]
    rows += [decoded(HOUR + b"/cat/1" + name, dhash=0x0F0F0F0F0F0F0F0F ^ bit) for name in HOSTILE for bit in (0, 1)]
    rows += [decoded(HOUR + "/cat/\u202egnp.exe\x1b[31m\n".encode() + b"\xff" + b"x" * 200, width=2)]
    validate([pack(rows)], len(rows))
    url = (run_folder() / "validation" / "index.html").as_uri()

    context = browser.new_context(offline=True, bypass_csp=bypass_csp, viewport={"width": width, "height": 800})
    page = context.new_page()
    requests, said = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(url)
    page.wait_for_load_state("networkidle")

    assert page.evaluate("window.ran") is None
    assert requests == [url]
    assert said == []
    assert page.locator("script, img, link, iframe, object, main svg:not(.bars svg)").count() == 0
    text = page.locator("main").inner_text()
    assert all(name.decode() in text for name in HOSTILE)
    assert r"\u202egnp.exe\x1b[31m\n\xffxxx" in text
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
