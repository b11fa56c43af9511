"""One Postgres for all tests, and for each test a fresh ledger in it."""

import contextlib
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright
from psycopg import sql

from local.stack import postgres
from strandline import ledger, settings

PASSWORD = "test"
TEMPLATE = "strandline"
APPROVERS = ("op", "admin", "user")  # who may answer, of whom the one or the other has asked


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
        return self.url(ledger.OWNER)

    @property
    def address(self) -> str:
        """Without a user: each task takes the role of its duty."""
        return f"postgresql://{postgres.HOST}:{self.port}/{self.name}?password={PASSWORD}"

    def duty(self, duty: ledger.Duty) -> str:
        return self.url(f"strandline_{duty}")

    @property
    def analyst(self) -> str:
        return self.url(ledger.ANALYST)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((postgres.HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For the tests of pages; of a module, since no two may run in one thread at once."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.fail("pages are tested in a browser: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


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
        ledger.migrate(template.owner, approvers=APPROVERS)
        yield port
    finally:
        postgres.stop(folder)
        shutil.rmtree(folder)


@contextlib.contextmanager
def new_database(port: int, template: str = TEMPLATE) -> Iterator[Database]:
    """A copy of a template (`template0` is an empty one) that goes when the block ends."""
    database = Database(port, f"test_{uuid.uuid4().hex[:12]}")
    # By files: through the log, as by default, a copy takes twice as long.
    statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy OWNER strandline_owner"
    _administer(port, statement, database.name, template)
    try:
        yield database
    finally:
        _administer(port, "DROP DATABASE {} WITH (FORCE)", database.name)


@contextlib.contextmanager
def new_ledger(port: int, home: Path) -> Iterator[Database]:
    """A fresh ledger; the settings name it, `home` as Strandline's home, and `home/labels` for label files."""
    with new_database(port) as database, pytest.MonkeyPatch.context() as patch:
        _copy_grants(database)
        patch.setenv("STRANDLINE_DATABASE_URL", database.address)
        patch.setenv("STRANDLINE_APPROVERS", ",".join(APPROVERS))
        patch.setenv("STRANDLINE_HOME", str(home))
        patch.setenv("STRANDLINE_LABELS", str(home / "labels"))
        settings.get.cache_clear()
        yield database
    settings.get.cache_clear()


@pytest.fixture
def empty_database(postgres_port: int) -> Iterator[Database]:
    with new_database(postgres_port, "template0") as database:
        yield database


@pytest.fixture
def database(postgres_port: int, tmp_path: Path) -> Iterator[Database]:
    """A fresh ledger that the settings name; Strandline's home is `tmp_path`."""
    with new_ledger(postgres_port, tmp_path) as database:
        yield database


@pytest.fixture
def away(database: Database) -> Callable[[], AbstractContextManager[None]]:
    """Makes the ledger refuse everybody for a while."""

    @contextlib.contextmanager
    def refuse() -> Iterator[None]:
        _administer(database.port, "ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name)
        yield
        _administer(database.port, "ALTER DATABASE {} ALLOW_CONNECTIONS true", database.name)

    return refuse


def _copy_grants(database: Database) -> None:
    """Grants on the database itself are not copied from a template; to migrate again takes longer than all the rest."""
    with psycopg.connect(Database(database.port, "postgres").superuser) as connection:
        connection.execute(
            "UPDATE pg_database SET datacl = template.datacl FROM pg_database AS template"
            " WHERE template.datname = %s AND pg_database.datname = %s",
            (TEMPLATE, database.name),
        )


def _administer(port: int, statement: str, *names: str) -> None:
    with psycopg.connect(Database(port, "postgres").superuser, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
