"""The hourly run on a real Airflow with real photographs: nothing lost, nothing twice, whatever happens."""

import datetime
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running_stack import DAG, LATE_HOUR, LATE_IMAGES

import strandline_contract as contract
from strandline import ledger
from strandline.operators.process import vision_environment

HOUR = datetime.timedelta(hours=1)
ACCEPTED = {"ingested", "duplicate"}  # two hours may have drawn the same photograph


@pytest.fixture(autouse=True)
def every_invariant_holds(strandline):
    """Of the whole ledger, after each test."""
    yield
    strandline.api.wait_quiet(DAG, timeout=600)
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        broken = {name: rows for name, rows in ledger.check_invariants(connection).items() if rows}
    assert broken == {}


def test_a_scheduled_run_catches_up_late_files(strandline):
    strandline.api.wait_quiet(DAG, timeout=600)
    found = strandline.rows(
        "SELECT r.kind, count(*) AS entries FROM outcomes o JOIN entries e USING (entry_id) JOIN runs r USING (run_id)"
        " WHERE e.drop_at = %(hour)s AND o.state = 'ingested' GROUP BY r.kind",
        hour=LATE_HOUR,
    )
    assert found == [{"kind": "scheduled", "entries": LATE_IMAGES}]


def test_a_drop_is_ingested_and_its_books_close(strandline, hour):
    strandline.drop(hour, 300)
    folder = strandline.landing / hour.strftime("%Y-%m-%dT%H")
    photographs = sorted(folder.glob("*/*.jpg"))
    (folder / "cat" / "copy.jpg").write_bytes(photographs[0].read_bytes())
    (folder / "cat" / "half.jpg").write_bytes(photographs[0].read_bytes()[:-200])
    (folder / "cat" / "empty.jpg").touch()
    (folder / "cat" / "link.jpg").symlink_to("/etc/passwd")
    (folder / "Thumbs.db").write_bytes(b"x")
    hostile = os.fsencode(folder / "dog") + b"/\xff {{ 7*7 }} \n'\"\\. <script>.jpg"
    Path(os.fsdecode(hostile)).write_bytes(photographs[1].read_bytes() + b"tail")
    run_id = strandline.ingest(hour)
    counts = strandline.closing(run_id)
    expected = {"listed": 306, "quarantined": 2, "rejected": 2, "vanished": 0}
    assert {name: counts[name] for name in expected} == expected
    assert counts["ingested"] + counts["duplicates"] == 302
    assert counts["duplicates"] >= 1
    assert (counts["classified"], counts["failed"]) == (301, 0)
    assert b"\xff {{ 7*7 }} \n'\"\\. <script>.jpg" in {
        bytes(row["name"]).split(b"/")[-1] for row in strandline.facts(hour)["entries"]
    }
    right = strandline.rows(
        "SELECT avg((p.label = e.path_label)::int)::float AS share FROM outcomes o JOIN entries e USING (entry_id)"
        " JOIN predictions p USING (image_id) WHERE e.drop_at = %(hour)s",
        hour=hour,
    )
    assert right[0]["share"] > 0.8
    page = strandline.stack.settings.run_folder(run_id) / "validation" / "index.html"
    assert "half.jpg" in page.read_text()


def test_the_asset_is_told_the_counts(strandline, hour):
    strandline.drop(hour, 20)
    run_id = strandline.ingest(hour)
    events = list(strandline.api.rows("/assets/events", "asset_events", source_run_id=run_id))
    assert [event["extra"]["classified"] for event in events] == [20]


def test_a_second_run_and_a_cleared_run_change_nothing(strandline, hour):
    strandline.drop(hour, 50)
    run_id = strandline.ingest(hour)
    before = strandline.facts(hour)
    assert len(before["predictions"]) == 50
    again = strandline.ingest(hour)
    assert strandline.closing(again)["listed"] == 0
    assert strandline.facts(hour) == before
    strandline.api.clear(DAG, run_id)
    strandline.ended(run_id)
    assert strandline.facts(hour) == before
    assert strandline.closing(run_id)["listed"] == 50


def test_a_backfill_takes_each_of_its_hours(strandline):
    first = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)
    drops = {first: 20, first + HOUR: 10, first + 2 * HOUR: 30}
    for drop, count in drops.items():
        if drop != first + HOUR:
            strandline.drop(drop, count)
    strandline.drop(first + 3 * HOUR, 5)
    # A person names the second hour. A backfill passes over it, as it has a run, and one that repeats takes it again.
    by_hand = strandline.api.trigger(DAG, logical_date=first + HOUR)
    strandline.ended(by_hand)
    assert strandline.api.run(DAG, by_hand)["data_interval_start"] == f"{first + HOUR:%Y-%m-%dT%H:%M:%SZ}"
    for reprocess in ("none", "completed"):
        strandline.drop(first + HOUR, 10 * (reprocess == "completed"))
        backfill = strandline.api.backfill(DAG, first, first + 2 * HOUR, reprocess)
        strandline.api.wait_backfill(backfill, timeout=600)
        strandline.api.wait_quiet(DAG, timeout=600)
    listed = strandline.rows(
        "SELECT r.interval_start AS hour, max(e.drop_at) AS last_drop FROM runs r JOIN closings USING (run_id)"
        " LEFT JOIN run_entries USING (run_id) LEFT JOIN entries e USING (entry_id)"
        " WHERE r.interval_start >= %(first)s AND r.interval_start <= %(last)s AND r.kind <> 'scheduled'"
        " GROUP BY 1 ORDER BY 1",
        first=first,
        last=first + 3 * HOUR,
    )
    assert [row["hour"] for row in listed] == list(drops)
    assert all(row["last_drop"] in (None, row["hour"]) for row in listed)
    # Whichever run took them: at a full hour, a scheduled one takes up all that it finds.
    assert {drop: len(strandline.facts(drop)["predictions"]) for drop in drops} == drops


def test_two_runs_at_once_make_the_rows_of_one(strandline, hour):
    strandline.drop(hour, 200)
    runs = [strandline.trigger(hour), strandline.trigger(hour)]
    for run_id in runs:
        strandline.ended(run_id)
        strandline.closing(run_id)
    facts = strandline.facts(hour)
    assert len(facts["entries"]) == 200
    assert {entry["state"] for entry in facts["entries"]} <= ACCEPTED
    assert len(facts["predictions"]) == len({entry["image_id"] for entry in facts["entries"]})


@pytest.mark.parametrize("victim", ["vision process", "its task as well"])
def test_a_killed_classification_is_tried_again_and_ends_with_the_same_rows(strandline, hour, victim):
    strandline.drop(hour, 400)
    run_id = strandline.trigger(hour)
    _kill_classification(strandline, run_id, with_task=victim == "its task as well")
    strandline.ended(run_id)
    tries = [row["try_number"] for row in strandline.api.task_instances(DAG, run_id) if row["task_id"] == "classify"]
    assert max(tries) == 2
    counts = strandline.closing(run_id)
    assert (counts["ingested"] + counts["duplicates"], counts["classified"], counts["failed"]) == (400, 400, 0)
    loaded, control = _loaded(strandline, hour), _classified_without_a_fault(strandline, run_id)
    assert {image: label for image, (label, _) in loaded.items()} == {i: label for i, (label, _) in control.items()}
    for image, (_, probabilities) in loaded.items():
        assert probabilities == pytest.approx(control[image][1], abs=1e-5)


def test_a_dry_run_writes_no_row(strandline, hour):
    strandline.drop(hour, 10)
    run_id = strandline.ingest(hour, dry_run=True)
    states = {row["task_id"]: row["state"] for row in strandline.api.task_instances(DAG, run_id)}
    assert states["validate"] == "success"
    assert states["load"] == states["close_books"] == "skipped"
    assert strandline.facts(hour)["entries"] == []
    assert strandline.rows("SELECT FROM runs WHERE run_id = %(run_id)s", run_id=run_id) == []
    assert (strandline.stack.settings.run_folder(run_id) / "validation" / "index.html").is_file()


def test_an_hour_without_files_succeeds_with_zeros(strandline, hour):
    counts = strandline.closing(strandline.ingest(hour))
    assert all(counts[name] == 0 for name in counts.keys() - {"run_id", "closed_at"})


def test_a_source_of_broken_files_is_set_aside_until_a_person_releases_it(strandline, hour):
    """The others are classified in the same hour, and the run is red."""
    strandline.drop(hour, 60)
    folder = strandline.landing / hour.strftime("%Y-%m-%dT%H")
    cats = len(list((folder / "cat").iterdir()))
    for number in range(40):
        (folder / "cat" / f"broken{number}.jpg").write_bytes(b"\xff\xd8\xff")
    run_id = strandline.ingest(hour, expect="failed")
    failed = [row for row in strandline.api.task_instances(DAG, run_id) if row["state"] == "failed"]
    assert [row["task_id"] for row in failed] == ["alert"]
    assert failed[0]["try_number"] == 1
    log = "\n".join(strandline.log(run_id, failed[0]))
    assert f"{hour:%Y-%m-%dT%H}/cat (40 of {cats + 40} files are broken" in log
    assert f"{strandline.stack.url}/strandline/reports/validation/" in log
    closed = strandline.closing(run_id)
    assert (closed["ingested"] + closed["duplicates"], closed["quarantined"]) == (60 - cats, 40 + cats)
    released = strandline.closing(strandline.ingest(hour, release="SET_ASIDE"))
    assert (released["ingested"] + released["duplicates"], released["quarantined"]) == (cats, 40)


def test_shards_are_named_and_bounded(strandline, hour):
    strandline.drop(hour, 25)
    run_id = strandline.ingest(hour, shard_size=10)
    packed = [row for row in strandline.api.task_instances(DAG, run_id) if row["task_id"] == "pack"]
    shards = strandline.rows("SELECT shard_id FROM batches WHERE run_id = %(run_id)s", run_id=run_id)
    assert len(packed) == len(shards) == 3
    assert {row["rendered_map_index"] for row in packed} == {row["shard_id"][:18] for row in shards}


def _kill_classification(strandline, run_id: str, with_task: bool) -> None:
    folder = str(strandline.stack.settings.run_folder(run_id) / "classify")
    deadline = time.monotonic() + 300
    while not (found := _processes(folder)):
        assert time.monotonic() < deadline, "no classification was seen"
        time.sleep(0.02)
    parent = int(Path(f"/proc/{found[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
    for pid in ([parent] if with_task else []) + found[:1]:
        os.kill(pid, signal.SIGKILL)


def _processes(folder: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"vision" in line and any(part.startswith(folder.encode()) for part in line):
            found.append(int(path.parent.name))
    return found


def _loaded(strandline, hour: datetime.datetime) -> dict[str, tuple]:
    return {row["image_id"]: (row["label"], row["probabilities"]) for row in strandline.facts(hour)["predictions"]}


def _classified_without_a_fault(strandline, run_id: str) -> dict[str, tuple]:
    """The run's shard classified once more, by a process that nobody kills."""
    config = strandline.stack.settings
    sealed = next((config.run_folder(run_id) / "classify").glob(f"*/*/{contract.RESULT_FILE}"))
    folder = config.store / "control" / sealed.parent.name
    folder.mkdir(parents=True)
    shutil.copy(sealed.with_name(contract.REQUEST_FILE), folder)
    command = [config.vision.python, "-m", "vision", "classify", "--request", folder / contract.REQUEST_FILE]
    subprocess.run(command, env=vision_environment(config, folder), check=True)
    rows = pq.read_table(folder / contract.PREDICTIONS_FILE).to_pylist()
    return {row["image_id"]: (row["label"], row["probabilities"]) for row in rows}
