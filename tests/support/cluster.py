"""A small cluster on loopback: the few calls of a Kubernetes API server that the runner makes, kept in memory, and one
node, which runs what a pod asks for as a process of this host.
"""

import contextlib
import datetime
import json
import re
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient

Object = dict[str, Any]
POD = re.compile(r"^/api/v1/namespaces/([^/]+)/pods(?:/([^/]+))?(/log)?$")
EVENTS = re.compile(r"^/api/v1/namespaces/([^/]+)/events$")


def load(manifest: Object, kind: str) -> Any:
    """The client's model of a manifest; a field that the model does not know is an error."""
    client = ApiClient()
    model = client._ApiClient__deserialize(manifest, kind)
    assert client.sanitize_for_serialization(model) == manifest
    return model


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Pod:
    """A stored pod, and its container: a process whose output is the log."""

    def __init__(self, manifest: Object, log: Path) -> None:
        self.manifest = manifest | {"status": {"phase": "Pending"}}
        self.manifest["metadata"]["creationTimestamp"] = _now()
        self.log = log
        self.ended = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.deadline = threading.Timer(manifest["spec"].get("activeDeadlineSeconds", 600), self._miss_deadline)

    def start(self, argv: list[str], environment: dict[str, str]) -> None:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._set("Running", {"running": {"startedAt": _now()}})
        self.deadline.start()
        threading.Thread(target=self._wait).start()

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.ended.wait()

    def _miss_deadline(self) -> None:
        self.manifest["status"] |= {"reason": "DeadlineExceeded", "message": "Pod was active longer than its deadline"}
        self.stop()

    def _wait(self) -> None:
        assert self.process
        code = self.process.wait()
        self.deadline.cancel()
        end: Object = {"exitCode": 128 - code if code < 0 else code, "finishedAt": _now(), "reason": "Error"}
        if not code:
            end["reason"] = "Completed"
        elif self.manifest["spec"]["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError":
            end["message"] = self.log.read_text()[-2048:]
        # No cgroup here: a process that says so before it dies stands for one that the kernel has killed.
        if self.log.read_bytes().endswith(b"out of memory\n"):
            end |= {"reason": "OOMKilled", "exitCode": 137}
        self._set("Failed" if code else "Succeeded", {"terminated": end})
        self.ended.set()

    def _set(self, phase: str, state: Object) -> None:
        container = self.manifest["spec"]["containers"][0]
        same = {"name": container["name"], "image": container["image"], "imageID": container["image"]}
        counted = {"ready": "running" in state, "restartCount": 0, "state": state}
        self.manifest["status"] |= {"phase": phase, "containerStatuses": [same | counted]}


class Cluster:
    """`runs` gives the command of a pod's process, or None for one that no node has room for; `role` is a Role's
    rules, which every call is held to.
    """

    def __init__(self, folder: Path, runs: Callable[[Object], list[str] | None], role: list[Object]) -> None:
        self.folder = folder
        self.runs = runs
        self.role = role
        self.pods: dict[str, Pod] = {}
        self.created: list[Object] = []  # all that ever were, as they were asked for
        self.calls: list[tuple[str, str]] = []  # verb and resource
        self.read_bytes = 0  # of logs
        cluster = self

        class Handler(_Handler):
            server_cluster = cluster

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        return path

    def allows(self, verb: str, resource: str) -> bool:
        self.calls.append((verb, resource))
        return any(verb in rule["verbs"] and resource in rule["resources"] for rule in self.role)

    def create(self, manifest: Object) -> Object:
        load(manifest, "V1Pod")
        name = manifest["metadata"]["name"]
        self.created.append(json.loads(json.dumps(manifest)))
        pod = self.pods[name] = Pod(manifest, self.folder / f"{name}.log")
        argv = self.runs(manifest)
        if argv:
            variables = {each["name"]: each["value"] for each in manifest["spec"]["containers"][0]["env"]}
            pod.start(argv, variables)
        return pod.manifest

    def delete(self, name: str) -> Object:
        pod = self.pods.pop(name)
        pod.stop()
        return pod.manifest


@contextlib.contextmanager
def running(folder: Path, runs: Callable[[Object], list[str] | None], role: list[Object]) -> Iterator[Cluster]:
    cluster = Cluster(folder, runs, role)
    thread = threading.Thread(target=cluster.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield cluster
    finally:
        for name in list(cluster.pods):
            cluster.delete(name)
        cluster.server.shutdown()
        thread.join()
        cluster.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_cluster: Cluster

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if EVENTS.match(parts.path):
            if self._may("list", "events"):
                self._answer(200, {"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": []})
            return
        match = POD.match(parts.path)
        assert match, parts.path
        namespace, name, log = match.groups()
        if log and self._may("get", "pods/log"):
            self._with_pod(name, lambda pod: self._log(pod, query))
        elif name and not log and self._may("get", "pods"):
            self._with_pod(name, lambda pod: self._answer(200, pod.manifest))
        elif not name and self._may("list", "pods"):
            wanted = {tuple(each.split("=")) for each in query["labelSelector"].split(",")}
            pods = [pod.manifest for pod in list(self.server_cluster.pods.values())]
            here = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
            items = [pod for pod in here if wanted <= pod["metadata"]["labels"].items()]
            self._answer(200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})

    def do_POST(self) -> None:
        manifest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._may("create", "pods"):
            self._answer(201, self.server_cluster.create(manifest))

    def do_DELETE(self) -> None:
        match = POD.match(urllib.parse.urlsplit(self.path).path)
        assert match
        if self._may("delete", "pods"):
            self._with_pod(match[2], lambda pod: self._answer(200, self.server_cluster.delete(match[2])))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error."""

    def _may(self, verb: str, resource: str) -> bool:
        if self.server_cluster.allows(verb, resource):
            return True
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}
        self._answer(403, status | {"message": f"cannot {verb} {resource}"})
        return False

    def _with_pod(self, name: str, answer: Callable[[Pod], None]) -> None:
        pod = self.server_cluster.pods.get(name)
        if pod:
            return answer(pod)
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
        return self._answer(404, status | {"message": f'pods "{name}" not found'})

    def _answer(self, code: int, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _log(self, pod: Pod, query: dict[str, str]) -> None:
        """Lines behind their time of reading, until the container ends, or the limit is reached."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        left = int(query["limitBytes"])
        with pod.log.open("rb") as log, contextlib.suppress(BrokenPipeError):
            while left > 0:
                ended = pod.ended.is_set()
                stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode()
                read = b"".join(stamp + line for line in log)[:left]
                self.wfile.write(read)
                left -= len(read)
                self.server_cluster.read_bytes += len(read)
                if ended:
                    return
                pod.ended.wait(0.05)
