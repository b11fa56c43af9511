"""Detached processes: started in a session of their own, recorded, and stopped by their record and by nothing else.

A record holds the process id and its start time, so that a number which the system has given away again is left alone.
"""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import strandline_contract as contract


@dataclasses.dataclass(frozen=True)
class Process:
    """A started process: its number, its start in clock ticks since boot, and what it was started for."""

    pid: int
    started: int
    purpose: str


@dataclasses.dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    session: int
    started: int


def start(record: Path, command: list[str], environment: dict[str, str], log: Path, purpose: str) -> Process:
    """Start a command that outlives us; its output is appended to `log`.

    Args:
        purpose: is kept in the record, for the caller to compare later.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stat = _stat(child.pid)
    process = Process(child.pid, stat.started if stat else 0, purpose)
    contract.write_json(record, dataclasses.asdict(process))
    return process


def recorded(record: Path) -> Process | None:
    """The process of a record while it runs."""
    try:
        process = Process(**json.loads(record.read_bytes()))
    except FileNotFoundError:
        return None
    stat = _stat(process.pid)
    return process if stat and stat.started == process.started and stat.state not in "ZX" else None


def stop(records: Iterable[Path], patience: float) -> None:
    """Ask each recorded process to end; after `patience` seconds, end it and all that it started.

    The record goes when nothing of the process is left, whatever has become of its first process.
    """
    records = [record for record in records if record.exists()]
    leaders = {process.pid: process.started for process in (Process(**json.loads(r.read_bytes())) for r in records)}
    family = _family(leaders, {})
    for pid in leaders.keys() & family.keys():
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while (family := _family(leaders, family)) and time.monotonic() < deadline:
        time.sleep(0.1)
    while family := _family(leaders, family):
        for pid in family:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.05)
    for record in records:
        record.unlink(missing_ok=True)


def _family(leaders: dict[int, int], known: dict[int, int]) -> dict[int, int]:
    """What still runs of the leaders' sessions and of what they and the known processes have started: pid to start."""
    table = {pid: stat for pid in _numbers() if (stat := _stat(pid)) and stat.state not in "ZX"}
    # A session keeps its leader's number reserved: if that number now has another start, the session is gone.
    sessions = {pid for pid, started in leaders.items() if pid not in table or table[pid].started == started}
    family = {
        pid: stat.started
        for pid, stat in table.items()
        if stat.session in sessions or known.get(pid) == stat.started or leaders.get(pid) == stat.started
    }
    while found := {pid: stat.started for pid, stat in table.items() if stat.parent in family and pid not in family}:
        family |= found
    return family


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    return _Stat(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def free_port() -> int:
    """A port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
