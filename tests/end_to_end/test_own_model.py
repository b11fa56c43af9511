"""A model of other classes and another size than the champion's becomes champion on a real Airflow. Photographs are
classified by either, a window of before is replayed, and the way back is one step.
"""

import datetime
import shutil
from importlib import resources
from pathlib import Path

import pytest
from own_models import COLOURS, write_model, write_pictures
from running_stack import let_the_hour_pass

from local.build import import_model
from local.demo.runs import follow

pytestmark = pytest.mark.usefixtures("report_drift")
DAG, DRIFT, REPLAY = "promote_model", "report_drift", "replay_window"
EACH = 5  # pictures of a class that land


def folder_of(strandline, hour: datetime.datetime) -> Path:
    let_the_hour_pass(strandline.api)
    folder = strandline.landing / f"{hour:%Y-%m-%dT%H}"
    folder.mkdir(parents=True)
    return folder


def champion(strandline) -> str:
    return strandline.rows("SELECT version FROM champions WHERE period @> now()")[0]["version"]


def test_a_model_of_other_classes_and_size_takes_over_and_hands_back(strandline, config, hours, tmp_path):
    user, op = (strandline.stack.api(name) for name in ("user", "op"))
    first, before, after = champion(strandline), next(hours), next(hours)
    landed = folder_of(strandline, before)
    for name in ("china.jpg", "flower.jpg"):
        with resources.as_file(resources.files("sklearn.datasets.images") / name) as photograph:
            shutil.copy(photograph, landed)
    assert strandline.closing(strandline.ingest(before))["classified"] == 2

    pictures = write_pictures(tmp_path / "pictures")
    assert import_model.import_model(config, *write_model(tmp_path, 48, "colours"), "colours", str(pictures)) == 0
    [row] = strandline.rows("SELECT version FROM model_versions WHERE name = 'colours'")
    run_id = user.trigger(DAG, conf={"version": row["version"]})
    question = op.wait_approval_request(DAG, run_id, "request_approval", timeout=300)
    assert "This is a first gate: the champion has none of its classes" in question["body"]
    op.answer(DAG, run_id, "request_approval", "Approve", "colours are what we sell")
    assert op.wait(DAG, run_id, timeout=120) == "success"
    assert champion(strandline) == row["version"]

    reports = len(op.runs(DRIFT))
    shutil.copytree(
        write_pictures(tmp_path / "landing", EACH, seed=1), folder_of(strandline, after), dirs_exist_ok=True
    )
    run_id = strandline.ingest(after)
    assert strandline.closing(run_id)["classified"] == EACH * len(COLOURS)
    found = strandline.rows(
        "SELECT path_label, predictions.label FROM predictions JOIN images USING (image_id)"
        " JOIN entries USING (entry_id) WHERE run_id = %(run_id)s",
        run_id=run_id,
    )
    assert {(row["path_label"], row["label"]) for row in found} == {(name, name) for name in COLOURS}
    assert op.wait(DRIFT, follow(strandline.stack, op, DRIFT, reports), timeout=300) == "success"
    query = "SELECT sentence FROM drift_reports WHERE model_version = %(version)s"
    [report] = strandline.rows(query, version=row["version"])
    assert "Nothing to compare with" not in report["sentence"]

    run_id = op.trigger(REPLAY, conf={"start": f"{before:%Y-%m-%dT%H}"})
    assert op.wait(REPLAY, run_id, timeout=300) == "success"
    [replay] = strandline.rows("SELECT status, equal FROM replays WHERE run_id = %(run_id)s", run_id=run_id)
    assert (replay["status"], replay["equal"]) == ("equal", 2)
    run_id = op.trigger(DAG, conf={"action": "roll back", "reason": "to see that it works"})
    assert op.wait(DAG, run_id, timeout=120) == "success"
    assert champion(strandline) == first
