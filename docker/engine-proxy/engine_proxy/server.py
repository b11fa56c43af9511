"""The filter as an HTTP server: reads a whole request, judges it, and asks the engine with a request of its own.

Nothing that a client sends reaches the engine as it was sent: neither its headers nor its framing, and of path, query
and body only what was understood. A container that was not made through here does not exist for who asks.
"""

import asyncio
import errno
import json
import logging
import os
import re
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from engine_proxy import policy, strict_json
from engine_proxy.policy import MADE_THROUGH, Policy, Refused

log = logging.getLogger("engine-proxy")
PATIENCE = aiohttp.ClientTimeout(total=60, sock_connect=5)
ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=5)  # to follow a log, to wait for an end, to pull
READING = 30  # seconds that a request may take to arrive
LARGEST = 64 * 2**10  # bytes of a request's body
ANSWERED = ("Content-Type", "Api-Version", "OSType")  # headers that are passed back

PATH = re.compile(r"/v1\.(?P<minor>\d{2})(?P<rest>/[A-Za-z0-9_.:@/%-]+)")
OLDEST = 40  # minor version of the API: earlier ones take settings in other places
CONTAINER = re.compile(r"/containers/([a-zA-Z0-9][a-zA-Z0-9_.-]{0,254})(/json|/logs|/start|/wait|)")
IMAGE = re.compile(r"/images/([a-z0-9_.:@/%-]{1,400})/json")
FLAG = re.compile("[01]|[Tt]rue|[Ff]alse")
QUERIES: dict[str, dict[str, re.Pattern[str]]] = {
    "list": {
        **dict.fromkeys(("all", "size", "trunc_cmd"), FLAG),
        "limit": re.compile(r"-1|\d{1,6}"),
        "filters": re.compile(".{0,4000}"),
    },
    "create": {"name": re.compile(".{1,255}")},
    "/json": {},
    "/logs": {
        **dict.fromkeys(("stdout", "stderr", "timestamps", "follow"), FLAG),
        "tail": re.compile(r"all|\d{1,9}"),
    },
    "/start": {},
    "/wait": {},
    "": {**dict.fromkeys(("v", "force"), FLAG), "link": re.compile("0|[Ff]alse")},
    "pull": {"fromImage": re.compile(".{1,300}"), "tag": re.compile(r"sha256:[0-9a-f]{64}")},
    "image": {},
    "version": {},
}
METHODS = {"/json": "GET", "/logs": "GET", "/start": "POST", "/wait": "POST", "": "DELETE"}


class NotFound(Exception):
    """What was asked for is not there, or not for who asks."""


class Filter:
    """Lets through what tasks need.

    Args:
        policy: of this deployment.
        engine: the engine's socket.
        store: the store as this process sees it: what is mounted from it must be folders and no links.
    """

    def __init__(self, policy: Policy, engine: Path, store: Path) -> None:
        self.policy, self.engine, self.store = policy, engine, store

    def application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST)
        application.cleanup_ctx.append(self._session)
        application.router.add_route("*", "/{rest:.*}", self._answer)
        return application

    async def _session(self, _: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.UnixConnector(str(self.engine), limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._client:
            yield

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """One request a connection: what comes after it on the same one is read by nobody."""
        response = await self._judged(request)
        response.force_close()
        return response

    async def _judged(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except (Refused, strict_json.Ambiguous) as error:
            log.warning("%s: refused %s %.500s: %s", request.remote, request.method, request.raw_path, error)
            return _message(403, f"the engine's filter refuses this: {error}")
        except NotFound as error:
            return _message(404, str(error))
        except aiohttp.ClientError as error:
            log.error("the engine does not answer: %s", error)
            return _message(502, f"the engine does not answer: {error}")
        except TimeoutError:
            return _message(504, "the request, or the engine's answer to it, took too long")

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if "Upgrade" in request.headers or "upgrade" in request.headers.get("Connection", "").lower():
            raise Refused("nobody takes over a connection")
        method, (path, _, query) = request.method, request.raw_path.partition("?")
        if method not in ("GET", "HEAD", "POST", "DELETE"):
            raise Refused("no task asks by this method")
        async with asyncio.timeout(READING):
            body = await request.read()
        if path in ("/_ping", "/version") and method in ("GET", "HEAD"):
            return await self._relay(request, path, _query("version", query))
        found = PATH.fullmatch(path)
        if not found or int(found["minor"]) < OLDEST:
            raise Refused(f"no task asks for this path; the API's versions go from 1.{OLDEST}")
        version, rest = f"/v1.{found['minor']}", found["rest"]
        if (method, rest) == ("POST", "/containers/create"):
            return await self._create(request, version, _query("create", query), body)
        if body:
            raise Refused("no body belongs to this request")
        if rest in ("/_ping", "/version") and method in ("GET", "HEAD"):
            return await self._relay(request, f"{version}{rest}", _query("version", query))
        if (method, rest) == ("GET", "/containers/json"):
            return await self._list(request, version, _query("list", query))
        if (method, rest) == ("POST", "/images/create"):
            return await self._pull(request, version, _query("pull", query))
        if method == "GET" and (image := IMAGE.fullmatch(rest)):
            return await self._inspect_image(request, version, image[1], _query("image", query))
        if (one := CONTAINER.fullmatch(rest)) and METHODS[one[2]] == method:
            return await self._one(request, version, one[1], one[2], _query(one[2], query))
        raise Refused("no task asks for this")

    async def _create(self, request: web.Request, version: str, query: dict[str, str], body: bytes) -> web.Response:
        asked = strict_json.loads(body)
        wanted = policy.container(self.policy, query.get("name", ""), asked, await self._image_ids(version))
        self._check_plain(wanted.folder)
        url = self._url(f"{version}/containers/create", {"name": wanted.name})
        async with self._client.post(url, json=wanted.body, timeout=PATIENCE) as answer:
            content = await answer.read()
            log.info("%s: %s: %s", request.remote, wanted.name, answer.status)
            return web.Response(body=content, status=answer.status, headers=_headers(answer))

    async def _list(self, request: web.Request, version: str, query: dict[str, str]) -> web.StreamResponse:
        filters = strict_json.loads(query.get("filters", "{}").encode())
        if not isinstance(filters, dict) or not filters.keys() <= {"label", "id"}:
            raise Refused("containers are listed by label or id")
        for values in filters.values():
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise Refused("a filter is a list of texts")
        ours = {**filters, "label": [*filters.get("label", []), f"{MADE_THROUGH}={self.policy.deployment}"]}
        return await self._relay(request, f"{version}/containers/json", query | {"filters": json.dumps(ours)})

    async def _pull(self, request: web.Request, version: str, query: dict[str, str]) -> web.StreamResponse:
        if query.keys() != {"fromImage", "tag"} or f"{query['fromImage']}@{query['tag']}" not in self.policy.images:
            raise Refused("only the vision image that is set for this deployment is pulled")
        return await self._relay(request, f"{version}/images/create", query, ENDLESS)

    async def _inspect_image(
        self, request: web.Request, version: str, image: str, query: dict[str, str]
    ) -> web.StreamResponse:
        image = image.replace("%40", "@").replace("%3A", ":")
        if image not in {*self.policy.images, *await self._image_ids(version)}:
            raise Refused(f"{image} is not the vision image that is set for this deployment")
        return await self._relay(request, f"{version}/images/{image}/json", query)

    async def _one(
        self, request: web.Request, version: str, name: str, action: str, query: dict[str, str]
    ) -> web.StreamResponse:
        """What may be done with one container, once it is known to be ours; from there on by its ID, which is nobody
        else's."""
        found = await self._ask(f"{version}/containers/{name}/json")
        if found is None or (found["Config"]["Labels"] or {}).get(MADE_THROUGH) != self.policy.deployment:
            raise NotFound(f"No such container: {name}")
        if action == "/start":
            # It is now that the engine mounts: what was a folder when the container was made may be a link by now.
            for mount in found["HostConfig"]["Mounts"]:
                if not mount.get("ReadOnly"):
                    self._check_plain(mount["Source"].removeprefix(f"{self.policy.store}/"))
        patience = ENDLESS if action in ("/logs", "/wait") else PATIENCE
        return await self._relay(request, f"{version}/containers/{found['Id']}{action}", query, patience)

    def _check_plain(self, folder: str) -> None:
        """The engine follows links, also out of the store.

        Raises:
            Refused: a part of the path is no folder.
        """
        place = os.open(self.store, os.O_PATH | os.O_DIRECTORY)
        try:
            for part in folder.split("/"):
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
                deeper = os.open(part, flags, dir_fd=place)
                os.close(place)
                place = deeper
        except OSError as error:
            reason = "a link" if error.errno in (errno.ELOOP, errno.ENOTDIR) else os.strerror(error.errno or 0)
            raise Refused(f"{folder} is no folder of the store: {part} is {reason}") from error
        finally:
            os.close(place)

    async def _image_ids(self, version: str) -> set[str]:
        """Of the vision images that the engine has."""
        found = [await self._ask(f"{version}/images/{image}/json") for image in self.policy.images]
        return {image["Id"] for image in found if image}

    async def _ask(self, path: str) -> dict[str, Any] | None:
        """What the engine says of one thing; None if it has none."""
        async with self._client.get(self._url(path, {}), timeout=PATIENCE) as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found

    async def _relay(
        self, request: web.Request, path: str, query: dict[str, str], patience: aiohttp.ClientTimeout = PATIENCE
    ) -> web.StreamResponse:
        async with self._client.request(request.method, self._url(path, query), timeout=patience) as answer:
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            response.force_close()
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def _url(self, path: str, query: dict[str, str]) -> URL:
        return URL.build(scheme="http", host="engine", path=path).with_query(query)


def _query(kind: str, text: str) -> dict[str, str]:
    """A request's query: each name known, and there once."""
    known, found = QUERIES[kind], {}
    for pair in text.split("&") if text else []:
        name, _, value = pair.partition("=")
        value = _unquoted(value)
        if name not in known or name in found or not known[name].fullmatch(value):
            raise Refused(f"{pair[:200]!r} of the query")
        found[name] = value
    return found


def _unquoted(value: str) -> str:
    found = urllib.parse.unquote_plus(value)
    if any(ord(character) < 32 for character in found):
        raise Refused("a control character in the query")
    return found


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in ANSWERED if name in answer.headers}


def _message(status: int, text: str) -> web.Response:
    """An error as the engine says one."""
    return web.json_response({"message": text}, status=status)
