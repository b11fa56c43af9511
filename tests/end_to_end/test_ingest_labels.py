"""Labels on a real Airflow: a file with the truth of a real drop is loaded, and says how good the champion is."""

import os

import pytest

from strandline import ledger

pytestmark = pytest.mark.timeout(900)
DAG = "ingest_labels"


def test_a_label_file_makes_accuracy_and_the_books_hold(strandline, hour):
    strandline.drop(hour, 60)
    named = {path.name: path.parent.name for path in strandline.landing.glob(f"{hour:%Y-%m-%dT%H}/*/*")}
    for folder in strandline.landing.glob(f"{hour:%Y-%m-%dT%H}/*"):
        folder.rename(folder.with_name(f"batch-{folder.name}"))  # paths that say nothing
    run_id = strandline.ingest(hour)
    images = strandline.rows(
        "SELECT image_id, display_name AS path FROM images JOIN entries USING (entry_id) WHERE drop_at = %(hour)s",
        hour=hour,
    )
    truth = {row["path"]: named[row["path"].rpartition("/")[2]] for row in images}
    lines = ["path,label", *(f"{path},{label}" for path, label in truth.items()), "=cmd|'/C calc'!A0,cat"]
    put(strandline, f"{hour:%Y}.csv", "\r\n".join(lines))

    counts = load(strandline)
    assert {name: count for name, count in counts.items() if count} == {
        "loaded": 1,
        "accepted": len(truth),
        "rejected": 1,
    }
    [accuracy] = strandline.rows("SELECT * FROM reporting.accuracy WHERE hour = %(hour)s", hour=hour)
    assert accuracy["labelled"] == len(truth)
    assert accuracy["low"] < accuracy["accuracy"] < accuracy["high"]
    assert accuracy["accuracy"] > 0.7
    samples = strandline.rows(
        "SELECT population, random, uncertain FROM audit_samples WHERE run_id = %(run_id)s", run_id=run_id
    )
    assert samples in ([row] for row in ({"population": len(truth), "random": 20, "uncertain": n} for n in (0, 20)))

    put(strandline, "again.csv", "\r\n".join(lines))
    assert {name: count for name, count in load(strandline).items() if count} == {"known": 1}
    with ledger.connect(strandline.stack.settings.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def put(strandline, name: str, text: str) -> None:
    """A file that nobody has touched for a while."""
    path = strandline.stack.settings.labels / name
    path.write_text(text, newline="")
    os.utime(path, (0, 0))


def load(strandline) -> dict[str, int]:
    """What a run of `ingest_labels`, triggered now, says that it did."""
    api = strandline.api
    run_id = api.trigger(DAG, params={"at_once": True})
    state = api.wait(DAG, run_id, timeout=300)
    logs = {row["task_id"]: "\n".join(api.log(DAG, run_id, row)[-25:]) for row in api.task_instances(DAG, run_id)}
    assert state == "success", logs
    path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/load/xcomEntries/return_value"
    return api.request("GET", path)["value"]
