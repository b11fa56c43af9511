"""The Docker runner on a real engine: what a task's container may do, how it ends, and what is left of it."""

import ast
import contextlib
import dataclasses
import datetime
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
from airflow.sdk.exceptions import AirflowException
from docker.api.client import APIClient
from engine_filter import filtered
from image_files import pack_request
from tls import authority, behind_tls, certificate

import strandline_contract as contract
from engine_proxy.policy import Policy
from strandline import settings
from strandline.errors import PermanentError
from strandline.operators import docker as docker_runner
from strandline.operators import vision
from strandline.operators.docker import HardenedDockerOperator

RUN = "manual__2026-11-21T08:00:00+00:00"
SHARD = "5" * 64
SLEEP = "import time; time.sleep(600)"
ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
REPOSITORY = Path(__file__).resolve().parents[2]
POLICY = Path(__file__).with_name("policy.json")


@pytest.fixture
def config(vision_image, tmp_path, monkeypatch) -> Iterator[settings.Settings]:
    tmp_path.chmod(0o755)
    values = {"HOME": tmp_path / "home", "LANDING": tmp_path / "landing", "RUNNER": "docker"}
    values |= {"VISION_IMAGE": vision_image, "DOCKER_URL": ENGINE, "TASK_MEMORY_BYTES": 2**30}
    for name, value in values.items():
        monkeypatch.setenv(f"STRANDLINE_{name}", str(value))
    settings.get.cache_clear()
    yield settings.get()
    settings.get.cache_clear()


@pytest.fixture
def client(config) -> Iterator[APIClient]:
    client = docker_runner.connect(config)
    yield client
    for left in client.containers(all=True, filters=docker_runner.OURS):
        docker_runner.remove(client, left["Id"])


@pytest.fixture
def request_(config) -> dict[str, Any]:
    return pack_request(config, SHARD)


def operator(request: dict[str, Any], kind: type[HardenedDockerOperator] = HardenedDockerOperator) -> Any:
    return kind(task_id="pack", vision_command="pack", request=request)


def execute(task: Any, try_number: int = 1) -> dict[str, Any]:
    return task.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=try_number)})


def start(config: settings.Settings, client: APIClient, task: Any) -> str:
    """The task's container, started as the task does it; then nobody waits for it."""
    task._client = client
    task.image = task._present_image(config)
    folder = task._new_attempt(config, RUN, 1)
    container = task._create(config, folder, task._labels(config, folder, RUN))
    client.start(container)
    return container


class Probe(HardenedDockerOperator):
    """Runs a script in the place of `vision`, in the same container otherwise; what it prints is kept."""

    script = ""

    def _entrypoint(self, config):
        return [*super()._entrypoint(config)[:-2], "-c", self.script]

    def stream_logs(self, lines) -> str:
        self.printed = list(lines)
        return super().stream_logs(self.printed)


def probe(request: dict[str, Any], script: str) -> Any:
    kind = type("ScriptProbe", (Probe,), {"script": script})
    return operator(request, kind)


def test_an_attempt_ends_sealed_and_leaves_no_container(config, client, request_):
    done = execute(operator(request_))
    assert done["shard_id"] == SHARD
    assert done["image"] == client.inspect_image(config.vision.image)["Id"]
    assert contract.read_result(config.store / done["folder"], "pack").counts["decoded"] == 3
    assert client.containers(all=True, filters=docker_runner.OURS) == []


def test_an_attempt_through_the_filter_is_the_same_and_a_tag_of_its_image_is_refused(
    config, vision_image, client, request_, monkeypatch
):
    """As with compose, on this engine: what it refuses beside that, `test_engine_filter.py` has."""
    user = "{}:{}".format(*vision.container_user(config.store))
    allowed = Policy((vision_image,), str(config.landing), str(config.store), user, 2**30, 1, 0, "test")
    with filtered(allowed, Path(ENGINE.removeprefix("unix://")), config.store) as port:
        monkeypatch.setenv("STRANDLINE_DOCKER_URL", f"tcp://127.0.0.1:{port}")
        settings.get.cache_clear()
        done = execute(operator(request_))
        assert contract.read_result(config.store / done["folder"], "pack").counts["decoded"] == 3
        other = client.create_container(
            vision_image, labels={docker_runner.RUN: RUN, docker_runner.DEADLINE: "2999-01-01"}
        )
        filtered_client = docker_runner.connect(settings.get())
        assert filtered_client.containers(all=True) == []
        with pytest.raises(docker.errors.NotFound):
            filtered_client.inspect_container(other["Id"])
        with pytest.raises(docker.errors.APIError, match="not the vision image"):
            filtered_client.inspect_image("strandline/vision:latest")


def test_an_engine_behind_tls_is_used_if_both_sides_show_a_certificate_of_its_authority(
    config, client, request_, tmp_path, monkeypatch
):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # where one is set, it stands for ca.pem
        monkeypatch.delenv(variable, raising=False)
    right, wrong = (authority(tmp_path / name) for name in ("right", "wrong"))
    for folder in (right, wrong):
        certificate(folder, "server", "subjectAltName=IP:127.0.0.1")
        certificate(folder, "cert", "extendedKeyUsage=clientAuth", key="key.pem")
    unknown_client = tmp_path / "unknown"
    shutil.copytree(wrong, unknown_client)
    shutil.copy(right / "ca.pem", unknown_client)
    with behind_tls(Path(ENGINE.removeprefix("unix://")), right) as port:
        monkeypatch.setenv("STRANDLINE_DOCKER_URL", f"tcp://127.0.0.1:{port}")
        monkeypatch.setenv("STRANDLINE_DOCKER_TLS", str(right))
        settings.get.cache_clear()
        assert execute(operator(request_))["shard_id"] == SHARD
        other_name = f"tcp://localhost:{port}"
        for changes in ({"docker_tls": wrong}, {"docker_tls": unknown_client}, {"docker_url": other_name}):
            other = dataclasses.replace(settings.get(), vision=dataclasses.replace(settings.get().vision, **changes))
            with pytest.raises(AirflowException, match="Failed to establish connection"):
                docker_runner.connect(other)


def test_a_container_is_bounded_as_the_policy_says(config, client, request_):
    task = operator(request_)
    found = client.inspect_container(start(config, client, task))
    (folder,) = (config.run_folder(RUN) / "pack" / SHARD).iterdir()
    of_container, host = found["Config"], found["HostConfig"]
    policy = json.loads(POLICY.read_text())
    if os.getuid():  # a worker that is not root runs its containers as itself
        policy["Config"]["User"] = f"{os.getuid()}:{os.getgid() or os.getuid()}"
    assert {name: of_container[name] for name in policy["Config"]} == policy["Config"]
    assert {name: host[name] for name in policy["HostConfig"]} == policy["HostConfig"]
    place = f"/store/{folder.relative_to(config.store)}"
    mounts = {m["Destination"]: (m["Source"], m["RW"]) for m in found["Mounts"]}
    assert mounts == {
        "/landing": (str(config.landing), False),
        "/store": (str(config.store), False),
        place: (str(folder), True),
    }
    assert not any("docker.sock" in str(mount) for mount in found["Mounts"])
    assert found["Image"] == task.image
    labels = {docker_runner.RUN: RUN, docker_runner.SHARD: SHARD, docker_runner.ATTEMPT: folder.name}
    assert labels.items() <= of_container["Labels"].items()
    variables = {line.split("=", 1)[0] for line in of_container["Env"]}
    assert not {name for name in variables if "PASSWORD" in name or "DATABASE" in name or "SECRET" in name}


FORBIDDEN = re.compile(
    r"(?<!Hardened)DockerOperator\(|privileged\W+True|retrieve_output|skip_on_exit_code|xcom_all|docker\.sock:|"
    r"network_mode=.host"
)


def test_no_way_around_the_hardened_operator():
    """No file of ours runs a container but through it, nor takes data from what a container prints."""
    sources = [path for folder in ("dags", "plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(sources) > 10
    for path in sources:
        text = path.read_text()
        assert FORBIDDEN.findall(text) == [], path.name
        tree = ast.parse(text)
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom | ast.Import)
            for alias in node.names
        }
        assert "DockerOperator" not in imported, path.name
        if path != REPOSITORY / "plugins" / "strandline" / "operators" / "docker.py":
            assert not {name for name in imported if name == "docker" or name.startswith("docker.")}, path.name


ESCAPES = """
import ctypes, errno, json, os, socket, subprocess, sys

def refused(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"

def connect():
    with socket.socket() as probe:
        probe.settimeout(2)
        probe.connect(("192.0.2.1", 80))

def fork_many():
    children = []
    try:
        for _ in range(1000):
            children.append(subprocess.Popen(["sleep", "60"]))
    finally:
        for child in children:
            child.kill()

def write(path):
    with open(path, "w") as file:
        file.write("x")

def run_from_scratch():
    with open("/tmp/tool", "w") as file:
        file.write("#!/bin/sh\\n")
    os.chmod("/tmp/tool", 0o755)
    subprocess.run(["/tmp/tool"])

libc = ctypes.CDLL(None, use_errno=True)

def mount():
    if libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")

status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"],
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "root": refused(lambda: write("/x")),
    "landing": refused(lambda: write("/landing/x")),
    "store": refused(lambda: write("/store/x")),
    "scratch": refused(lambda: write("/tmp/x")),
    "request": refused(lambda: write(sys.argv[-1])),
    "own folder": refused(lambda: write(os.path.dirname(sys.argv[-1]) + "/x")),
    "connect": refused(connect),
    "root user": refused(lambda: os.setuid(0)),
    "mount": refused(mount),
    "execute from scratch": refused(run_from_scratch),
    "fork": refused(fork_many),
    "docker socket": os.path.exists("/var/run/docker.sock"),
}))
"""


def test_nothing_gets_out_of_a_container(config, client, request_):
    task = probe(request_, ESCAPES)
    with pytest.raises(contract.NoResult):  # it does not do what a vision command does
        execute(task)
    found = json.loads(task.printed[-1])
    assert found["uid"] != 0
    assert set(found["capabilities"]) == {"0" * 16}
    assert found["no_new_privileges"] == "1"
    assert found["interfaces"] == ["lo"]
    assert not found["docker socket"]
    assert {name: found[name] for name in ("root", "landing", "store")} == dict.fromkeys(
        ("root", "landing", "store"), "EROFS"
    )
    assert (found["scratch"], found["own folder"], found["request"]) == ("allowed", "allowed", "EACCES")
    assert found["connect"] == "ENETUNREACH"
    assert (found["root user"], found["mount"], found["execute from scratch"]) == ("EPERM", "EPERM", "EACCES")
    assert found["fork"] == "EAGAIN"


def test_memory_beyond_the_limit_ends_the_try_and_says_so(config, client, request_, monkeypatch):
    monkeypatch.setenv("STRANDLINE_TASK_MEMORY_BYTES", str(64 * 2**20))
    settings.get.cache_clear()
    with pytest.raises(AirflowException, match="ran out of memory: STRANDLINE_TASK_MEMORY_BYTES allows 67,108,864"):
        execute(probe(request_, "x = bytearray(10**9)"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "red"}, "colour"),
        ({"manifest": {"path": "manifest.parquet", "sha256": "0" * 64}}, "SHA-256"),
        ({"manifest": {"path": "../manifest.parquet", "sha256": "0" * 64}}, "store"),
    ],
)
def test_what_another_try_cannot_fix_is_not_tried_again(client, request_, change, says):
    with pytest.raises(PermanentError, match=says):
        execute(operator(request_ | change))


@pytest.mark.parametrize("code", [contract.EXIT_FAILED, contract.EXIT_TEMPORARY, 1, 139])
def test_other_failures_are_tried_again(client, request_, code):
    with pytest.raises(AirflowException, match=f"exit code {code}.*the last word") as raised:
        execute(probe(request_, f"import sys; print('the last word'); sys.exit({code})"))
    assert not isinstance(raised.value, PermanentError)


def test_a_container_that_says_done_and_wrote_nothing_did_not_happen(client, request_):
    """F04: what it prints is never data."""
    with pytest.raises(contract.NoResult):
        execute(probe(request_, 'print(\'{"shard_id": "5", "folder": "elsewhere"}\')'))


def test_a_killed_container_fails_the_try_and_the_next_succeeds(config, client, request_):
    task = probe(request_, SLEEP)
    with in_background(lambda: execute(task)) as errors:
        client.kill(wait_for(lambda: running(client))["Id"])
    assert "was killed" in str(errors[0])
    assert not list(config.run_folder(RUN).rglob(contract.RESULT_FILE))
    assert execute(operator(request_), try_number=2)["shard_id"] == SHARD


def test_on_kill_removes_the_container(client, request_):
    task = probe(request_, SLEEP)
    with in_background(lambda: execute(task)) as errors:
        wait_for(lambda: running(client))
        task.on_kill()
    assert client.containers(all=True, filters=docker_runner.OURS) == []
    assert len(errors) == 1


def test_the_next_attempt_removes_what_a_dead_task_left_running(config, client, request_):
    """F05: its worker was killed, so nobody removed the container."""
    start(config, client, probe(request_, SLEEP))
    neighbour = start(config, client, probe(request_ | {"shard_id": "6" * 64}, SLEEP))
    execute(operator(request_), try_number=2)
    left = {found["Id"] for found in client.containers(all=True, filters=docker_runner.OURS)}
    assert left == {neighbour}


def test_the_deadline_holds_inside_the_container(config, client, request_, monkeypatch):
    monkeypatch.setenv("STRANDLINE_TASK_TIMEOUT_MINUTES", "0.02")
    settings.get.cache_clear()
    with pytest.raises(AirflowException, match=r"deadline of 0\.02 minutes"):
        execute(probe(request_, SLEEP))


def test_orphans_are_removed_once_their_deadline_is_over(config, client, request_):
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=docker_runner.GRACE + 5)
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    made = {}
    for name, deadline in (("orphan", old), ("alive", soon)):
        labels = {docker_runner.RUN: RUN, docker_runner.DEADLINE: deadline.isoformat()}
        made[name] = client.create_container(config.vision.image, name=f"strandline-test-{name}", labels=labels)["Id"]
    assert vision.remove_orphans() == ["strandline-test-orphan"]
    left = {found["Id"] for found in client.containers(all=True, filters=docker_runner.OURS)}
    assert left == {made["alive"]}


@pytest.mark.parametrize(
    ("image", "says"),
    [("strandline/vision:latest", "by digest"), ("", "not set"), ("sha256:" + "0" * 64, "make images")],
)
def test_an_image_is_named_by_digest_and_present(client, request_, monkeypatch, image, says):
    monkeypatch.setenv("STRANDLINE_VISION_IMAGE", image)
    settings.get.cache_clear()
    with pytest.raises(PermanentError, match=says):
        execute(operator(request_))


def test_a_task_may_be_silent_for_longer_than_the_engine_may(client, request_, monkeypatch):
    """A deep network prints nothing for minutes, and that is no time-out of the engine."""
    monkeypatch.setattr(docker_runner, "ENGINE_PATIENCE", 2)
    task = probe(request_, "import time; time.sleep(7); print('done at last')")
    with pytest.raises(contract.NoResult):
        execute(task)
    assert task.printed == ["done at last"]


def test_a_flood_of_output_costs_neither_memory_nor_the_log(client, request_, caplog):
    """F22"""
    with pytest.raises(contract.NoResult):
        execute(probe(request_, "for i in range(60_000): print('x' * 100)"))
    assert len(caplog.records) < 11_000


def running(client: APIClient) -> dict[str, Any] | None:
    return next(iter(client.containers(filters=docker_runner.OURS)), None)


def wait_for(found: Callable[[], Any], seconds: float = 60) -> Any:
    give_up = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def in_background(action: Callable[[], Any]) -> Iterator[list[BaseException]]:
    """Run an action that is to fail; after the block, its error."""
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    yield errors
    thread.join(60)
    assert not thread.is_alive()
