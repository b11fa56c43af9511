"""The filter before the Docker Engine, in a thread of this process; and an engine that records what reaches it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import serving
from aiohttp import web

from engine_proxy.policy import Policy
from engine_proxy.server import Filter


class RecordingEngine:
    """Answers as the engine does, of the few things that are asked here; runs nothing.

    Attributes:
        asked: method, path with query, headers and body of each request.
        containers: by ID, what inspecting them says.
    """

    def __init__(self, image: str) -> None:
        self.image = image
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.containers: dict[str, dict[str, Any]] = {}
        self.waiting = self.left = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self._answer)
        return application

    @property
    def created(self) -> list[Any]:
        return [body for method, path, _, body in self.asked if method == "POST" and "/containers/create" in path]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        body = json.loads(text) if text else None
        self.asked.append((request.method, request.raw_path, dict(request.headers), body))
        parts = request.path.strip("/").split("/")
        if request.path.endswith("/version"):
            return web.json_response({"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10"})
        if request.path.endswith("/_ping"):
            return web.Response(text="OK", headers={"Api-Version": "1.41"})
        if parts[1:2] == ["images"]:
            if parts[-1] == "create":
                return web.Response(text='{"status": "Pulled"}\r\n')
            found = request.path.endswith(f"/{self.image}/json")
            return web.json_response(
                {"Id": self.image} if found else {"message": "no such image"}, status=200 if found else 404
            )
        if request.path.endswith("/containers/create"):
            number = f"{len(self.containers) + 1:064x}"
            self.add(number, request.query["name"], body)
            return web.json_response({"Id": number, "Warnings": []}, status=201)
        if request.path.endswith("/containers/json"):
            return web.json_response(list(self._listed(json.loads(request.query.get("filters", "{}")))))
        return await self._one(request, parts)

    async def _one(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        named = {found["Name"][1:]: number for number, found in self.containers.items()}
        number = named.get(parts[2], parts[2])
        if number not in self.containers:
            return web.json_response({"message": "No such container"}, status=404)
        if request.method == "DELETE":
            del self.containers[number]
            return web.Response(status=204)
        if parts[-1] == "json":
            return web.json_response(self.containers[number])
        if parts[-1] == "logs":
            return web.Response(body=b"\x01\0\0\0\0\0\0\5done\n", content_type="application/vnd.docker.raw-stream")
        if parts[-1] == "wait" and self.waiting:
            return await self._wait_for_ever()
        return web.json_response({"StatusCode": 0}) if parts[-1] == "wait" else web.Response(status=204)

    async def _wait_for_ever(self) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1
        raise AssertionError

    def add(self, number: str, name: str, body: dict[str, Any]) -> None:
        """A container that is there."""
        state = {"Status": "exited", "ExitCode": 0, "OOMKilled": False}
        config = {"Labels": body.get("Labels"), "Env": body.get("Env"), "Tty": False}
        self.containers[number] = {"Id": number, "Name": f"/{name}", "Config": config, "State": state}
        self.containers[number] |= {"HostConfig": body.get("HostConfig", {"Mounts": []})}

    def _listed(self, filters: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
        for number, found in self.containers.items():
            labels = found["Config"]["Labels"] or {}
            wanted = [label.partition("=") for label in filters.get("label", [])]
            right = all(name in labels and (not is_ or labels[name] == value) for name, is_, value in wanted)
            if right and number in filters.get("id", [number]):
                yield {"Id": number, "Names": [found["Name"]], "Labels": labels}


@contextlib.contextmanager
def filtered(policy: Policy, socket: Path, store: Path, engine: RecordingEngine | None = None) -> Iterator[int]:
    """The filter on a port of loopback, before the engine of a socket: one that runs, or the given one.

    Yields:
        The port.
    """

    @contextlib.asynccontextmanager
    async def server() -> AsyncIterator[int]:
        runners = []
        if engine:
            runners.append(web.AppRunner(engine.application(), handler_cancellation=True, access_log=None))
            await runners[-1].setup()
            await web.UnixSite(runners[-1], str(socket)).start()
        runners.append(web.AppRunner(Filter(policy, socket, store).application(), handler_cancellation=True))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        yield runners[-1].addresses[0][1]
        for runner in reversed(runners):
            await runner.cleanup()

    with serving.in_a_thread(server) as port:
        yield port
