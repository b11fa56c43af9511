"""A real S3 server on loopback, moto's, that can be told to misbehave; and buckets of it as landing zones."""

import contextlib
import datetime
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.client import BaseClient
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from strandline import settings

Environment = dict[str, Any]  # of WSGI
Misbehaviour = Callable[[Environment], tuple[str, str] | None]  # status and code instead of an answer; None to answer


class Store:
    """The server. `misbehave` is asked about each request first; `asked` are the requests, as method and raw path."""

    def __init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.asked: list[str] = []
        self.keys: list[str] = []  # the access key of each
        self.misbehave: Misbehaviour = lambda environment: None
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _answer(self, environment: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(f"{environment['REQUEST_METHOD']} {environment['RAW_URI']}")
        self.keys.append(environment.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0])
        if refused := self.misbehave(environment):
            status, code = refused
            start(status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()]
        answer: Iterable[bytes] = self._application(environment, start)
        return answer

    def __enter__(self) -> "Store":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def client(self) -> BaseClient:
        session = botocore.session.Session()
        session.set_credentials("tester", "secret")
        return session.create_client("s3", region_name="us-east-1", endpoint_url=self.url)


class Zone:
    """A bucket that is the landing zone of the settings."""

    def __init__(self, store: Store, prefix: str = "zone/") -> None:
        self.store, self.prefix = store, prefix
        self.name = f"landing-{uuid.uuid4().hex}"
        self.client: Any = store.client()
        self.client.create_bucket(Bucket=self.name)

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}"

    def keep_versions(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})

    def put(self, name: str, content: bytes = b"x", **more: Any) -> dict[str, Any]:
        done: dict[str, Any] = self.client.put_object(Bucket=self.name, Key=self.prefix + name, Body=content, **more)
        return done

    def put_folder(self, folder: Path) -> None:
        """As `aws s3 sync` does."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(str(path.relative_to(folder)), path.read_bytes())

    def delete(self, name: str, **more: Any) -> None:
        self.client.delete_object(Bucket=self.name, Key=self.prefix + name, **more)


@contextlib.contextmanager
def landing_in(zone: Zone, home: Path, **changes: Any) -> Iterator[settings.Settings]:
    """Settings with that landing zone, and this home."""
    values = {"landing": zone.url, "home": home, "stable_seconds": 0} | changes
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(f"STRANDLINE_{name.upper()}", str(value))
        given_credentials(patch, zone.store)
        settings.get.cache_clear()
        yield settings.get()
    settings.get.cache_clear()


def given_credentials(patch: pytest.MonkeyPatch, store: Store) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": store.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "NO_PROXY": "127.0.0.1",
    }.items():
        patch.setenv(name, value)


def in_an_hour() -> int:
    """Ns since 1970: by then nothing is new any more."""
    return int((datetime.datetime.now(datetime.UTC).timestamp() + 3600) * 1e9)


def once(times: int, status: str, code: str, where: str = "") -> Misbehaviour:
    """Refuse so many requests whose address has `where` in it, and answer all others."""
    left = [times]
    lock = threading.Lock()

    def refuse(environment: Environment) -> tuple[str, str] | None:
        with lock:
            if where not in environment["RAW_URI"] or not left[0]:
                return None
            left[0] -= 1
            return status, code

    return refuse
