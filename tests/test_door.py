"""Airflow's door: what a wrong password costs, and what nobody sees who is not logged in."""

import asyncio
import json
from typing import Any

import pytest

from strandline import door


@pytest.fixture
def written(monkeypatch) -> list[tuple[str, str]]:
    """The audit lines; Airflow's database, which has them, is tried by `tests/docker/test_compose.py`."""
    lines: list[tuple[str, str]] = []
    monkeypatch.setattr(door, "_write", lambda account, client: lines.append((account, client)))
    return lines


class Airflow:
    """An application behind the door that knows one password."""

    def __init__(self) -> None:
        self.tried = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sent = (await receive())["body"]
        self.tried += scope["path"].startswith("/auth")
        await asyncio.sleep(0)  # many at once are really at once
        right = b"right" in sent
        headers = [(b"set-cookie", b"_token=x; Path=/")] if right and scope["path"] == "/auth/login/" else []
        status = 201 if right and "token" in scope["path"] else 302 if "login" in scope["path"] else 401
        status = 200 if scope["method"] == "GET" else status
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def ask(app: Any, method: str, path: str, body: bytes = b"") -> int:
    parts = [{"type": "http.request", "body": body[:5], "more_body": True}, {"type": "http.request", "body": body[5:]}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "client": ("192.0.2.1", 1)}, receive, send)
    return int(sent[0]["status"])


def token(user: str, password: str) -> tuple[str, str, bytes]:
    return "POST", "/auth/token", json.dumps({"username": user, "password": password}).encode()


def test_sixty_wrong_passwords_wait_and_leave_a_line_each_that_was_tried(written):
    airflow = Airflow()
    app = door.Door(airflow)

    async def sixty() -> list[int]:
        return list(await asyncio.gather(*(ask(app, *token("admin", f"wrong {n}")) for n in range(60))))

    codes = asyncio.run(sixty())
    assert (codes.count(401), codes.count(429)) == (door.FREE, 60 - door.FREE)
    assert airflow.tried == door.FREE
    assert written == [("admin", "192.0.2.1")] * door.FREE
    assert asyncio.run(ask(app, *token("ADMIN", "right"))) == 429, "the same account in capitals"
    assert asyncio.run(ask(app, *token("op", "right"))) == 201, "nobody else waits"


@pytest.mark.parametrize("path", ["/auth/login/", "/auth/login", "/auth/token/cli"])
def test_each_way_to_log_in_waits(written, path):
    app = door.Door(Airflow())
    body = b"username=admin&password=wrong" if "login" in path else b'{"username": "admin", "password": "wrong"}'
    codes = [asyncio.run(ask(app, "POST", path, body)) for _ in range(door.FREE + 1)]
    assert codes[-1] == 429
    assert 429 not in codes[:-1]


def test_the_right_password_clears_what_was_wrong_before(written):
    app = door.Door(Airflow())
    for password in ["wrong"] * (door.FREE - 1) + ["right"] + ["wrong"] * door.FREE:
        assert asyncio.run(ask(app, *token("op", password))) == (201 if password == "right" else 401)
    form = b"username=op&password=right"
    assert asyncio.run(ask(door.Door(Airflow()), "POST", "/auth/login/", form)) == 302
    assert len(written) == 2 * door.FREE - 1


def test_the_wait_doubles_has_an_end_and_is_forgotten():
    now = [0.0]
    attempts = door.Attempts(lambda: now[0])
    waits = []
    for _ in range(door.FREE + 8):
        pause = attempts.wait("op")
        if pause:
            waits.append(pause)
            now[0] += pause
            assert attempts.wait("op") == 0
    assert waits == [15, 30, 60, 120, 240, 300, 300, 300]
    now[0] += door.FORGOTTEN + 1
    assert [attempts.wait("op") for _ in range(door.FREE)] == [0] * door.FREE


def test_accounts_that_are_made_up_fill_no_memory():
    attempts = door.Attempts()
    for number in range(door.ACCOUNTS + 100):
        attempts.wait(str(number))
    assert len(attempts.wrong) == door.ACCOUNTS


def test_pages_about_the_api_are_closed_and_others_are_not(written):
    app = door.Door(Airflow())
    paths = ["/openapi.json", "/docs", "/docs/", "/redoc", "/execution/docs", "/execution/openapi.json", "/auth/docs"]
    assert {path: asyncio.run(ask(app, "GET", path)) for path in paths} == dict.fromkeys(paths, 404)
    for path in ("/", "/dags/docs", "/api/v2/monitor/health", "/auth/login/"):
        assert asyncio.run(ask(app, "GET", path)) == 200, path


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{}", b'{"username": {"a": 1}}'])
def test_a_login_that_is_none_is_passed_on_as_it_is(written, body):
    assert asyncio.run(ask(door.Door(Airflow()), "POST", "/auth/token", body)) == 401
    assert asyncio.run(ask(door.Door(Airflow()), "POST", "/auth/token", b"x" * 100_000)) == 413
