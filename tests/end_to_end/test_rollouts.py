"""A version answers over HTTP beside the champion on a real Airflow: until a person lets it answer all, or until it is
worse.
"""

import io
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import Load, champion, consumer, like_the_champion, on_record, wait_for
from gates import answer, hold
from PIL import Image
from running_stack import Strandline

from local.stack.api import ApiError
from strandline import ledger, settings
from strandline.promotion import promotion

pytestmark = pytest.mark.timeout(900)
DAG = "serve_canary"
RATE = 25  # requests a second
PLAN = {"steps": [0.5], "pictures": 500, "wait_hours": 0.5}
# The champion's network, but for its answer to black pictures: that is no number.
BLIND = """
import sys
import onnx
from onnx import helper, numpy_helper
import numpy as np
model = onnx.load(sys.argv[1])
model.graph.node[-1].output[0] = "seen"
for name, value in (("black", 2.25), ("hardly", 1e-30)):
    model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
model.graph.node.extend([
    helper.make_node("ReduceMean", ["data"], ["mean"], axes=[1, 2, 3], keepdims=0),
    helper.make_node("Add", ["mean", "black"], ["light"]),
    helper.make_node("Sqrt", ["light"], ["root"]),
    helper.make_node("Mul", ["root", "hardly"], ["nothing"]),
    helper.make_node("Unsqueeze", ["nothing", "axes"], ["beside"]),
    helper.make_node("Add", ["seen", "beside"], ["probabilities"]),
])
model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
onnx.save(model, sys.argv[2])
"""


@pytest.fixture(scope="module")
def pictures(strandline: Strandline, hours) -> list[Path]:
    """Of a drop whose paths say what they show."""
    hour = next(hours)
    strandline.drop(hour, 1_400)  # so many that an equal version is seen to be as good
    strandline.ingest(hour)
    return sorted((strandline.landing / f"{hour:%Y-%m-%dT%H}").glob("*/*.*"))


def rollout(strandline: Strandline, run_id: str) -> dict[str, Any]:
    query = "SELECT state, share, who, why FROM reporting.rollouts WHERE rollout_id = %(run_id)s"
    return next(iter(strandline.rows(query, run_id=run_id)), {"state": None})


def reach(strandline: Strandline, run_id: str, state: str, seconds: float = 240) -> None:
    def reached() -> bool:
        seen = rollout(strandline, run_id)
        assert seen.get("share") != 0 or seen["state"] == state, seen
        return bool(seen["state"] == state)

    wait_for(reached, seconds)


def steps(strandline: Strandline, run_id: str) -> list[tuple]:
    query = "SELECT what, share, who FROM rollout_steps WHERE rollout_id = %(run_id)s ORDER BY number"
    return [tuple(row.values()) for row in strandline.rows(query, run_id=run_id)]


def versions(answers: list[httpx.Response]) -> set[str]:
    return {said.json()["model_version"] for said in answers if said.status_code == httpx.codes.OK}


def states(api, run_id: str) -> dict[str, str]:
    return {row["task_id"]: row["state"] for row in api.task_instances(DAG, run_id)}


def log(api, run_id: str, task_id: str) -> str:
    [row] = [row for row in api.task_instances(DAG, run_id) if row["task_id"] == task_id]
    return "\n".join(api.log(DAG, run_id, row))


def assert_sound(strandline: Strandline) -> None:
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def test_a_version_that_is_as_good_comes_to_answer_all_callers(strandline, served, config, pictures, tmp_path):
    first, version = champion(strandline), like_the_champion("beside the champion", tmp_path)
    user, op = (strandline.stack.api(name) for name in ("user", "op"))
    load = Load(served, consumer(strandline, "create", "--name", "many", "--rate", "1000"), pictures, RATE)
    pinned = consumer(strandline, "create", "--name", "pinned", "--version", first)
    with load.running():
        run_id = user.trigger(DAG, conf=PLAN | {"version": version[:12]})
        reach(strandline, run_id, "shadow")
        reach(strandline, run_id, "canary")
        assert versions(load.answers) == {first}  # nobody has seen the shadow
        question = op.wait_approval_request(DAG, run_id, "request_approval", timeout=240)
        assert version[:12] in question["subject"]
        assert "canary of 0.5: The version is as good" in question["body"]
        assert versions(load.answers) == {first, version}
        with pytest.raises(ApiError, match="403"):
            user.answer(DAG, run_id, "request_approval", "Approve", "mine")
        op.answer(DAG, run_id, "request_approval", "Approve", "as good")
        reach(strandline, run_id, "approved last step")
        wait_for(lambda: versions(load.answers[-RATE:]) == {version})
        load.wait(RATE)
        for who, answered in ((None, version), (pinned, first)):
            headers = {"authorization": f"Bearer {who}"} if who else {}
            content = pictures[0].read_bytes()
            said = httpx.post(f"{served}/classify", content=content, headers=headers, trust_env=False, timeout=60)
            assert said.json()["model_version"] == answered
        assert states(op, run_id)["keep_watching"] == "up_for_reschedule"
        promotion.record_approval(hold("a gate after a rollout", version, first), answer())
        promotion.promote("a gate after a rollout")
        reach(strandline, run_id, "ended")
        load.wait(RATE)
    assert (load.lost, {said.status_code for said in load.answers}) == (0, {200})
    assert versions(load.answers[-RATE:]) == {version}
    assert op.wait(DAG, run_id, timeout=240) == "success"
    assert steps(strandline, run_id) == [
        ("shadow", 0.5, "user"),
        ("canary", 0.5, "serve_canary"),
        ("asked for approval", 0.5, "serve_canary"),
        ("approved last step", 1, "op"),
        ("ended", 0, "op"),
    ]
    told = {said.json()["prediction_id"]: said.json()["model_version"] for said in load.answers}
    recorded = {row["prediction_id"]: row for row in on_record(strandline, set(told))}
    assert {one: row["version"] for one, row in recorded.items()} == told
    assert {row["role"] for row in recorded.values()} == {"champion", "canary"}
    promotion.roll_back("back from a rollout", "op", "other tests want the first one")
    assert_sound(strandline)


def test_a_version_that_fails_in_a_canary_steps_back_by_itself(strandline, served, config, pictures, tmp_path):
    first, op = champion(strandline), strandline.stack.api("op")
    graph = tmp_path / "blind.onnx"
    original = settings.REPOSITORY / "models" / "cifar_resnet20_v1" / "model.onnx"
    subprocess.run([str(config.vision.python), "-c", BLIND, str(original), str(graph)], check=True)
    version = like_the_champion("blind in the dark", tmp_path, graph.read_bytes())
    token = consumer(strandline, "create", "--name", "night", "--rate", "1000")
    day, night = Load(served, token, pictures, RATE), Load(served, token, black(tmp_path / "black"), RATE)
    with day.running():
        run_id = op.trigger(DAG, conf=PLAN | {"version": version})
        reach(strandline, run_id, "shadow")
        reach(strandline, run_id, "canary")
    with night.running():
        assert op.wait(DAG, run_id, timeout=240) == "failed"
        seen = rollout(strandline, run_id)
        assert (seen["state"], seen["who"]) == ("stepped back", "serve_canary")
        assert "The version is worse beyond chance" in seen["why"]
        before = len(night.answers)
        night.wait(5 * RATE)
    assert {said.status_code for said in day.answers} == {200}
    assert {said.status_code for said in night.answers[:before]} == {200, 422}
    assert {said.json().get("reason") for said in night.answers if said.status_code == 422} == {"NOT_FINITE"}
    assert versions(night.answers[-RATE:]) == {first}
    assert {said.status_code for said in night.answers[-RATE:]} == {200}
    ended = states(op, run_id)
    assert (ended["canary_1"], ended["step_back"]) == ("failed", "failed")
    assert (ended["request_approval"], ended["keep_watching"]) == ("upstream_failed", "upstream_failed")
    for task_id in ("canary_1", "step_back"):
        assert seen["why"] in log(op, run_id, task_id)
    assert champion(strandline) == first
    assert_sound(strandline)


def black(folder: Path) -> list[Path]:
    """Pictures that are black, each of its own bytes."""
    folder.mkdir()
    for number in range(200):
        file = io.BytesIO()
        Image.new("RGB", (32 + number % 20, 32 + number // 20)).save(file, "PNG")
        (folder / f"{number}.png").write_bytes(file.getvalue())
    return sorted(folder.iterdir())
