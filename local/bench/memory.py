"""How much memory each part of a running stack takes at the most."""

import collections
import dataclasses
import re
import threading
from collections.abc import Callable, Iterable
from typing import Self

import psutil

SECONDS = 0.5  # between two looks
TASK = re.compile(r"airflow worker -- ([0-9a-f-]{36})$")
# What is found in a process's command or title, and what it is then; the first that fits.
PARTS = {
    re.compile(pattern): part
    for pattern, part in {
        r"postgres": "Postgres: a process",
        r"vision\.decoding\.worker": "pack: a decoding process",
        r"vision\.models\.network_worker": "classify: the network",
        r"-m vision pack": "pack: vision",
        r"-m vision classify": "classify: vision",
        r"LocalExecutor": "Airflow: a worker",
        r"scheduler": "Airflow: scheduler",
        r"api.server": "Airflow: API",
        r"dag.processor": "Airflow: DAG processor",
        r"triggerer": "Airflow: triggerer",
    }.items()
}


@dataclasses.dataclass
class Peak:
    """Of one part: bytes (RSS) of its largest process, and how many processes it had at once."""

    memory: int = 0
    processes: int = 0


class Watch:
    """Looks at all processes below some others while its block runs.

    Args:
        roots: the process ids at the top.
    """

    def __init__(self, roots: Callable[[], Iterable[int]]) -> None:
        self._roots, self._ended = roots, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._peaks: dict[str, Peak] = collections.defaultdict(Peak)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def peaks(self, tasks: dict[str, str]) -> dict[str, Peak]:
        """By part.

        Args:
            tasks: the name of each task instance by its id, as Airflow calls the process that runs it.
        """
        found: dict[str, Peak] = {}
        for part, peak in sorted(self._peaks.copy().items()):
            named = TASK.search(part)
            before = found.setdefault(f"task {tasks.get(named[1], 'of another run')}" if named else part, Peak())
            before.memory = max(before.memory, peak.memory)
            before.processes = max(before.processes, peak.processes)
        return found

    def _look(self) -> None:
        while not self._ended.wait(SECONDS):
            running: collections.Counter[str] = collections.Counter()
            for process in self._processes():
                try:
                    command, memory = " ".join(process.cmdline()).strip(), process.memory_info().rss
                except psutil.Error:
                    continue  # it has ended
                part = _part(command)
                running[part] += 1
                self._peaks[part].memory = max(self._peaks[part].memory, memory)
            for part, count in running.items():
                self._peaks[part].processes = max(self._peaks[part].processes, count)

    def _processes(self) -> Iterable[psutil.Process]:
        for pid in self._roots():
            try:
                root = psutil.Process(pid)
                yield root
                yield from root.children(recursive=True)
            except psutil.Error:
                continue


def _part(command: str) -> str:
    """What a process is; of one that runs a task its whole title, which has the task's id."""
    if TASK.search(command):
        return command
    return next((part for pattern, part in PARTS.items() if pattern.search(command)), "another")
