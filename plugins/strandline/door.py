"""Airflow's door, before anybody is logged in: wrong passwords have to wait, and pages about the API are closed.

A middleware of the API server, whatever the auth manager is. `airflow_door.py` beside this package hands it to Airflow.
"""

import json
import logging
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOGINS = ("/auth/token", "/auth/token/cli", "/auth/login")
# Of the API, and of what is mounted in it.
CLOSED = {
    f"{mounted}{page}"
    for mounted in ("", "/execution", "/auth")
    for page in ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/changelog")
}
FREE = 5  # wrong passwords of one account before one has to wait
SHORTEST, LONGEST = 15.0, 300.0  # seconds of the wait, which doubles with each further wrong one
FORGOTTEN = 3600.0  # seconds after which an account's wrong passwords are forgotten
ACCOUNTS = 10_000  # that are remembered at most
LARGEST = 64 * 2**10  # bytes of a login
TOKEN_COOKIE = b"_token="  # the API server sets it with a page only for who has logged in


class Attempts:
    """How often each account was tried since it was last entered.

    An attempt counts as wrong from its start: many at once are no way around. Not safe for threads.

    Args:
        clock: seconds, of any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, account: str) -> float:
        """Seconds until the account may be tried again; 0 if it may be now, which counts as a try."""
        now = self.clock()
        count, last = self.wrong.get(account, (0, now))
        if now - last > FORGOTTEN:
            count = 0
        pause = min(SHORTEST * 2.0 ** min(count - FREE, 10), LONGEST) if count >= FREE else 0.0
        if now < last + pause:
            return last + pause - now
        self.wrong[account] = count + 1, now
        self.wrong.move_to_end(account)
        if len(self.wrong) > ACCOUNTS:
            self.wrong.popitem(last=False)
        return 0.0

    def right(self, account: str) -> None:
        """The account was entered."""
        self.wrong.pop(account, None)


class Door:
    """The middleware, as ASGI defines one."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app, self.attempts = app, Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if path.rstrip("/") in CLOSED:
            return await _answer(send, 404, "Closed here: Airflow's documentation describes the API")
        if scope["method"] == "POST" and path.rstrip("/") in LOGINS:
            return await self._login(scope, receive, send)
        return await self.app(scope, receive, send)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return await _answer(send, 413, "No login is as long as this")
        account = _account(body)
        if pause := self.attempts.wait(account):
            text = f"Too many wrong passwords: wait {pause:.0f} s, then try again"
            return await _answer(send, 429, text, [(b"retry-after", str(int(pause) + 1).encode())])
        entered = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal entered
            if message["type"] == "http.response.start":
                cookies = [value for name, value in message.get("headers", []) if name.lower() == b"set-cookie"]
                entered = message["status"] == 201 or any(cookie.startswith(TOKEN_COOKIE) for cookie in cookies)
            await send(message)

        async def replayed() -> MutableMapping[str, Any]:
            nonlocal body
            if body is None:
                return await receive()
            whole, body = body, None
            return {"type": "http.request", "body": whole, "more_body": False}

        await self.app(scope, replayed, watched)
        if entered:
            self.attempts.right(account)
        else:
            await _record(account, (scope.get("client") or ("unknown",))[0])


def _account(body: bytes) -> str:
    """Whom a login names: JSON's `username`, or a form's."""
    try:
        sent = json.loads(body)
        name = sent.get("username") if isinstance(sent, dict) else None
    except ValueError:
        name = urllib.parse.parse_qs(body.decode(errors="replace")).get("username", [None])[0]
    return str(name)[:250].casefold()


async def _body(receive: Receive) -> bytes | None:
    """All that was sent; None if it is too long."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += message.get("body", b"")
        if len(body) > LARGEST:
            return None
        if not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = json.dumps({"detail": text}).encode()
    kind = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


async def _record(account: str, client: str) -> None:
    """A line in Airflow's audit log."""
    import anyio.to_thread

    log.warning("a wrong password for %r, from %s", account, client)
    await anyio.to_thread.run_sync(_write, account, client)


def _write(account: str, client: str) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Log(event="wrong_password", owner=account, extra=json.dumps({"from": client})))
