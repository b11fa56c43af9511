"""The local Postgres, as whoever runs the tests and, run by root, as an ordinary user."""

import multiprocessing
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import free_port

from local.stack import postgres
from strandline import settings

PASSWORD = "a 'pass/word'@:\\%"
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside pytest's own folders, which nobody else may enter."""
    folder = Path(tempfile.mkdtemp(prefix="strandline-test-"))
    try:
        yield folder
    finally:
        postgres.stop(folder)
        shutil.rmtree(folder)


@pytest.fixture
def port(folder: Path) -> int:
    """That of a running server of `folder`."""
    port = free_port()
    postgres.start(folder, port, PASSWORD, durable=False)
    return port


def fetch(port, statement, password=PASSWORD):
    with psycopg.connect(postgres.url(port, "postgres", password, "postgres")) as connection:
        return connection.execute(statement).fetchall()


def server_pid(folder):
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def test_the_server_outlives_its_starter_and_stops(folder):
    port = free_port()
    script = f"""
from pathlib import Path
from local.stack import postgres
postgres.start(Path({str(folder)!r}), {port}, "pw")
"""
    environment = os.environ | {"PYTHONPATH": str(settings.REPOSITORY)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd=folder)
    assert fetch(port, "SHOW fsync", password="pw") == [("on",)]
    assert postgres.running_port(folder) == port
    postgres.stop(folder)
    assert postgres.running_port(folder) is None
    postgres.stop(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["data", "postgres.log"]


def test_it_listens_on_loopback_and_asks_for_the_password(folder, port):
    assert fetch(port, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert fetch(port, "SHOW unix_socket_directories") == [("",)]
    assert fetch(port, "SHOW server_encoding") == [("UTF8",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        fetch(port, "SELECT 1", password="guess")
    assert (folder / "data").stat().st_mode & 0o077 == 0


def test_data_survive_a_stop_a_kill_and_another_start(folder, port):
    with psycopg.connect(postgres.url(port, "postgres", PASSWORD, "postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    pid = server_pid(folder)
    postgres.start(folder, port, PASSWORD)
    assert server_pid(folder) == pid
    with pytest.raises(postgres.PostgresError, match=f"runs on port {port}: stop it"):
        postgres.start(folder, free_port(), PASSWORD)

    postgres.stop(folder)
    (folder / "data.partial").mkdir()
    postgres.start(folder, port, PASSWORD)
    assert fetch(port, "SELECT value FROM kept") == [(1,)]

    pid = server_pid(folder)
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([ended], [], [], 60)[0]
    os.close(ended)
    postgres.start(folder, free_port(), PASSWORD)
    assert server_pid(folder) != pid
    assert fetch(postgres.running_port(folder), "SELECT value FROM kept") == [(1,)]


def test_an_interrupted_first_start_begins_again(folder):
    (folder / "data.partial" / "base").mkdir(parents=True)
    port = free_port()
    postgres.start(folder, port, PASSWORD, durable=False)
    assert fetch(port, "SELECT 1") == [(1,)]


def test_a_taken_port_is_one_clear_sentence(folder):
    with socket.socket() as taken:
        taken.bind((postgres.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(postgres.PostgresError, match=f"^Port {port} .* STRANDLINE_POSTGRES_PORT"):
            postgres.start(folder, port, PASSWORD)
    assert list(folder.iterdir()) == []


def test_a_server_that_cannot_start_says_what_its_log_says(folder, port):
    postgres.stop(folder)
    (folder / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(postgres.PostgresError, match=f"did not start: .*{folder}/postgres.log ends with: .*FATAL"):
        postgres.start(folder, port, PASSWORD)


def in_child(function, *arguments):
    """What a function raises, or None, in a child that keeps all that is imported here."""

    def work(channel):
        try:
            function(*arguments)
            channel.send(None)
        except Exception as error:  # noqa: BLE001 - handed to the parent
            channel.send(repr(error))

    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=work, args=(theirs,))
    child.start()
    answer = ours.recv()
    child.join()
    return answer


def start_as_ordinary_user(folder, port):
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    postgres.start(folder, port, PASSWORD, durable=False)


@needs_root
@pytest.mark.usefixtures("reachable")
def test_an_ordinary_user_needs_nothing_special(folder):
    os.chown(folder, NOBODY, NOBODY)
    port = free_port()
    assert in_child(start_as_ordinary_user, folder, port) is None
    assert fetch(port, "SELECT 1") == [(1,)]
    assert (folder / "data").stat().st_uid == NOBODY
    postgres.stop(folder)  # by root, as its owner
    postgres.start(folder, port, PASSWORD)
    assert fetch(port, "SELECT 1") == [(1,)]


@needs_root
@pytest.mark.usefixtures("reachable", "no_namespaces")
def test_without_namespaces_root_hands_the_server_to_nobody(folder):
    port = free_port()
    postgres.start(folder, port, PASSWORD, durable=False)
    assert fetch(port, "SELECT 1") == [(1,)]
    assert folder.stat().st_uid == NOBODY
    assert Path(f"/proc/{server_pid(folder)}").stat().st_uid == NOBODY


@needs_root
@pytest.mark.usefixtures("no_namespaces")
def test_a_folder_that_nobody_can_reach_is_one_clear_sentence(folder):
    folder.chmod(0o700)
    with pytest.raises(
        postgres.PostgresError, match=r"^Postgres does not run as root, .* nobody may not enter .*: move the checkout"
    ):
        postgres.start(folder / "inner", free_port(), PASSWORD)


@pytest.fixture
def reachable() -> None:
    """Skips where nobody may not run the binaries: a checkout beneath /root, say."""
    try:
        subprocess.run([postgres._binaries() / "postgres", "--version"], user=NOBODY, check=True, capture_output=True)
    except PermissionError:
        pytest.skip("nobody may not enter the folder of the Postgres binaries")


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a container that refuses them."""
    monkeypatch.setattr(postgres, "NAMESPACE", ("false",))
    postgres._namespaces.cache_clear()
    yield
    postgres._namespaces.cache_clear()
