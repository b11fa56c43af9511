"""Every DAG file: what is there, how it is wired, and the rules that all of them keep."""

import datetime
import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pendulum
import pytest
from airflow.providers.standard.operators.hitl import HITLOperator

from strandline import settings
from strandline.errors import PermanentError
from strandline.operators.defaults import GOVERNANCE, refuse_unknown_parameters
from strandline.operators.timetable import PeriodTimetable
from strandline.operators.vision import VisionOperator, vision_tasks
from strandline.serving import comparison

REPOSITORY = Path(__file__).resolve().parents[2]
DAG_IDS = {
    "check_host",
    "check_parity",
    "ingest_images",
    "ingest_labels",
    "maintain_ledger",
    "promote_model",
    "replay_window",
    "report_drift",
    "retrain_model",
    "serve_canary",
}
DAG_IDS |= {"monitor_champion"}


@pytest.fixture(scope="module")
def dags() -> dict:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(REPOSITORY / "dags")
    assert bag.import_errors == {}
    return bag.dags


def test_exactly_these_dags_exist(dags):
    assert set(dags) == DAG_IDS
    assert {path.stem for path in (REPOSITORY / "dags").glob("*.py")} == DAG_IDS


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_every_dag_keeps_the_rules(dags, dag_id):
    dag = dags[dag_id]
    assert Path(dag.fileloc).stem == dag_id
    assert dag.doc_md
    assert "red" in dag.doc_md
    assert "strandline" in dag.tags
    assert not dag.catchup
    for task in dag.tasks:
        asks = isinstance(task, HITLOperator)  # who did not answer in time is not asked again by itself
        assert task.retries == 0 if asks else task.retries >= 2, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert task.max_retry_delay, task.task_id
        assert task.execution_timeout, task.task_id
    for name in dag.params:
        definition = dag.params.get_param(name)
        assert definition.description, name
        assert definition.schema.get("title"), name
        assert definition.schema.get("type"), name


def test_a_parameter_of_one_name_is_one_field_in_every_form(dags):
    fields: dict[str, set] = {}
    for dag in dags.values():
        for name, definition in dag.params.items():
            kind = definition.schema["type"]
            kinds = {kind} if isinstance(kind, str) else set(kind) - {"null"}
            fields.setdefault(name, set()).add((definition.schema["title"], *kinds))
    assert {name: found for name, found in fields.items() if len(found) > 1} == {}


def test_ingest_images_has_true_hourly_intervals(dags):
    timetable = dags["ingest_images"].timetable
    assert isinstance(timetable, PeriodTimetable)
    assert timetable.serialize() == {"expression": "0 * * * *", "timezone": "UTC"}


@pytest.mark.parametrize(("logical_date", "start"), [("06:00", 6), ("06:30", 6), ("05:59:59", 5)])
def test_a_run_by_hand_gets_the_hour_that_its_logical_date_names(dags, logical_date, start):
    moment = pendulum.DateTime.fromisoformat(f"2026-11-19T{logical_date}+00:00")
    found = dags["ingest_images"].timetable.infer_manual_data_interval(run_after=moment)
    assert (found.start, found.end) == (moment.replace(hour=start, minute=0, second=0), found.start.add(hours=1))


@pytest.mark.parametrize(
    ("period", "images", "labels", "example", "start", "end"),
    [
        ("5 minutes", "*/5 * * * *", "2-59/5 * * * *", "2026-11-21T08:20", "06:05", "06:10"),
        ("15 minutes", "*/15 * * * *", "7-59/15 * * * *", "2026-11-21T08:15", "06:00", "06:15"),
        ("day", "0 0 * * *", "0 12 * * *", "2026-11-21", "00:00", "00:00"),
    ],
)
def test_another_period_is_another_schedule(monkeypatch, period, images, labels, example, start, end):
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("STRANDLINE_PERIOD", period)
    settings.get.cache_clear()
    try:
        dags = {
            name: DagBag(REPOSITORY / "dags" / f"{name}.py").dags[name] for name in ("ingest_images", "ingest_labels")
        }
        moment = pendulum.parse("2026-11-19T06:07:30Z")
        found = dags["ingest_images"].timetable.infer_manual_data_interval(run_after=moment)
    finally:
        settings.get.cache_clear()
    assert dags["ingest_images"].timetable.serialize() == {"expression": images, "timezone": "UTC"}
    assert dags["ingest_labels"].timetable.expression == labels
    assert example in dags["ingest_images"].params.get_param("period").description
    assert (f"{found.start:%H:%M}", f"{found.end:%H:%M}") == (start, end)


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_a_parameter_that_a_dag_does_not_have_is_refused_by_every_task(dags, dag_id):
    """`{"hours": ...}` was passed over, and the last hour ingested."""
    dag = dags[dag_id]
    hooks = [task.partial_kwargs["pre_execute"] if task.is_mapped else task._pre_execute_hook for task in dag.tasks]
    assert set(hooks) == {refuse_unknown_parameters}
    known = dict.fromkeys(dag.params)
    refuse_unknown_parameters({"dag": dag, "dag_run": types.SimpleNamespace(conf=known)})
    with pytest.raises(PermanentError, match=r"no parameter 'hours'; there are: \w+"):
        refuse_unknown_parameters({"dag": dag, "dag_run": types.SimpleNamespace(conf=known | {"hours": "x"})})


def test_ingest_images_is_in_the_order_that_matters(dags):
    dag = dags["ingest_images"]
    order = ["list", "pack", "validate", "classify", "load", "close_books", "alert"]
    assert set(dag.task_ids) == set(order)
    for before, after in itertools.pairwise(order):
        assert after in dag.get_task(before).downstream_task_ids
        assert dag.get_task(before).downstream_task_ids <= set(order[order.index(after) :])


def test_check_host_is_triggered_by_hand_alone(dags):
    dag = dags["check_host"]
    assert not dag.timetable.can_be_scheduled
    assert set(dag.task_ids) == {"plan", "check", "report"}
    assert dag.get_task("plan").downstream_task_ids == {"check"}
    assert dag.get_task("check").downstream_task_ids == {"report"}


def test_check_parity_is_triggered_by_hand_alone(dags):
    dag = dags["check_parity"]
    assert not dag.timetable.can_be_scheduled
    assert set(dag.task_ids) == {"plan", "measure", "record"}
    assert dag.get_task("plan").downstream_task_ids == {"measure"}
    assert dag.get_task("measure").downstream_task_ids == {"record"}


def test_promote_model_promotes_only_after_gate_and_answer(dags):
    dag = dags["promote_model"]
    assert dag.get_task("choose").downstream_task_ids == {"plan", "roll_back"}
    assert dag.get_task("roll_back").upstream_task_ids == {"choose"}
    for before, after in itertools.pairwise(
        ["evaluate_gate", "check_outcome", "request_approval", "check_approval", "promote"]
    ):
        assert dag.get_task(after).upstream_task_ids == {before}
        assert dag.get_task(after).trigger_rule == "all_success"


def test_serve_canary_watches_each_step_and_asks_for_the_last(dags):
    dag = dags["serve_canary"]
    order = ["plan", "shadow", "canary_1", "canary_2", "canary_3", "canary_4", "request_approval"]
    beside = "keep_watching"
    assert set(dag.task_ids) == {*order, beside, "choose", "end", "step_back"}
    assert not dag.timetable.can_be_scheduled
    assert dag.get_task("choose").downstream_task_ids == {"plan", "end"}
    for before, after in itertools.pairwise(order):
        assert dag.get_task(after).upstream_task_ids == {before}
        assert dag.get_task(after).trigger_rule == "all_success"
    assert dag.get_task(beside).upstream_task_ids == {"canary_4"}
    for watch in (*order[1:-1], beside):
        assert dag.get_task(watch).mode == "reschedule"  # it holds no worker while it waits
    assert dag.get_task("step_back").upstream_task_ids == {*order, beside}
    assert dag.get_task("step_back").trigger_rule == "one_failed"
    assert dag.params.get_param("steps").schema["maxItems"] == comparison.MOST_STEPS


@pytest.mark.parametrize("dag_id", ["promote_model", "monitor_champion", "serve_canary"])
def test_questions_go_to_approvers_and_have_no_default(dags, dag_id):
    ask = dags[dag_id].get_task("request_approval")
    assert len(ask.options) == 2
    assert ask.defaults is None
    assert [user["name"] for user in ask.assigned_users] == ["op", "admin"]
    assert ask.response_timeout == datetime.timedelta(hours=24)


def test_report_drift_follows_predictions_and_labels(dags):
    assets = dags["report_drift"].timetable.asset_condition.objects
    assert {asset.name for asset in assets} == {"predictions", "labels"}


def test_retrain_model_follows_a_verdict_and_changes_no_champion(dags):
    dag = dags["retrain_model"]
    assert [asset.name for asset in dag.timetable.asset_condition.objects] == ["retraining"]
    assert dag.max_active_runs == 1
    order = ["plan", "train", "evaluate", "package", "parity", "register"]
    assert set(dag.task_ids) == set(order)
    for before, after in itertools.pairwise(order):
        assert after in dag.get_task(before).downstream_task_ids
    assert {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets} == {
        "register": ["challengers"]
    }
    # It waits for the comparison, runs without one, and not if nobody asks for a retraining.
    assert dag.get_task("register").trigger_rule == "none_failed_min_one_success"


MAPPED = {
    "ingest_images": {"pack", "classify"},
    "replay_window": {"classify"},
    "promote_model": {"pack", "evaluate"},
}
ONE = {
    "check_host": {"check"},
    "check_parity": {"measure"},
    "promote_model": {"infra_validate"},
    "retrain_model": {"train", "evaluate", "package", "parity"},
    "monitor_champion": {"evaluate"},
}


def vision_tasks_of(dag) -> list:
    return [task for task in dag.tasks if issubclass(getattr(task, "operator_class", type(task)), VisionOperator)]


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_vision_tasks_are_mapped_where_there_are_many_and_bounded(dags, dag_id):
    found = vision_tasks_of(dags[dag_id])
    assert {task.task_id for task in found if task.is_mapped} == MAPPED.get(dag_id, set())
    assert {task.task_id for task in found if not task.is_mapped} == ONE.get(dag_id, set())
    for task in found:
        assert task.pool == "classifier"
        assert list(task.template_fields) == ["given"]
        assert not task.is_mapped or "shard_id" in task.map_index_template


@pytest.mark.parametrize(
    ("device", "backend", "queues"),
    [
        ("cpu", "openvino", ["default"] * 4),
        ("gpu", "onnxruntime", ["default", "default", "gpu", "gpu"]),
        ("gpu", "mxnet", ["default", "gpu", "gpu", "gpu"]),  # the only one that trains
    ],
)
def test_what_computes_is_queued_for_the_hosts_that_can(monkeypatch, device, backend, queues):
    monkeypatch.setenv("STRANDLINE_DEVICE", device)
    monkeypatch.setenv("STRANDLINE_BACKEND", backend)
    settings.get.cache_clear()
    commands = ("pack", "train", "classify", "preflight")
    assert [vision_tasks(name, name).kwargs["queue"] for name in commands] == queues
    settings.get.cache_clear()


def test_what_may_change_the_champion_is_queued_for_workers_of_its_own(dags):
    """Vision tasks are not: they run untrusted bytes."""
    for dag in dags.values():
        governed = {task.task_id for task in dag.tasks if task.queue == GOVERNANCE}
        vision = {task.task_id for task in vision_tasks_of(dag)}
        everything = dag.dag_id in ("promote_model", "monitor_champion", "serve_canary")
        assert governed == (set(dag.task_ids) - vision if everything else set()), dag.dag_id


def test_labels_are_ingested_every_hour_one_run_at_a_time(dags):
    dag = dags["ingest_labels"]
    assert dag.timetable.expression == "30 * * * *"  # when the hour before is ingested
    assert dag.max_active_runs == 1
    assert {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks} == {
        "load": ["labels"],
        "check_files": [],
        "choose_audit": [],
    }


def test_replay_window_is_triggered_by_hand_and_touches_no_asset(dags):
    dag = dags["replay_window"]
    assert not dag.timetable.can_be_scheduled
    order = ["plan", "classify", "compare", "prove"]
    assert set(dag.task_ids) == set(order)
    for before, after in itertools.pairwise(order):
        assert after in dag.get_task(before).downstream_task_ids
        assert dag.get_task(before).downstream_task_ids <= set(order[order.index(after) :])
    assert not any(task.outlets for task in dag.tasks)


def test_the_predictions_asset_is_updated_when_the_books_close(dags):
    outlets = dags["ingest_images"].get_task("close_books").outlets
    assert [asset.name for asset in outlets] == ["predictions"]


@pytest.fixture
def plugins(monkeypatch):
    """Those of this checkout, as Airflow's processes load them."""
    from airflow import plugins_manager

    caches = (plugins_manager._get_plugins, plugins_manager.get_timetables_plugins)
    monkeypatch.setattr("airflow.settings.PLUGINS_FOLDER", str(REPOSITORY / "plugins"))
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_dags_survive_serialization(dags, plugins):
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dags.values():
        DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))


def test_dag_files_import_nothing_heavy_of_their_own():
    """In a fresh interpreter: beyond what Airflow itself imports, only ourselves and the driver of the ledger."""
    script = f"""
import sys
import airflow.sdk, airflow.dag_processing.dagbag, airflow.providers.standard.operators.hitl
before = {{name.split(".")[0] for name in sys.modules}}
import runpy
for path in {sorted(map(str, (REPOSITORY / "dags").glob("*.py")))!r}:
    runpy.run_path(path)
print(*sorted({{name.split(".")[0] for name in sys.modules}} - before - sys.stdlib_module_names))
"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "plugins")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"strandline", "strandline_contract", "psycopg", "psycopg_binary"}


def test_retries_wait_longer_each_time(dags):
    task = dags["ingest_images"].get_task("load")
    assert task.retry_delay >= datetime.timedelta(seconds=1)
    assert task.max_retry_delay > task.retry_delay
