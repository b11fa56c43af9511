"""The process runner, with real vision processes."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, XComArg
from airflow.sdk.exceptions import AirflowException, AirflowSkipException
from image_files import pack_request

import strandline_contract as contract
from strandline import settings
from strandline.errors import PermanentError
from strandline.operators.process import ProcessOperator
from strandline.operators.vision import VisionOperator, vision_task, vision_tasks

RUN = "manual__2026-11-21T08:00:00+00:00"
SHARD = "5" * 64


@pytest.fixture
def config(tmp_path, monkeypatch) -> settings.Settings:
    monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STRANDLINE_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("STRANDLINE_DATABASE_URL", "postgresql://secret@nowhere/ledger")
    settings.get.cache_clear()
    yield settings.get()
    settings.get.cache_clear()


@pytest.fixture
def request_(config) -> dict:
    return pack_request(config, SHARD)


def execute(request: dict, try_number: int = 1, operator: ProcessOperator | None = None) -> dict:
    operator = operator or ProcessOperator(task_id="pack", vision_command="pack", request=request)
    return operator.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=try_number)})


def test_an_attempt_ends_sealed_in_a_folder_of_its_own(config, request_):
    first, second = execute(request_), execute(request_, try_number=2)
    assert first["shard_id"] == SHARD
    assert first["folder"] != second["folder"]
    for done in (first, second):
        assert Path(done["folder"]).is_relative_to(config.run_folder(RUN).relative_to(config.store))
        result = contract.read_result(config.store / done["folder"], "pack")
        assert result.counts["decoded"] == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "red"}, "colour"),
        ({"manifest": {"path": "manifest.parquet", "sha256": "0" * 64}}, "SHA-256"),
        ({"manifest": {"path": "../manifest.parquet", "sha256": "0" * 64}}, "store"),
    ],
)
def test_what_another_try_cannot_fix_is_not_tried_again(request_, change, says):
    with pytest.raises(PermanentError, match=says):
        execute(request_ | change)


def test_a_killed_process_fails_the_try_and_leaves_no_result(config, request_):
    operator = ProcessOperator(task_id="pack", vision_command="pack", request=request_)
    killer = threading.Thread(target=_kill_when_started, args=(operator,))
    killer.start()
    with pytest.raises(AirflowException, match="SIGKILL"):
        execute(request_, operator=operator)
    killer.join()
    assert not list(config.run_folder(RUN).rglob(contract.RESULT_FILE))
    assert execute(request_, try_number=2)["shard_id"] == SHARD


def _kill_when_started(operator: ProcessOperator) -> None:
    deadline = time.monotonic() + 30
    while operator._process is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    operator.on_kill()


def test_a_vision_process_sees_no_credentials(config, request_, monkeypatch):
    """Read off a real process: its environment while it runs."""
    seen: list[bytes] = []
    operator = ProcessOperator(task_id="pack", vision_command="pack", request=request_)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")

    def look() -> None:
        deadline = time.monotonic() + 30
        while not seen and time.monotonic() < deadline:
            if operator._process is not None:
                environment = Path(f"/proc/{operator._process.pid}/environ").read_bytes()
                if b"STRANDLINE_STORE" in environment:  # exec has happened
                    seen.append(environment)

    looker = threading.Thread(target=look)
    looker.start()
    execute(request_, operator=operator)
    looker.join()
    assert seen
    assert b"hunter2" not in seen[0]
    assert b"postgresql" not in seen[0]


def rendered(add: Callable[[XComArg], object], told: object) -> VisionOperator:
    """The task that `add` makes of the output of another one, as Airflow runs it where that one has returned this."""
    with DAG("requests") as dag:
        add(EmptyOperator(task_id="plan").output)
    task = dag.get_task("vision")
    assert task.upstream_task_ids == {"plan"}
    ti = SimpleNamespace(xcom_pull=lambda **_: told, map_index=0, _upstream_map_indexes={})
    context = {"run_id": RUN, "ti": ti, "task": task, "dag": dag, "dag_run": SimpleNamespace(conf={})}
    task.render_template_fields(context)
    return context["task"]


@pytest.mark.parametrize("name", ["process", "docker", "kubernetes"])
def test_a_request_is_never_rendered(monkeypatch, name):
    """A file may be named like a template."""
    monkeypatch.setenv("STRANDLINE_RUNNER", name)
    settings.get.cache_clear()
    hostile = {"shard_id": "{{ 1 }}", "shards": [{"path": "{{ 1 }}"}]}
    mapped = rendered(lambda plan: vision_tasks("vision", "pack").expand(request=plan), [hostile])
    assert mapped.request == hostile
    literal = rendered(lambda plan: plan >> vision_tasks("vision", "pack").expand(request=[hostile]), None)
    assert literal.request == hostile
    one = rendered(lambda plan: vision_task("vision", "pack", plan), hostile)
    assert one.given == (hostile,)
    with pytest.raises(PermanentError, match=r"PackRequest lacks|has no field"):
        one.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})
    assert one.request == hostile
    settings.get.cache_clear()


def test_what_makes_a_request_is_called_when_the_task_runs(config, request_):
    """With what other tasks returned."""

    def plan(manifest: dict, same: dict) -> dict:
        assert manifest == same
        return request_ | {"manifest": manifest}

    operator = rendered(lambda given: vision_task("vision", "pack", plan, given, given), request_["manifest"])
    done = execute({}, operator=operator)
    asked = contract.read_request("pack", config.store / done["folder"] / contract.REQUEST_FILE)
    assert asked == contract.parse_request("pack", request_)


def test_where_nothing_is_to_be_done_the_task_is_skipped(config):
    def plan() -> None:
        return None

    with DAG("requests"):
        operator = vision_task("vision", "pack", plan)
    with pytest.raises(AirflowSkipException, match="nothing to pack"):
        execute({}, operator=operator)
    assert not config.run_folder(RUN).exists()


def test_an_unknown_runner_is_named(monkeypatch):
    monkeypatch.setenv("STRANDLINE_RUNNER", "cloud")
    settings.get.cache_clear()
    with pytest.raises(settings.SettingsError, match="STRANDLINE_RUNNER=cloud"):
        vision_tasks("pack", "pack")
    settings.get.cache_clear()
