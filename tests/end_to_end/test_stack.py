"""The one-machine stack: started once for these tests, on free ports, with a DAG of its own."""

import contextlib
import dataclasses
import datetime
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from stack_settings import stack_settings

from local.stack import configuration, databases, postgres, processes
from local.stack.api import Api, ApiError
from local.stack.stack import COMPONENTS, POOL, POSTGRES, SUPERVISOR, Stack, StackError, main
from strandline import ledger, settings

DAG = """
import datetime
import os

from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task


@dag(
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
)
def tell_surroundings():
    @task(pool="classifier")
    def tell():
        context = get_current_context()
        print("this is logged")
        return {"environment": dict(os.environ), "start": str(context["data_interval_start"])}

    @task
    def shorten(told):
        return told["start"]

    shorten(tell())


tell_surroundings()
"""
NAME = "tell_surroundings"
ASKING = """
import json
import os
from pathlib import Path

from airflow.sdk import dag, task

from strandline.operators.approval import request_approval

HEARD = Path(os.environ["STRANDLINE_HOME"]) / "heard.json"


@dag(schedule=None)
def ask_somebody():
    def hear(run_id, answer):
        HEARD.write_text(json.dumps([run_id, answer["responded_by_user"], answer["chosen_options"]]))

    @task
    def tell():
        return json.loads(HEARD.read_text())

    request_approval("ask", lambda run_id: ("Shall it?", "In " + run_id), ["Yes", "No"], hear) >> tell()


ask_somebody()
"""
ASKS = "ask_somebody"
HOUR = datetime.datetime(2026, 3, 2, 5, tzinfo=datetime.UTC)
NEXT_HOUR = HOUR + datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not pytest's own folder, which only its user may enter: run by root, Postgres may belong to nobody.
    with tempfile.TemporaryDirectory(prefix="strandline-stack-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def config(home) -> settings.Settings:
    return stack_settings(home)


@pytest.fixture(scope="module")
def dags(home) -> Path:
    folder = home / "dags"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(DAG)
    (folder / f"{ASKS}.py").write_text(ASKING)
    return folder


@pytest.fixture(scope="module")
def stack(config, dags) -> Iterator[Stack]:
    os.environ["SECRET_OF_THE_CALLER"] = "must not be handed on"
    try:
        with Stack(config, dags) as running:
            yield running
    finally:
        del os.environ["SECRET_OF_THE_CALLER"]


@pytest.fixture
def api(stack) -> Iterator[Api]:
    with contextlib.closing(stack.api()) as session:
        yield session


def test_all_parts_run_and_are_healthy(stack):
    states = stack.status()
    assert set(states) == {POSTGRES, *COMPONENTS, SUPERVISOR}
    assert all(
        state.startswith("running, process") and state.endswith("healthy")
        for state in (states[name] for name in COMPONENTS)
    ), states


def test_who_answered_is_heard_from_airflow_itself_and_not_from_an_xcom(stack):
    op, admin = stack.api("op"), stack.api("admin")
    run_id = op.trigger(ASKS)
    question = admin.wait_approval_request(ASKS, run_id, "ask", timeout=300)
    assert (question["subject"], question["body"]) == ("Shall it?", f"In {run_id}")
    path = f"/dags/{ASKS}/dagRuns/{run_id}/taskInstances/ask/xcomEntries"
    said = {"chosen_options": ["Yes"], "responded_by_user": {"id": "admin", "name": "admin"}}
    op.request("POST", path, {"key": "return_value", "value": said, "map_index": -1})
    op.answer(ASKS, run_id, "ask", "No", "so that it is known")
    assert op.wait(ASKS, run_id, timeout=300) == "success"
    heard = json.loads((stack.settings.home / "heard.json").read_bytes())
    assert heard == [run_id, {"id": "op", "name": "op"}, ["No"]]
    op.request("PATCH", f"{path}/return_value", {"value": said, "map_index": -1})
    op.clear(ASKS, run_id, task_ids=["tell"])
    assert op.wait(ASKS, run_id, timeout=300) == "success"
    told = f"/dags/{ASKS}/dagRuns/{run_id}/taskInstances/tell/xcomEntries/return_value"
    assert op.request("GET", told, deserialize=True)["value"] == heard


def test_up_again_starts_nothing(stack):
    before = stack.status()
    assert stack.up() is False
    assert stack.status() == before


def test_only_loopback_is_listened_on(stack):
    """Of all processes of the stack, by the kernel's own tables."""
    owned = set()
    for name in COMPONENTS:
        process = processes.recorded(stack.settings.home / "run" / f"{name}.json")
        family = processes._family({process.pid: process.started}, {})
        owned |= {inode for pid in family for inode in socket_inodes(pid)}
    listening = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().split("\n")[1:]
        if line
    ]
    ours = {row[1] for row in listening if row[3] == "0A" and row[9] in owned}
    assert ours == {f"0100007F:{stack.settings.local.api_port:04X}"}


def socket_inodes(pid: int) -> set[str]:
    targets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            targets.add(str(link.readlink()))
    return {target[8:-1] for target in targets if target.startswith("socket:[")}


def test_a_task_gets_its_interval_and_the_settings_and_nothing_of_the_caller(stack, api):
    run_id = api.trigger(NAME, (HOUR, NEXT_HOUR))
    assert api.wait(NAME, run_id, timeout=300) == "success"
    path = f"/dags/{NAME}/dagRuns/{run_id}/taskInstances"
    told = api.request("GET", f"{path}/tell/xcomEntries/return_value", deserialize=True)["value"]
    assert api.request("GET", f"{path}/shorten/xcomEntries/return_value")["value"] == "2026-03-02 05:00:00+00:00"
    environment = told["environment"]
    assert "SECRET_OF_THE_CALLER" not in environment
    assert environment["STRANDLINE_HOME"] == str(stack.settings.home)
    assert stat.S_IMODE((stack.settings.home / "pgpass").stat().st_mode) == 0o600
    assert "@" not in environment["STRANDLINE_DATABASE_URL"]
    assert all(
        environment[name].startswith(str(stack.settings.home))
        for name in ("HOME", "TMPDIR", "AIRFLOW_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")
    )
    (tell,) = (row for row in api.task_instances(NAME, run_id) if row["task_id"] == "tell")
    assert "this is logged" in api.log(NAME, run_id, tell)
    api.clear(NAME, run_id, task_ids=["shorten"])
    assert api.wait(NAME, run_id, timeout=300) == "success"
    tries = {row["task_id"]: row["try_number"] for row in api.task_instances(NAME, run_id)}
    assert tries == {"tell": 1, "shorten": 2}


def test_a_backfill_runs_every_hour_of_its_range(api):
    api.wait_backfill(api.backfill(NAME, HOUR, NEXT_HOUR), timeout=600)
    rows = [row for row in api.runs(NAME) if row["run_type"] == "backfill"]
    assert [(row["state"], row["data_interval_start"]) for row in rows] == [
        ("success", f"2026-03-02T0{hour}:00:00Z") for hour in (5, 6)
    ]


def test_the_pool_has_a_slot_for_each_core(stack, api):
    assert api.request("GET", f"/pools/{POOL}")["slots"] == stack.settings.vision.cores
    api.set_pool(POOL, stack.settings.vision.cores + 1, "changed")
    assert api.request("GET", f"/pools/{POOL}")["slots"] == stack.settings.vision.cores + 1
    api.set_pool(POOL, stack.settings.vision.cores, "changed back")


@pytest.mark.parametrize(("user", "allowed"), [("viewer", False), ("user", True), ("op", True), ("admin", True)])
def test_each_user_may_do_what_its_role_says(stack, user, allowed):
    with contextlib.closing(stack.api(user)) as session:
        assert NAME in {row["dag_id"] for row in session.dags()}
        if allowed:
            assert session.trigger(NAME, (HOUR, NEXT_HOUR)).startswith("manual__")
        else:
            with pytest.raises(ApiError) as refused:
                session.trigger(NAME, (HOUR, NEXT_HOUR))
            assert refused.value.status == httpx.codes.FORBIDDEN


def test_a_wrong_password_is_refused(stack):
    with contextlib.closing(Api(stack.url, "admin", "guess")) as session, pytest.raises(ApiError, match="admin"):
        session.dags()


def test_secrets_are_for_their_owner_only(stack):
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((stack.settings.home / name).stat().st_mode) == 0o600


def test_other_settings_need_a_restart(stack, dags):
    other = dataclasses.replace(stack.settings, ingest=dataclasses.replace(stack.settings.ingest, shard_size=17))
    with pytest.raises(StackError, match="make down"):
        Stack(other, dags).up()


def test_what_is_killed_is_started_again_and_a_run_goes_on(stack, api):
    """The scheduler while a run is under way, and Postgres under all of them."""
    run_id = api.trigger(NAME, (HOUR, NEXT_HOUR))
    before = {name: process_of(stack, name) for name in COMPONENTS}
    os.kill(before["scheduler"].pid, signal.SIGKILL)
    wait_for(lambda: (now := process_of(stack, "scheduler")) and now != before["scheduler"], seconds=120)
    assert {name: process_of(stack, name) for name in COMPONENTS if name != "scheduler"} == {
        name: process for name, process in before.items() if name != "scheduler"
    }
    assert api.wait(NAME, run_id, timeout=600) == "success"
    pid = postgres.process_id(stack.settings.home / "postgres")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: postgres.process_id(stack.settings.home / "postgres") not in (None, pid), seconds=120)
    wait_for(lambda: is_well(stack), seconds=300)
    wait_for(lambda: triggered(api) is not None)
    api.wait_quiet(NAME, timeout=600)
    assert {row["state"] for row in api.runs(NAME)} == {"success"}
    log = (stack.settings.home / "logs" / "supervisor.log").read_text()
    assert "scheduler ended: starting again" in log
    assert "postgres started again" in log or "postgres, " in log


def test_up_repairs_a_stack_that_is_half_dead(stack):
    stack.up()
    supervisor = process_of(stack, SUPERVISOR)
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for(lambda: process_of(stack, SUPERVISOR) is None)
    if triggerer := process_of(stack, "triggerer"):  # it may end by itself, of the time without Postgres before
        os.kill(triggerer.pid, signal.SIGKILL)
    os.kill(postgres.process_id(stack.settings.home / "postgres"), signal.SIGKILL)
    wait_for(lambda: {POSTGRES, "triggerer"} <= set(stack.dead()))
    assert stack.up() is True
    assert is_well(stack)
    assert process_of(stack, "triggerer") != triggerer
    assert process_of(stack, SUPERVISOR) != supervisor


def process_of(stack: Stack, name: str) -> processes.Process | None:
    return processes.recorded(stack.settings.home / "run" / f"{name}.json")


def triggered(api: Api) -> str | None:
    """A run; None while Airflow still finds out that its connections have ended, by using them."""
    try:
        return api.trigger(NAME, (HOUR, NEXT_HOUR))
    except ApiError:
        return None


def is_well(stack: Stack) -> bool:
    states = stack.status()
    parts = [states[name] for name in COMPONENTS]
    running = states[POSTGRES] == "running" and all(part.startswith("running") for part in parts)
    return running and all(part.endswith(", healthy") for part in parts)


def test_down_leaves_no_process_and_up_names_a_file_that_does_not_parse(stack, api, dags):
    stack.up()
    runs = len(api.runs(NAME))
    leaders = [process_of(stack, name) for name in (*COMPONENTS, SUPERVISOR)]
    family = processes._family({process.pid: process.started for process in leaders}, {})
    assert len(family) > len(COMPONENTS)
    assert stack.down() is True
    assert processes._family({}, family) == {}
    assert postgres.running_port(stack.settings.home / "postgres") is None
    assert set(stack.status().values()) == {"stopped"}
    assert stack.down() is False
    broken = dags / "break_things.py"
    broken.write_text("raise RuntimeError('no such luck')")
    with pytest.raises(StackError, match=r"break_things\.py(.|\n)*no such luck"):
        stack.up()
    broken.unlink()
    assert len(api.runs(NAME)) >= runs


@pytest.mark.parametrize("name", ["STRANDLINE_API_PORT", "STRANDLINE_POSTGRES_PORT"])
def test_a_taken_port_is_said_in_one_sentence(name, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"STRANDLINE_API_PORT": processes.free_port(), "STRANDLINE_POSTGRES_PORT": processes.free_port()}
        ports |= {name: taken.getsockname()[1]}
        environment = {**os.environ, "STRANDLINE_HOME": str(tmp_path), "PYTHONPATH": configuration.PYTHONPATH}
        environment |= {key: str(port) for key, port in ports.items()}
        done = subprocess.run(
            [sys.executable, "-m", "local.stack.stack", "up"],
            env=environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert f"{ports[name]} " in sentence
    assert f"set {name} to another" in sentence


def test_a_ledger_of_an_older_schema_is_said_with_what_to_do(tmp_path, monkeypatch, capsys):
    older = tmp_path / "older"
    (older / "migrations").mkdir(parents=True)
    (older / "migrations" / "0001_ledger.sql").write_text("CREATE TABLE model_versions (version text)")
    (older / "grants.sql").write_text("SELECT 1")
    # Not pytest's own folder, which only its user may enter: run by root, Postgres may belong to nobody.
    with tempfile.TemporaryDirectory(prefix="strandline-older-") as name:
        home = Path(name)
        home.chmod(0o755)
        monkeypatch.setenv("STRANDLINE_HOME", name)
        monkeypatch.setenv("STRANDLINE_LANDING", f"{name}/landing")
        monkeypatch.setenv("STRANDLINE_LABELS", f"{name}/labels")
        for port in ("API", "POSTGRES"):
            monkeypatch.setenv(f"STRANDLINE_{port}_PORT", str(processes.free_port()))
        config = settings.load()
        try:
            databases.start_server(config)
            databases.provision(config)
            ledger.migrate(databases.url(config, ledger.OWNER), folder=older)
            assert main(["up"]) == 1
            (sentence,) = capsys.readouterr().err.splitlines()
            assert f"the ledger in {home}/postgres is of an older schema that cannot be brought forward" in sentence
            assert f"make down, move that folder and {home}/store elsewhere" in sentence
            assert main(["down"]) == 0
            (home / "postgres").rename(home / "aside")
            databases.start(config)
            assert databases.has_ledger(config)
        finally:
            databases.stop(config)


SPAWN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[1] == "stubborn" else signal.SIG_DFL)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def started(tmp_path) -> Callable[[str], tuple[Path, int]]:
    """Starts a process that has started another, in another session; its record and the other's number."""

    def start(kind: str) -> tuple[Path, int]:
        record, log = tmp_path / "some.json", tmp_path / "some.log"
        processes.start(record, [sys.executable, "-c", SPAWN, kind], dict(os.environ), log, "a test")
        wait_for(lambda: log.read_text().strip() != "")
        return record, int(log.read_text())

    return start


@pytest.mark.parametrize("kind", ["stubborn", "obedient"])
def test_stopping_a_process_stops_what_it_has_started(started, kind):
    record, child = started(kind)
    process = processes.recorded(record)
    processes.stop([record], patience=1)
    assert not record.exists()
    assert not {process.pid, child} & {
        pid for pid in processes._numbers() if (s := processes._stat(pid)) and s.state != "Z"
    }


def test_a_number_that_now_is_another_process_is_left_alone(tmp_path):
    other = subprocess.Popen(["sleep", "600"])
    record = tmp_path / "some.json"
    stale = processes.Process(other.pid, processes._stat(other.pid).started - 1, "")
    record.write_text(json.dumps(dataclasses.asdict(stale)))
    try:
        assert processes.recorded(record) is None
        processes.stop([record], patience=1)
        assert other.poll() is None
        assert not record.exists()
    finally:
        other.kill()
        other.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
