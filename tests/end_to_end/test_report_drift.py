"""Drift reports on a real Airflow: after every hour's predictions, and on demand."""

import datetime
import re
import time
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

import strandline_contract as contract

pytestmark = pytest.mark.usefixtures("report_drift")
DAG = "report_drift"
HOUR = datetime.timedelta(hours=1)


def reported(strandline, hour, after=0):
    """The latest report of an hour's window that is newer than report `after`; waits for it."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = strandline.rows(
            "SELECT * FROM drift_reports WHERE window_start = %(hour)s AND window_end = %(end)s"
            " AND report_id > %(after)s ORDER BY report_id DESC",
            **{"hour": hour, "end": hour + HOUR, "after": after},
        )
        if found:
            strandline.api.wait_quiet(DAG, timeout=300)
            return found[0]
        failed = [run for run in strandline.api.runs(DAG) if run["state"] == "failed"]
        assert failed == []
        time.sleep(0.5)
    pytest.fail(f"no report of {hour} in 300 s")


def darken(folder: Path) -> None:
    for path in sorted(folder.glob("*/*")):
        with Image.open(path) as image:
            dark = ImageEnhance.Brightness(image.convert("RGB")).enhance(0.3)
        dark.save(path)


def page(strandline, row) -> Path:
    return strandline.stack.settings.store / row["folder"] / "index.html"


def test_an_hour_is_reported_when_its_books_close(strandline, hour):
    strandline.drop(hour, 300)
    run_id = strandline.ingest(hour)
    row = reported(strandline, hour)
    assert row["images"] == strandline.closing(run_id)["classified"]
    assert (row["action"], row["compared"]) == ("none", row["images"])
    assert contract.sha256_file(page(strandline, row)) == row["html_sha256"]
    (instance,) = [
        one for one in strandline.api.task_instances(DAG, row["run_id"]) if one["task_id"] == "request_retraining"
    ]
    assert instance["state"] == "skipped"

    run_id = strandline.api.trigger(DAG, conf={"start": hour.strftime("%Y-%m-%dT%H")})
    assert strandline.api.wait(DAG, run_id) == "success"
    again = reported(strandline, hour, row["report_id"])
    assert (again["replaces"], again["live"], again["run_id"]) == (row["report_id"], False, run_id)


def test_dark_images_are_watched(strandline, hour):
    strandline.drop(hour, 300)
    darken(strandline.landing / hour.strftime("%Y-%m-%dT%H"))
    strandline.ingest(hour)
    row = reported(strandline, hour)
    assert row["action"] in ("warn", "retrain")
    assert row["asks"]
    assert re.search(r"Accuracy on \d+ labelled images fell", row["sentence"])  # dark ones look alike


def test_a_report_that_fails_is_red_and_touches_no_classification(strandline, hour):
    strandline.drop(hour, 120)
    run_id = strandline.ingest(hour)
    row = reported(strandline, hour)
    before = strandline.facts(hour)
    gone = list(strandline.stack.settings.run_folder(run_id).glob("classify/*/*/predictions.parquet"))
    for path in gone:
        path.rename(path.with_suffix(".gone"))
    asked = strandline.api.trigger(DAG, conf={"start": hour.strftime("%Y-%m-%dT%H")})
    try:
        assert strandline.api.wait(DAG, asked) == "failed"
        (failed,) = [one for one in strandline.api.task_instances(DAG, asked) if one["state"] == "failed"]
        assert (failed["task_id"], failed["try_number"]) == ("report", 1)
        assert "predictions.parquet is missing" in "\n".join(strandline.api.log(DAG, asked, failed))
        assert strandline.facts(hour) == before
        assert reported_ids(strandline, hour) == [row["report_id"]]
    finally:
        strandline.api.request("DELETE", f"/dags/{DAG}/dagRuns/{asked}")
        for path in gone:  # some of these images may land in another test's hour
            path.with_suffix(".gone").rename(path)


def reported_ids(strandline, hour):
    found = strandline.rows("SELECT report_id FROM drift_reports WHERE window_start = %(hour)s", hour=hour)
    return [row["report_id"] for row in found]
