"""Labels on a real Airflow: a file with the truth of a real drop is loaded, and says how good the champion is."""

import os
from typing import Any

from strandline import ledger

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

    counts = {"state": "loaded", "rows_read": len(truth) + 1, "accepted": len(truth), "known": 0, "rejected": 1}
    assert load(strandline, f"{hour:%Y}.csv") == counts
    [accuracy] = strandline.rows("SELECT * FROM reporting.accuracy WHERE period_start = %(hour)s", hour=hour)
    assert accuracy["labelled"] == len(truth)
    assert accuracy["low"] < accuracy["accuracy"] < accuracy["high"]
    assert accuracy["accuracy"] > 0.7
    [sample] = strandline.rows("SELECT * FROM audit_samples WHERE run_id = %(run_id)s", run_id=run_id)
    assert (sample["population"], sample["random"]) == (len(truth), 20)
    assert sample["uncertain"] in (0, 20)  # the labels may have come first

    put(strandline, f"{hour:%Y}.csv", "\r\n".join([*lines, ""]))  # a file that had rejections is read again
    assert load(strandline, f"{hour:%Y}.csv") == counts | {"accepted": 0, "known": len(truth)}
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def put(strandline, name: str, text: str) -> None:
    """A file that nobody has touched for a while."""
    path = strandline.stack.settings.labels.folder / name
    path.write_text(text, newline="")
    os.utime(path, (0, 0))


def load(strandline, name: str) -> dict[str, Any]:
    """What becomes of a label file in a run of `ingest_labels`, triggered now."""
    api = strandline.api
    run_id = api.trigger(DAG, conf={"at_once": True})
    state = api.wait(DAG, run_id, timeout=300)
    logs = {row["task_id"]: "\n".join(api.log(DAG, run_id, row)[-25:]) for row in api.task_instances(DAG, run_id)}
    assert state == "success", logs
    query = (
        "SELECT state, rows_read, accepted, known, rejected FROM reporting.label_files WHERE fname = %(name)s"
        " ORDER BY file_id DESC LIMIT 1"
    )
    [found] = strandline.rows(query, name=name)
    return found
