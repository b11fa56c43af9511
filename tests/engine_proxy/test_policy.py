"""The filter between workers and the Docker Engine: what a task does goes through as it is, and nothing else does."""

import contextlib
import copy
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import docker.errors
import pytest
from docker.api.client import APIClient
from engine_filter import RecordingEngine, filtered
from image_files import pack_request

import strandline_contract as contract
from engine_proxy import policy, strict_json
from strandline import settings
from strandline.operators import cards, vision
from strandline.operators import docker as docker_runner
from strandline.operators.docker import HardenedDockerOperator

IMAGE = "sha256:" + "a" * 64
NAMED = "registry.example/strandline/vision@sha256:" + "b" * 64
RUN = "scheduled__2026-11-21T08:00:00+00:00"
SHARD = "5" * 64
OTHERS = "f" * 64
ONE_GPU = {"Driver": "", "Count": 0, "DeviceIDs": ["0"], "Capabilities": [["gpu"]], "Options": {}}


@pytest.fixture
def config(tmp_path, monkeypatch) -> Iterator[settings.Settings]:
    values = {"HOME": tmp_path / "home", "LANDING": tmp_path / "landing", "RUNNER": "docker", "CORES": 2}
    values |= {"STORE_ON_HOST": "/srv/store", "LANDING_ON_HOST": "/srv/landing", "VISION_IMAGE": IMAGE}
    for name, value in values.items():
        monkeypatch.setenv(f"STRANDLINE_{name}", str(value))
    settings.get.cache_clear()
    yield settings.get()
    settings.get.cache_clear()


@pytest.fixture
def engine() -> RecordingEngine:
    """With one container of somebody else on it, whose password is in its environment."""
    engine = RecordingEngine(IMAGE)
    engine.add(
        OTHERS, "strandline-postgres-1", {"Labels": {docker_runner.RUN: "x"}, "Env": ["POSTGRES_PASSWORD=secret"]}
    )
    return engine


@pytest.fixture
def port(config, engine, tmp_path, monkeypatch) -> Iterator[int]:
    user = "{}:{}".format(*vision.container_user(tmp_path))
    allowed = policy.Policy((IMAGE, NAMED), "/srv/landing", "/srv/store", user, 2**33, 2, 0, "here")
    with filtering(allowed, config, engine, monkeypatch) as port:
        yield port


@contextlib.contextmanager
def filtering(
    allowed: policy.Policy, config: settings.Settings, engine: RecordingEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    with (
        tempfile.TemporaryDirectory() as folder,  # the path of a socket has at most 107 characters
        filtered(allowed, Path(folder) / "engine", config.store, engine) as port,
    ):
        monkeypatch.setenv("STRANDLINE_DOCKER_URL", f"tcp://127.0.0.1:{port}")
        settings.get.cache_clear()
        yield port


@pytest.fixture
def client(port) -> APIClient:
    return docker_runner.connect(settings.get())


@pytest.fixture
def body(config, client, engine) -> dict[str, Any]:
    """What the operator sends, and the filter passes on without its label."""
    start(config, client)
    sent = copy.deepcopy(engine.created[0])
    assert sent["Labels"].pop(policy.MADE_THROUGH) == "here"
    return sent


def start(config: settings.Settings, client: APIClient) -> str:
    """A task's container, made as the task does it."""
    request = pack_request(config, SHARD)
    task = HardenedDockerOperator(task_id="pack", vision_command="pack", request=request)
    task._client, task.image = client, IMAGE
    folder = task._new_attempt(config, RUN, 1)
    return task._create(config, folder, task._labels(config, folder, RUN))


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, str]:
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def create(port: int, body: Any) -> tuple[int, str]:
    name = f"strandline-pack-{SHARD[:12]}-{body.get('Labels', {}).get(docker_runner.ATTEMPT)}"
    return ask(port, "POST", f"/v1.41/containers/create?name={name}", body)


def test_every_command_that_a_task_runs_is_let_through():
    """`convert` is run by `make` alone."""
    assert set(policy.COMMANDS) == contract.REQUESTS.keys() - {"convert"}


def test_a_task_runs_from_its_start_to_its_end_through_the_filter(config, engine, port):
    task = HardenedDockerOperator(task_id="pack", vision_command="pack", request=pack_request(config, SHARD))
    with pytest.raises(contract.NoResult):  # all went well, but that this engine runs nothing
        task.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})
    [sent] = engine.created
    assert sent["Labels"][policy.MADE_THROUGH] == "here"
    assert list(engine.containers) == [OTHERS], "it has been removed, and nobody else's"
    passed = {name for _, _, headers, _ in engine.asked for name in headers}
    assert passed <= {"Host", "Accept", "Accept-Encoding", "User-Agent", "Content-Type", "Content-Length", "Connection"}


@pytest.fixture
def gpu_port(config, engine, tmp_path, monkeypatch) -> Iterator[int]:
    """The filter of a host with two cards."""
    monkeypatch.setenv("STRANDLINE_GPUS", "2")
    user = "{}:{}".format(*vision.container_user(tmp_path))
    allowed = policy.Policy((IMAGE, NAMED), "/srv/landing", "/srv/store", user, 2**33, 2, 2, "here")
    with filtering(allowed, config, engine, monkeypatch) as port:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the locks are; the socket's path may be shorter
        yield port


def run_on_gpu() -> None:
    bundle = {"path": "models/bb", "version": "bb"}
    runtime = {"backend": "onnxruntime", "threads": 1, "device": "gpu"}
    request = {"shard_id": "gpu", "bundle": bundle, "runtime": runtime}
    task = HardenedDockerOperator(task_id="check", vision_command="preflight", request=request)
    with pytest.raises(contract.NoResult):  # this engine runs nothing
        task.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})


def test_a_task_on_a_gpu_asks_the_engine_for_one_card_that_no_other_task_has(engine, gpu_port, tmp_path):
    run_on_gpu()
    with cards.one_card(tmp_path, 2) as other:
        run_on_gpu()
    run_on_gpu()
    asked = [sent["HostConfig"]["DeviceRequests"] for sent in engine.created]
    assert (other, asked) == (0, [[ONE_GPU], [ONE_GPU | {"DeviceIDs": ["1"]}], [ONE_GPU]])


@pytest.mark.parametrize(
    "asked",
    [
        [ONE_GPU | {"DeviceIDs": ["2"]}],
        [ONE_GPU | {"DeviceIDs": ["all"]}],
        [ONE_GPU | {"DeviceIDs": ["0", "1"]}],
        [ONE_GPU | {"DeviceIDs": [0]}],
        [ONE_GPU | {"DeviceIDs": [], "Count": -1}],
        [ONE_GPU | {"Count": 1}],
        [ONE_GPU | {"Capabilities": [["gpu", "graphics"]]}],
        [ONE_GPU, ONE_GPU],
        [],
    ],
    ids=str,
)
def test_nothing_but_one_of_the_cards_of_the_host_is_passed_on(engine, gpu_port, asked):
    run_on_gpu()
    [right] = engine.created
    right["Labels"].pop(policy.MADE_THROUGH)
    name = f"strandline-preflight-gpu-{right['Labels'][docker_runner.ATTEMPT]}"
    path = f"/v1.41/containers/create?name={name}"
    assert ask(gpu_port, "POST", path, right)[0] == 201, "as it was, it may be made"
    assert ask(gpu_port, "POST", path, changed(right, "HostConfig/DeviceRequests", asked))[0] == 403


def test_a_worker_sees_and_removes_only_what_was_made_through_the_filter(config, client, engine, port):
    made = start(config, client)
    assert [found["Id"] for found in client.containers(all=True)] == [made]
    assert [found["Id"] for found in client.containers(all=True, filters={"id": OTHERS})] == []
    for name in (OTHERS, "strandline-postgres-1"):
        path = f"/v1.41/containers/{name}"
        asked = [("GET", f"{path}/json"), ("GET", f"{path}/logs?stdout=1"), ("POST", f"{path}/start")]
        for method, at in [*asked, ("POST", f"{path}/wait"), ("DELETE", f"{path}?force=1")]:
            code, said = ask(port, method, at)
            assert (code, "secret" in said) == (404, False), at
    assert OTHERS in engine.containers
    client.remove_container(made, force=True, v=True)
    assert made not in engine.containers


def test_another_deployments_containers_are_nobodys_here(client, engine):
    engine.add("e" * 64, "strandline-pack-1", {"Labels": {policy.MADE_THROUGH: "elsewhere"}})
    assert client.containers(all=True) == []
    with pytest.raises(docker.errors.NotFound):
        client.inspect_container("e" * 64)


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    found = new = copy.deepcopy(body)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        found = found[step]
    if value is ...:
        del found[last]
    elif isinstance(found, list) and last == len(found):
        found.append(value)
    else:
        found[last] = value
    return new


ROOT = {"Target": "/host", "Source": "/", "Type": "bind", "ReadOnly": False}
HOSTILE = {
    "another image": ("Image", "strandline/vision:latest"),
    "an image of the engine by digest": ("Image", "sha256:" + "c" * 64),
    "root": ("User", "0:0"),
    "the group of root": ("User", "10001:0"),
    "no user": ("User", ...),
    "a shell": ("Entrypoint", ["sh", "-c", "id"]),
    "no deadline": ("Entrypoint/2", "0"),
    "a deadline in years": ("Entrypoint/2", "99999999"),
    "an option": ("Entrypoint/1", "--foreground"),
    "another command": ("Cmd/0", "shell"),
    "another request": ("Cmd/2", "/landing/request.json"),
    "one more argument": ("Cmd/3", "--help"),
    "a variable": ("Env/7", "LD_PRELOAD=/store/x.so"),
    "a changed variable": ("Env/1", "HOME=/store"),
    "a terminal": ("Tty", True),
    "a volume": ("Volumes", {"/x": {}}),
    "a runtime": ("Runtime", "other"),
    "a host name": ("Hostname", "x"),
    "a network": ("NetworkingConfig", {"EndpointsConfig": {"backend": {}}}),
    "a health check": ("Healthcheck", {"Test": ["CMD", "x"]}),
    "a label that is not a task's": ("Labels/com.docker.compose.project", "strandline"),
    "the filter's own label": (f"Labels/{policy.MADE_THROUGH}", "elsewhere"),
    "a label in two lines": (f"Labels/{docker_runner.RUN}", "a\nb"),
    "a deadline that is no time": (f"Labels/{docker_runner.DEADLINE}", "later"),
    "a deadline in years, as a label": (f"Labels/{docker_runner.DEADLINE}", "2999-01-01T00:00:00+00:00"),
    "an unknown field": ("X", None),
    "an unknown field that is null": ("HostConfig/X", None),
    "the same field in small letters": ("hostconfig", {"Privileged": True}),
    "privileged": ("HostConfig/Privileged", True),
    "not privileged, in so many words": ("HostConfig/Privileged", False),
    "capabilities": ("HostConfig/CapAdd", ["SYS_ADMIN"]),
    "no dropped capabilities": ("HostConfig/CapDrop", ...),
    "fewer dropped capabilities": ("HostConfig/CapDrop", ["KILL"]),
    "new privileges": ("HostConfig/SecurityOpt", ["seccomp=unconfined"]),
    "a root to write": ("HostConfig/ReadonlyRootfs", False),
    "a root to write, as a number": ("HostConfig/ReadonlyRootfs", 1),
    "the host's network": ("HostConfig/NetworkMode", "host"),
    "the host's processes": ("HostConfig/PidMode", "host"),
    "another's network": ("HostConfig/NetworkMode", f"container:{OTHERS}"),
    "devices": ("HostConfig/Devices", [{"PathOnHost": "/dev/sda"}]),
    "a GPU where none is set": ("HostConfig/DeviceRequests", [ONE_GPU]),
    "old binds": ("HostConfig/Binds", ["/:/host"]),
    "others' volumes": ("HostConfig/VolumesFrom", [OTHERS]),
    "one more mount": ("HostConfig/Mounts/3", ROOT),
    "the host's root in the place of the landing zone": ("HostConfig/Mounts/0/Source", "/"),
    "the engine's socket": ("HostConfig/Mounts/0/Source", "/var/run/docker.sock"),
    "a landing zone to write": ("HostConfig/Mounts/0/ReadOnly", False),
    "a store to write": ("HostConfig/Mounts/1/ReadOnly", False),
    "a volume in the place of a folder": ("HostConfig/Mounts/1/Type", "volume"),
    "shared mounts": ("HostConfig/Mounts/2/BindOptions", {"Propagation": "shared"}),
    "models to write": ("HostConfig/Mounts/2/Source", "/srv/store/models"),
    "out of the store": ("HostConfig/Mounts/2/Source", "/srv/store/runs/../../../etc"),
    "onto another place": ("HostConfig/Mounts/2/Target", "/store/models"),
    "dots in the place": ("HostConfig/Mounts/2/Target", f"/store/runs/../pack/{SHARD}/01-00000000"),
    "more memory": ("HostConfig/Memory", 2**40),
    "memory without an end": ("HostConfig/Memory", 0),
    "memory as a fraction": ("HostConfig/Memory", 1e9),
    "swap": ("HostConfig/MemorySwap", -1),
    "more cores": ("HostConfig/NanoCpus", 64 * 10**9),
    "processes": ("HostConfig/PidsLimit", -1),
    "open files": ("HostConfig/Ulimits/0/Hard", 10**6),
    "files without an end": ("HostConfig/Ulimits/2/Hard", -1),
    "a scratch folder to execute from": ("HostConfig/Tmpfs", {"/tmp": "rw,exec"}),
    "one more scratch folder": ("HostConfig/Tmpfs/~1store", "rw"),
    "another log": ("HostConfig/LogConfig", {"Type": "syslog", "Config": {"syslog-address": "tcp://192.0.2.1"}}),
    "restarts": ("HostConfig/RestartPolicy", {"Name": "always"}),
    "no host config": ("HostConfig", ...),
    "a list for the host config": ("HostConfig", []),
}


def test_a_container_that_differs_in_one_field_is_refused(engine, port, body):
    assert create(port, body)[0] == 201, "as it was, it may be made"
    before = len(engine.created)
    let_through = {}
    for case, (path, value) in HOSTILE.items():
        code, said = create(port, changed(body, path, value))
        if code != 403 or "refuses this" not in said:
            let_through[case] = code, said
    assert (let_through, len(engine.created)) == ({}, before)


def test_each_field_that_a_task_sends_has_to_be_there(engine, port, body):
    places = [*body, *(f"HostConfig/{name}" for name in body["HostConfig"]), *(f"Labels/{n}" for n in body["Labels"])]
    codes = {place: create(port, changed(body, place, ...))[0] for place in places}
    assert codes == dict.fromkeys(places, 403)
    assert len(places) > 30


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b'"x"', b"[" * 50_000, b'{"HostConfig": NaN}'])
def test_a_body_that_is_no_object_of_json_is_refused(port, engine, body, text):
    before = len(engine.created)
    assert ask(port, "POST", "/v1.41/containers/create?name=x", text)[0] == 403
    assert len(engine.created) == before


@pytest.mark.parametrize(
    "again", ['"User":"0:0"', '"user":"0:0"', '"HostConfig":{"Privileged":true}', '"hostConfig":{}']
)
@pytest.mark.parametrize("first", [True, False])
def test_a_key_that_is_there_twice_is_refused_in_any_case(port, engine, body, again, first):
    text = json.dumps(body)
    text = f"{{{again},{text[1:]}" if first else f"{text[:-1]},{again}}}"
    code, said = create(port, body)
    assert code == 201
    name = f"strandline-pack-{SHARD[:12]}-{body['Labels'][docker_runner.ATTEMPT]}"
    code, said = ask(port, "POST", f"/v1.41/containers/create?name={name}", text.encode())
    assert (code, "is there twice" in said) == (403, True)
    with pytest.raises(strict_json.Ambiguous, match="twice"):
        strict_json.loads(b'{"a": {"b": 1, "B": 1}}')


def test_a_body_beyond_what_any_task_sends_is_refused_unread(port, engine, body):
    before = len(engine.created)
    assert create(port, changed(body, f"Labels/{docker_runner.RUN}", "x" * 100_000))[0] == 413
    assert len(engine.created) == before


@pytest.mark.parametrize("where", ["the attempt", "above it"])
@pytest.mark.parametrize("when", ["when it is made", "when it is started"])
def test_a_link_in_the_place_of_the_attempts_folder_is_not_mounted(
    config, client, engine, port, body, where, when, tmp_path
):
    """The engine would follow it, out of the store."""
    [number] = [number for number in engine.containers if number != OTHERS]
    folder = config.store / body["HostConfig"]["Mounts"][2]["Target"].removeprefix("/store/")
    linked = folder if where == "the attempt" else folder.parent
    linked.rename(aside := tmp_path / "aside")
    linked.symlink_to(aside)
    started = len(engine.asked)
    code, said = (
        create(port, body) if when == "when it is made" else ask(port, "POST", f"/v1.41/containers/{number}/start")
    )
    assert (code, "is a link" in said) == (403, True), said
    assert not [path for method, path, _, _ in engine.asked[started:] if method == "POST"]


PATHS = [
    ("GET", "/v1.41/info"),
    ("GET", "/info"),
    ("GET", "/containers/json"),
    ("GET", "/v1.23/containers/json"),
    ("GET", "/v1.41/secrets"),
    ("GET", "/v1.41/images/json"),
    ("GET", "/v1.41/images/strandline/vision:latest/json"),
    ("GET", "/v1.41/images/sha256:" + "c" * 64 + "/json"),
    ("GET", f"/v1.41/images/{IMAGE}/../{IMAGE}/json"),
    ("GET", f"/v1.41/containers/{OTHERS}/archive?path=/etc/shadow"),
    ("GET", f"/v1.41/containers/{OTHERS}/export"),
    ("GET", f"/v1.41/containers/{OTHERS}/json?size=1"),
    ("GET", "/v1.41/containers/x/../../info"),
    ("GET", "/v1.41/containers/%2e%2e/json"),
    ("GET", "/v1.41/containers/x%2fjson"),
    ("GET", "/v1.41//containers/json"),
    ("GET", "/v1.41/containers/json/"),
    ("GET", "/v1.41/containers/json#x"),
    ("GET", "/v1.41/containers/JSON"),
    ("GET", "/V1.41/containers/json"),
    ("GET", "/v1.41/events"),
    ("GET", "/_ping?x=1"),
    ("HEAD", "/v1.41/containers/json"),
    ("GET", "/v1.41/containers/json?filters={}&filters={}"),
    ("GET", '/v1.41/containers/json?filters={"network":["backend"]}'),
    ("GET", '/v1.41/containers/json?filters={"label":["a"],"Label":["b"]}'),
    ("GET", '/v1.41/containers/json?filters={"label":{"a":true}}'),
    ("GET", "/v1.41/containers/json?filters=x"),
    ("GET", "/v1.41/containers/json?all=1;size=1"),
    ("GET", "/v1.41/containers/json?%61ll=1"),
    ("GET", "/v1.41/containers/x/logs?since=0"),
    ("GET", "/v1.41/containers/x/attach/ws"),
    ("PUT", "/v1.41/containers/x/archive?path=/"),
    ("POST", "/v1.41/containers/x/exec"),
    ("POST", "/v1.41/containers/x/attach"),
    ("POST", "/v1.41/containers/x/update"),
    ("POST", "/v1.41/containers/x/rename?name=y"),
    ("POST", "/v1.41/containers/x/start?detachKeys=ctrl-a"),
    ("POST", "/v1.41/containers/x/wait?condition=removed"),
    ("POST", "/v1.41/containers/prune"),
    ("POST", "/v1.41/build?remote=http://192.0.2.1/x"),
    ("POST", "/v1.41/volumes/create"),
    ("POST", "/v1.41/images/create?fromSrc=http://192.0.2.1/x"),
    ("POST", f"/v1.41/images/create?fromSrc=-&repo=strandline/vision&tag={NAMED.split('@')[1]}"),
    ("POST", "/v1.41/images/create?fromImage=debian&tag=latest"),
    ("POST", f"/v1.41/images/create?fromImage=registry.example/other&tag={NAMED.split('@')[1]}"),
    ("POST", f"/v1.41/images/create?fromImage={NAMED}"),
    ("POST", f"/v1.41/images/create?fromImage={NAMED.split('@')[0]}&tag={NAMED.split('@')[1]}&platform=x"),
    ("POST", "/v1.41/images/strandline/vision:latest/tag?repo=x"),
    ("POST", "/v1.41/swarm/init"),
    ("DELETE", "/v1.41/images/strandline"),
    ("DELETE", "/v1.41/containers/x?link=1"),
    ("DELETE", "/v1.41/volumes/postgres"),
    ("CONNECT", "/v1.41/containers/json"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_other_path_and_no_other_query_reaches_the_engine(engine, port, method, path):
    sent = f"{method} {path} HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\n\r\n"
    code = raw(port, sent.encode(), until=b"\r\n\r\n")[:12]
    assert code in (b"HTTP/1.1 403", b"HTTP/1.1 400", b"HTTP/1.1 404"), code
    known = {f"/v1.41/images/{image}/json" for image in (IMAGE, NAMED)}  # what the filter asks of its own accord
    assert [
        (method, path) for method, path, _, _ in engine.asked if (method, path) not in {("GET", k) for k in known}
    ] == []


def test_only_the_image_that_is_set_is_pulled(client, engine):
    client.pull(NAMED)
    [(method, path, _, _)] = [asked for asked in engine.asked if "/images/create" in asked[1]]
    name, digest = NAMED.split("@")
    assert (method, path) == ("POST", f"/v1.41/images/create?tag={digest}&fromImage={name}")
    with pytest.raises(docker.errors.APIError, match="only the vision image"):
        client.pull("registry.example/strandline/vision@sha256:" + "d" * 64)


def raw(port: int, text: bytes, until: bytes | None = None) -> bytes:
    """What is answered to these bytes: all, or up to where it has said something."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(text)
        answer = b""
        while not (until and until in answer) and (chunk := connection.recv(65536)):
            answer += chunk
        return answer


HIDDEN = b"POST /v1.41/containers/x/exec HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN),
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a header over two lines": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a body in the body": b"Content-Length: %d\r\n\r\n" % len(HIDDEN),
    "another protocol": b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_no_request_hides_in_another(engine, port, case):
    raw(port, b"POST /v1.41/containers/x/wait HTTP/1.1\r\nHost: x\r\n" + SMUGGLED[case] + HIDDEN)
    assert not [path for _, path, _, _ in engine.asked if "exec" in path]
    upgraded = [headers for _, _, headers, _ in engine.asked if "Upgrade" in headers or "Transfer-Encoding" in headers]
    assert upgraded == []


def test_a_body_in_chunks_is_judged_whole(engine, port, body):
    text = json.dumps(changed(body, "HostConfig/Privileged", True)).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (text[:100], text[100:])) + b"0\r\n\r\n"
    name = f"strandline-pack-{SHARD[:12]}-{body['Labels'][docker_runner.ATTEMPT]}".encode()
    head = b"POST /v1.41/containers/create?name=%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % name
    assert raw(port, head + chunks).startswith(b"HTTP/1.1 403")


def test_a_client_that_goes_away_leaves_nothing_waiting_at_the_engine(config, client, engine, port):
    made = start(config, client)
    engine.waiting = 1
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"POST /v1.41/containers/{made}/wait HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(lambda: any(path.endswith("/wait") for _, path, _, _ in engine.asked))
    wait_for(lambda: engine.left == 1)


def test_an_engine_that_does_not_answer_is_said(config, tmp_path):
    allowed = policy.Policy((IMAGE,), "/srv/landing", "/srv/store", "1:1", 2**33, 2, 0, "here")
    with filtered(allowed, tmp_path / "nobody", tmp_path) as port:
        code, said = ask(port, "GET", "/_ping")
    assert (code, "the engine does not answer" in said) == (502, True)


@pytest.mark.parametrize(
    "value",
    [
        {"images": ("strandline/vision:latest",)},
        {"store": "/srv/../etc"},
        {"store": "/"},
        {"landing": "x"},
        {"user": "0:1"},
    ],
)
def test_settings_that_would_open_the_filter_are_refused(value):
    right = {"images": (IMAGE,), "landing": "/a", "store": "/b", "user": "1:1", "memory": 1, "cores": 1, "gpus": 0}
    policy.Policy(**right, deployment="x")
    with pytest.raises(ValueError, match=r"digest|absolute|root"):
        policy.Policy(**(right | value), deployment="x")


def wait_for(found: Callable[[], Any]) -> None:
    give_up = time.monotonic() + 30
    while not found():
        assert time.monotonic() < give_up
        time.sleep(0.02)
