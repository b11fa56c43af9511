"""One Postgres for all tests, and for each test a fresh ledger in it."""

import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from embedded import postgres
from strandline import ledger, settings

PASSWORD = "test"
TEMPLATE = "strandline"


@dataclass(frozen=True)
class Database:
    """URLs of one database, a role each."""

    port: int
    name: str

    def url(self, user: str) -> str:
        return postgres.url(self.port, user, PASSWORD, self.name)

    @property
    def superuser(self) -> str:
        return self.url(postgres.SUPERUSER)

    @property
    def owner(self) -> str:
        return self.url("strandline_owner")

    @property
    def app(self) -> str:
        return self.url("strandline_app")

    @property
    def analyst(self) -> str:
        return self.url("strandline_analyst")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((postgres.HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """A running Postgres that has the roles, and the database `strandline` to make copies of."""
    # Not pytest's own folder, which only its user may enter: run by root, the server may belong to nobody.
    folder = Path(tempfile.mkdtemp(prefix="strandline-postgres-"))
    port = free_port()
    try:
        postgres.start(folder, port, PASSWORD, durable=False)
        template = Database(port, TEMPLATE)
        ledger.provision(Database(port, "postgres").superuser, dict.fromkeys(ledger.ROLES, PASSWORD))
        ledger.migrate(template.owner)
        yield port
    finally:
        postgres.stop(folder)
        shutil.rmtree(folder)


@pytest.fixture
def make_database(postgres_port: int) -> Iterator[Callable[[str], Database]]:
    """Makes databases out of a template (`template0` for an empty one); they go when the test ends."""
    made = []

    def make(template: str) -> Database:
        database = Database(postgres_port, f"test_{uuid.uuid4().hex[:12]}")
        _administer(postgres_port, "CREATE DATABASE {} TEMPLATE {} OWNER strandline_owner", database.name, template)
        made.append(database.name)
        return database

    yield make
    for name in made:
        _administer(postgres_port, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database(
    make_database: Callable[[str], Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A fresh ledger; the settings name it, and `tmp_path` as Strandline's home."""
    database = make_database(TEMPLATE)
    ledger.migrate(database.owner)  # grants on the database itself are not copied from a template
    monkeypatch.setenv("STRANDLINE_DATABASE_URL", database.app)
    monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path))
    settings.get.cache_clear()
    yield database
    settings.get.cache_clear()


def _administer(port: int, statement: str, *names: str) -> None:
    with psycopg.connect(Database(port, "postgres").superuser, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
