"""The hour that a person names is the hour that is taken, in every way to start a run, and a run says which it took.

The files of these hours end with the listing: what packs and classifies has other tests.
"""

import concurrent.futures
import datetime
import json
import os

import pytest
from running_stack import DAG, Strandline
from signed_in import backfill, signed_in

from strandline import ledger, periods

HOUR = datetime.timedelta(hours=1)
FIRST, SECOND, THIRD = HOURS = [datetime.datetime(2026, 4, 10, hour, tzinfo=datetime.UTC) for hour in (4, 5, 6)]
LONG_AGO = 1_700_000_000  # no run waits for a file to be quiet

Taken = dict[str, tuple[str, datetime.datetime]]  # by the run's id in the ledger, its kind and its hour


@pytest.fixture
def taken(strandline: Strandline):
    """Gives the runs that have listed since it was asked last, in the order of their listings, each of one hour."""
    seen = {row["run_id"] for row in strandline.rows("SELECT run_id FROM runs")}

    def since() -> Taken:
        strandline.api.wait_quiet(DAG, timeout=600)
        query = (
            "SELECT run_id, kind, interval_start AS start, interval_end - interval_start AS length"
            " FROM runs JOIN closings USING (run_id) WHERE kind <> 'scheduled' ORDER BY started_at"
        )
        new = [row for row in strandline.rows(query) if row["run_id"] not in seen]
        seen.update(row["run_id"] for row in new)
        assert all(row["length"] == HOUR for row in new)
        found = {row["run_id"]: (row["kind"], row["start"]) for row in new}
        assert {run_id: said(strandline, run_id) for run_id in found} == found
        return found

    return since


def said(strandline: Strandline, run_id: str) -> tuple[str, datetime.datetime]:
    """Kind and hour of a run, by its log and its page."""
    of_airflow = run_id.partition("~")[0]
    (task,) = (row for row in strandline.api.task_instances(DAG, of_airflow) if row["task_id"] == "list")
    (line,) = (line for line in strandline.log(of_airflow, task) if line.startswith("this run takes "))
    hour, kind = line.removeprefix("this run takes ").split(" (UTC), and is ")
    page = (strandline.stack.settings.run_folder(run_id) / "validation" / "index.html").read_text()
    assert f"Validation of {hour} (UTC)" in page
    return kind, periods.get().parse(hour)


def test_commands_and_backfills_take_the_hours_that_they_name(strandline, browser, taken):
    land(strandline, "1.txt")
    # On the command line: an hour, a moment within one in another time zone, and nothing.
    ways = [("-l", f"{FIRST:%Y-%m-%dT%H}:00"), ("-l", f"{SECOND:%Y-%m-%d}T07:30:00+02:00"), ()]
    failed = strandline.api.trigger(DAG, logical_date=THIRD, conf={"model_version": "f" * 64})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first, second, last = pool.map(lambda options: triggered(strandline, *options), ways)
    strandline.ended(failed, expect="failed")
    run_after = datetime.datetime.fromisoformat(strandline.api.run(DAG, last)["run_after"])
    last_hour = periods.get().floor(run_after) - HOUR
    assert taken() == {first: ("manual", FIRST), second: ("manual", SECOND), last: ("manual", last_hour)}

    # The first hour has a run and the third a failed one; that of the second has another logical date.
    land(strandline, "2.txt")
    strandline.api.wait_backfill(strandline.api.backfill(DAG, FIRST, THIRD, "none"))
    ((made, took),) = taken().items()
    assert took == ("backfill", SECOND)

    # Without parameters, the command line would leave the run those that made it fail.
    between = ("--from-date", f"{FIRST:%Y-%m-%dT%H}:00", "--to-date", f"{THIRD:%Y-%m-%dT%H}:00")
    how = ("--reprocess-behavior", "failed", "--dag-run-conf", "{}")
    strandline.command("backfill", "create", "--dag-id", DAG, *between, *how)
    strandline.api.wait_backfill(latest_backfill(strandline))
    assert taken() == {f"{failed}~1": ("backfill", THIRD)}

    # In Airflow's pages: backwards, and one at a time. Of the first hour, it repeats the run of the command line.
    land(strandline, "3.txt")
    with signed_in(strandline, browser, "op") as context:
        backfill(context.new_page(), DAG, FIRST, THIRD, "All Runs", "Run Backwards")
    strandline.api.wait_backfill(latest_backfill(strandline))
    repeated = {
        f"{failed}~2": ("backfill", THIRD),
        f"{made}~1": ("backfill", SECOND),
        f"{first}~1": ("backfill", FIRST),
    }
    assert list(taken().items()) == list(repeated.items())

    # At a full hour, a scheduled run takes up all that it finds; every other keeps to its hour.
    files = strandline.rows(
        "SELECT r.kind, r.interval_start, e.drop_at FROM run_entries JOIN entries e USING (entry_id)"
        " JOIN runs r USING (run_id) WHERE e.drop_at BETWEEN %(first)s AND %(third)s",
        first=FIRST,
        third=THIRD,
    )
    assert len(files) == 9
    assert all(row["kind"] == "scheduled" or row["interval_start"] == row["drop_at"] for row in files)
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def latest_backfill(strandline: Strandline) -> int:
    return int(next(strandline.api.rows("/backfills", "backfills", dag_id=DAG, order_by="-id"))["id"])


def land(strandline: Strandline, name: str) -> None:
    """In each hour, a file that is refused by its name."""
    for hour in HOURS:
        path = strandline.landing / f"{hour:%Y-%m-%dT%H}" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (LONG_AGO, LONG_AGO))


def triggered(strandline: Strandline, *options: str) -> str:
    """The id of a run that the command line starts."""
    answer = strandline.command("dags", "trigger", DAG, *options, "-o", "json")
    (run,) = json.loads(answer.splitlines()[-1])  # below what it warns of
    return str(run["dag_run_id"])
