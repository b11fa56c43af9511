"""A challenger becomes champion, and is rolled back, on a real Airflow: people ask and answer in a browser, or over the
REST API.
"""

import dataclasses
import functools
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from gates import answer, hold
from PIL import Image, ImageOps
from running_stack import archive
from signed_in import press, reload_until, signed_in

import strandline_contract as contract
from local.demo import training_sets
from local.demo.runs import follow
from local.stack.api import ApiError
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.models import datasets, registry
from strandline.operators.process import ProcessOperator
from strandline.promotion import promotion
from strandline.training import plan as training
from strandline.training import tasks

pytestmark = pytest.mark.timeout(1500)
DAG, MONITOR = "promote_model", "monitor_champion"
IMAGES = 3000  # to learn from
WORSE = {"epochs": 2, "peak_lr": 0.005}  # with wrong labels


@pytest.fixture(scope="module")
def sets(strandline, hours) -> None:
    """The holdout, and a recent set of a drop."""
    hour = next(hours)
    strandline.drop(hour, 1200)  # so many that equal models are seen to be equal
    run_id = strandline.ingest(hour)
    config = strandline.stack.settings
    training_sets.make(dataclasses.replace(config, local=dataclasses.replace(config.local, cifar_archive=archive())))
    rows = strandline.rows(
        "SELECT image_id, image_labels.label, folder FROM predictions JOIN image_labels USING (image_id)"
        " JOIN batches USING (run_id, shard_id) WHERE run_id = %(run_id)s",
        run_id=run_id,
    )
    folders = sorted({row["folder"] for row in rows})
    requests = [contract.read_request("classify", config.store / folder / contract.REQUEST_FILE) for folder in folders]
    labelled = [(row["image_id"], row["label"]) for row in rows]
    with ledger.connect("training", config.database_url) as connection:
        rule = {"images": "a drop"}
        datasets.freeze(connection, config, "recent", labelled, [request.shard for request in requests], rule, "tester")


@pytest.fixture
def config(config, sets):
    """Once there are sets."""
    return config


@pytest.fixture
def make_challenger(config, tmp_path):
    """A version like the champion: its bundle under another name, with another network if one is given."""

    def make(name: str, graph: bytes | None = None) -> str:
        folder = tmp_path / name
        shutil.copytree(settings.REPOSITORY / "models" / "cifar_resnet20_v1", folder)
        manifest = json.loads((folder / contract.BUNDLE_MANIFEST).read_bytes()) | {"name": name}
        if graph is not None:
            (folder / contract.GRAPH_FILE).write_bytes(graph)
            manifest["files"][contract.GRAPH_FILE] = {"sha256": contract.sha256_file(folder / contract.GRAPH_FILE)}
        contract.write_json(folder / contract.BUNDLE_MANIFEST, manifest)
        return registry.register(folder, "tester")

    return make


@functools.cache
def learn(config, champion: str, flipped: float, **how) -> str:
    """A version that the champion became by learning from its own original images, so many of their labels wrong."""
    with ledger.connect("training", config.database_url) as connection:
        [model] = ledger.fetch(connection, "select_champion")
        kinds = ("original", "holdout", "recent")
        original, holdout, recent = (datasets.latest(connection, kind, model["classes"]) for kind in kinds)
        known, classes = datasets.labels(config.store, original), model["classes"]
        wrong = {image: number < flipped * IMAGES for number, image in enumerate(sorted(known)[:IMAGES])}
        rows = [(image, classes[(classes.index(known[image]) + flip) % len(classes)]) for image, flip in wrong.items()]
        rule = {"images": f"{flipped:.0%} of the labels are wrong"}
        training_set = datasets.freeze(connection, config, "training", rows, original.shards, rule, "tester")
    sets = {"training_set": training_set, "holdout": holdout, "recent_set": recent}
    planned = {"parent": champion, "asked_by": "tester", "reason": "", "report_id": None, "run_id": "a test"}
    planned |= {name: one.dataset_id for name, one in sets.items()}
    size = json.loads((config.store / model["bundle"] / contract.PREPROCESSING_FILE).read_bytes())
    request = contract.TrainRequest(
        name=model["name"],
        network=model["network"],
        classes=tuple(classes),
        shards=training_set.shards,
        labels=training_set.labels,
        **{name: size[name] for name in ("height", "width")},
        **{name: tuple(size[name]) for name in ("mean", "std")},
        threads=config.vision.cores,
        low_share=0.0,
        start=contract.BundleRef(model["bundle"], champion),
        shard_id=training_set.dataset_id,
        **how,
    )
    trained = vision("train", request.to_dict())
    measure_on = {"labels": holdout.labels.to_dict(), "shards": [ref.to_dict() for ref in holdout.shards]}
    evaluated = vision("evaluate", tasks.evaluation(planned, measure_on, trained))
    packaged = vision("package", tasks.packaging(planned, trained, evaluated))
    attempts = map(SealedAttempt.from_dict, (trained, evaluated, packaged))
    bundle = training.packaged_bundle(training.TrainingPlan.from_dict(planned), *attempts)
    return registry.register(bundle, "tester", planned)


def vision(command: str, request: dict) -> dict:
    operator = ProcessOperator(task_id=command, vision_command=command, request=request)
    return operator.execute({"run_id": "a test", "ti": SimpleNamespace(try_number=1)})


def champion(strandline) -> str:
    return strandline.rows("SELECT version FROM champions WHERE period @> now()")[0]["version"]


def states(api, run_id: str) -> dict[str, str]:
    return {row["task_id"]: row["state"] for row in api.task_instances(DAG, run_id) if row["map_index"] < 1}


def logs(api, run_id: str, task_id: str) -> str:
    return "\n".join(
        line
        for row in api.task_instances(DAG, run_id)
        if row["task_id"] == task_id
        for line in api.log(DAG, run_id, row)
    )


def ended(api, run_id: str, expect: str) -> dict[str, str]:
    state = api.wait(DAG, run_id, timeout=600)
    found = states(api, run_id)
    failed = [task_id for task_id, task_state in found.items() if task_state == "failed"]
    assert state == expect, [found, *(logs(api, run_id, task_id)[-3000:] for task_id in failed)]
    return found


def asked(api, run_id: str) -> dict:
    """The question of a run; where it comes to none, what failed."""
    try:
        return api.wait_approval_request(DAG, run_id, "request_approval", timeout=600)
    except ApiError:
        ended(api, run_id, "a question")
        raise


def test_a_challenger_is_approved_promoted_and_rolled_back(strandline, make_challenger, browser):
    user, op, admin = (strandline.stack.api(name) for name in ("user", "op", "admin"))
    first, challenger = champion(strandline), make_challenger("the same, again")

    with signed_in(strandline, browser, "user") as context:
        page = context.new_page()
        page.goto(f"/strandline/models/{challenger}")
        run_id = press(page, "Promote")
    question = asked(user, run_id)
    assert challenger[:12] in question["subject"]
    assert "The challenger passes all" in question["body"]
    with pytest.raises(ApiError) as refused:
        user.answer(DAG, run_id, "request_approval", "Approve", "mine")
    assert refused.value.status == 403
    assert champion(strandline) == first
    with signed_in(strandline, browser, "op") as context:
        page = context.new_page()
        page.goto("/strandline/")
        page.get_by_role("link", name=re.compile("^Promote the same, again")).click()
        page.locator("#element_reason").fill("as good, and newer")
        page.get_by_role("button", name="Approve").click()
        reload_until(page, "/strandline/models", lambda page: "again" in page.locator("h1").inner_text())
    with pytest.raises(ApiError) as late:
        admin.answer(DAG, run_id, "request_approval", "Reject", "no")
    assert late.value.status == 409
    ended(op, run_id, "success")
    assert champion(strandline) == challenger
    [gate] = strandline.rows("SELECT * FROM gates WHERE gate_id = %(run_id)s", run_id=run_id)
    assert (gate["requested_by"], gate["outcome"], gate["champion"]) == ("user", "pass", first)
    assert Path(strandline.stack.settings.store / gate["folder"] / "index.html").is_file()
    [approval] = strandline.rows("SELECT * FROM approvals WHERE gate_id = %(run_id)s", run_id=run_id)
    assert (approval["approver"], approval["reason"]) == ("op", "as good, and newer")

    with signed_in(strandline, browser, "op") as context:
        page = context.new_page()
        page.goto(f"/strandline/models/{challenger}")
        page.get_by_role("textbox", name="Why").first.fill("to see that it works")
        back = press(page, "Roll back")
        found = ended(op, back, "success")
        page.goto("/strandline/models")
        assert "again" not in page.locator("h1").inner_text()
    assert (found["roll_back"], found["plan"]) == ("success", "skipped")
    assert champion(strandline) == first
    again = op.trigger(DAG, conf={"action": "roll back", "reason": "twice"})
    assert ended(op, again, "failed")["roll_back"] == "failed"
    assert "there was no other champion before" in logs(op, again, "roll_back")
    assert champion(strandline) == first
    steps = strandline.rows(
        "SELECT who, what FROM audit_log WHERE details ->> 'gate_id' = %(gate)s OR details ->> 'run_id' = %(back)s"
        " ORDER BY audit_id",
        gate=run_id,
        back=back,
    )
    assert [(row["who"], row["what"]) for row in steps] == [
        ("user", "examined"),
        ("op", "approved"),
        ("op", "promoted"),
        ("op", "rolled back"),
    ]
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def test_nobody_approves_what_they_asked_for(strandline, make_challenger):
    op, admin = (strandline.stack.api(name) for name in ("op", "admin"))
    first, challenger = champion(strandline), make_challenger("asked for by op")
    run_id = op.trigger(DAG, conf={"version": challenger})
    asked(op, run_id)
    op.answer(DAG, run_id, "request_approval", "Approve", "mine")
    ended(op, run_id, "failed")
    assert "somebody else has to approve it" in logs(op, run_id, "request_approval")
    assert champion(strandline) == first

    forge_answer(op, run_id, "admin")
    ended(op, run_id, "failed")
    assert "has no answer to gate" in logs(op, run_id, "check_approval")
    assert strandline.rows("SELECT FROM approvals WHERE gate_id = %(run_id)s", run_id=run_id) == []
    assert champion(strandline) == first

    op.clear(DAG, run_id, task_ids=["request_approval"])
    asked(op, run_id)
    admin.answer(DAG, run_id, "request_approval", "Reject", "not now")
    found = ended(op, run_id, "success")
    assert (found["check_approval"], found["promote"]) == ("success", "skipped")
    [approval] = strandline.rows("SELECT * FROM approvals WHERE gate_id = %(run_id)s", run_id=run_id)
    assert (approval["decision"], approval["approver"], approval["reason"]) == ("rejected", "admin", "not now")
    assert champion(strandline) == first


def forge_answer(api, run_id: str, person: str) -> None:
    """All that one may do who may change XComs and the states of tasks: as if that person had approved."""
    path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/request_approval"
    said = {"chosen_options": ["Approve"], "params_input": {"reason": "forged"}}
    said |= {"responded_at": "2026-11-21T08:00:00+00:00", "responded_by_user": {"id": person, "name": person}}
    api.request("POST", f"{path}/xcomEntries", {"key": "return_value", "value": said, "map_index": -1})
    api.request("PATCH", path, {"new_state": "success"})
    api.clear(DAG, run_id, task_ids=["check_approval"])


def test_an_event_that_a_person_posts_asks_for_nothing_in_anothers_name(strandline, make_challenger):
    op, challenger = strandline.stack.api("op"), make_challenger("not trained here")
    gates, before = strandline.rows("SELECT count(*) FROM gates"), len(op.runs(DAG))
    [asset] = [one for one in op.rows("/assets", "assets") if one["name"] == "challengers"]
    said = {"asked_by": "report_drift", "version": challenger}
    op.request("POST", "/assets/events", {"asset_id": asset["id"], "extra": said})
    found = ended(op, follow(strandline.stack, op, DAG, before), "success")
    assert (found["plan"], found["request_approval"], found["promote"]) == ("skipped", "skipped", "skipped")
    assert strandline.rows("SELECT count(*) FROM gates") == gates


def test_a_question_that_nobody_answers_promotes_nobody(strandline, make_challenger):
    """F37"""
    user, op = (strandline.stack.api(name) for name in ("user", "op"))
    first, challenger = champion(strandline), make_challenger("nobody answers")
    run_id = user.trigger(DAG, conf={"version": challenger})
    asked(user, run_id)
    found = ended(user, run_id, "failed")
    assert (found["request_approval"], found["check_approval"], found["promote"]) == (
        "failed",
        "upstream_failed",
        "upstream_failed",
    )
    op.answer(DAG, run_id, "request_approval", "Approve", "too late")  # Airflow takes it, and nothing comes of it
    assert states(user, run_id) == found
    assert strandline.rows("SELECT FROM approvals WHERE gate_id = %(run_id)s", run_id=run_id) == []
    assert champion(strandline) == first


def test_a_challenger_that_does_not_load_ends_the_run_at_the_gate(strandline, make_challenger):
    user = strandline.stack.api("user")
    first, challenger = champion(strandline), make_challenger("broken", b"no graph")
    run_id = user.trigger(DAG, conf={"version": challenger})
    found = ended(user, run_id, "success")
    assert (found["check_outcome"], found["request_approval"], found["promote"]) == ("success", "skipped", "skipped")
    assert "does not load" in logs(user, run_id, "evaluate_gate")
    assert strandline.rows("SELECT outcome FROM gates WHERE gate_id = %(run_id)s", run_id=run_id) == [
        {"outcome": "fail"}
    ]
    assert champion(strandline) == first


@pytest.mark.parametrize(
    ("flipped", "how", "outcome"),
    [
        (0.3, WORSE, "fail"),
        (0.0, WORSE | {"weight_interpolation": 0.5}, "pass"),  # as good
    ],
)
def test_the_gate_tells_what_learnt_from_wrong_labels(strandline, config, flipped, how, outcome):
    user, op = (strandline.stack.api(name) for name in ("user", "op"))
    first = champion(strandline)
    challenger = learn(config, first, flipped, **how)
    run_id = user.trigger(DAG, conf={"version": challenger})
    if outcome == "pass":
        asked(user, run_id)
        op.answer(DAG, run_id, "request_approval", "Reject", "no better")
    ended(user, run_id, "success")
    [gate] = strandline.rows("SELECT * FROM gates WHERE gate_id = %(run_id)s", run_id=run_id)
    checks = strandline.rows("SELECT * FROM gate_results WHERE gate_id = %(run_id)s", run_id=run_id)
    assert gate["outcome"] == outcome, [check["sentence"] for check in checks]
    [holdout] = [check for check in checks if check["check_name"] == "holdout"]
    assert holdout["outcome"] == outcome
    assert (holdout["low"] < holdout["high"] < -0.01) if flipped else (holdout["low"] > -0.01)
    assert champion(strandline) == first


@pytest.mark.usefixtures("monitor_champion")
def test_a_champion_that_turns_out_worse_is_rolled_back_when_a_person_says_so(strandline, config, hours):
    """As if the gate had erred: monitoring compares both models on the first images after the promotion."""
    first, op = champion(strandline), strandline.stack.api("op")
    worse = learn(config, first, 0.3, **WORSE)
    before = len(op.runs(MONITOR))
    promotion.record_approval(hold("a gate that erred", worse, first), answer())
    promotion.promote("a gate that erred")
    hour = next(hours)
    strandline.drop(hour, 600)
    for path in (strandline.landing / f"{hour:%Y-%m-%dT%H}").glob("*/*"):
        with Image.open(path) as image:
            ImageOps.mirror(image).save(path)  # an image of its own: other tests want theirs of one version
    strandline.ingest(hour)
    run_id = follow(strandline.stack, op, MONITOR, before)
    question = op.wait_approval_request(MONITOR, run_id, "request_approval", timeout=300)
    assert first[:12] in question["subject"]
    assert champion(strandline) == worse
    op.answer(MONITOR, run_id, "request_approval", "Roll back", "the old one was better")
    assert op.wait(MONITOR, run_id, timeout=120) == "success"
    assert champion(strandline) == first
    [look] = strandline.rows("SELECT * FROM champion_checks WHERE version = %(worse)s", worse=worse)
    assert look["worse"]
