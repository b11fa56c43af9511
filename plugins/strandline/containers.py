"""How a vision command becomes an Airflow task: one mapped operator, whatever runs it.

A command's attempt has a folder of its own in the store. Data comes back through the files that `result.json` seals,
never through standard output; what the operator returns is only where to find them.
"""

import contextlib
import ctypes
import datetime
import os
import resource
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.mappedoperator import OperatorPartial
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from strandline import contract, settings

VISION_PROJECT = settings.REPOSITORY / "docker" / "vision"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)  # loaded before any fork: a child may not load libraries


def vision_task(task_id: str, command: str) -> OperatorPartial:
    """The operator of a vision command, to be mapped: `vision_task("pack", "pack").expand(request=requests)`.

    Raises:
        SettingsError: STRANDLINE_RUNNER names no runner.
    """
    chosen = settings.get()
    if chosen.runner not in RUNNERS:
        raise settings.SettingsError(f"STRANDLINE_RUNNER={chosen.runner}: the runners are {', '.join(RUNNERS)}")
    return RUNNERS[chosen.runner].partial(
        task_id=task_id,
        command=command,
        pool="classifier",
        map_index_template="{{ task.request['shard_id'][:12] }}",
        execution_timeout=datetime.timedelta(minutes=chosen.task_timeout_minutes),
    )


@contextlib.contextmanager
def no_retry(*errors: type[Exception]) -> Iterator[None]:
    """Fail the task at once on errors that another try cannot mend."""
    try:
        yield
    except errors as error:
        raise AirflowFailException(str(error)) from error


class ProcessOperator(BaseOperator):
    """Run a vision command as a process of this host: clean environment, limits, its own process group.

    Args:
        command: pack, classify, train, evaluate or package.
        request: the command's request as a JSON object, with a `shard_id`.

    Returns:
        `{"shard_id": ..., "folder": the attempt's folder, relative to the store}`.
    """

    # Nothing is rendered: a request is data, and Airflow would run templates found in it.
    template_fields: Sequence[str] = ()
    ui_color = "#d9ecf2"

    def __init__(self, *, command: str, request: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.request = request
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> dict[str, str]:
        chosen = settings.get()
        folder = self._new_attempt(chosen, context["run_id"], context["ti"].try_number)
        self.log.info("%s of shard %s in %s", self.command, self.request["shard_id"], folder)
        self._run(chosen, folder)
        result = contract.read_result(folder, self.command)
        self.log.info("counts %s, seconds %s", result.counts, result.seconds)
        return {"shard_id": self.request["shard_id"], "folder": str(folder.relative_to(chosen.store))}

    def on_kill(self) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _new_attempt(self, chosen: settings.Settings, run_id: str, try_number: int) -> Path:
        with no_retry(contract.BadRequest):
            request = contract.parse_request(self.command, self.request)
        shard = chosen.run_folder(run_id) / self.command / str(self.request["shard_id"])
        folder = shard / f"{try_number:02d}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
        return folder

    def _run(self, chosen: settings.Settings, folder: Path) -> None:
        self._process = subprocess.Popen(
            [chosen.vision_python, "-m", "vision", self.command, "--request", folder / contract.REQUEST_FILE],
            env=vision_environment(chosen, folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            preexec_fn=lambda: _limit(chosen.task_memory_bytes),
        )
        last = ""
        try:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                last = line.rstrip() or last
                self.log.info("%s", line.rstrip())
            code = self._process.wait()
        finally:
            self.on_kill()
        if code in contract.DO_NOT_RETRY:
            raise AirflowFailException(f"{last}; trying again cannot help (exit code {code})")
        if code != contract.EXIT_DONE:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise AirflowException(f"vision {self.command} {how}; its last line: {last or 'none'}")


def vision_environment(chosen: settings.Settings, folder: Path) -> dict[str, str]:
    """All that a vision process sees of ours: where the mounts are. No credentials."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "MPLCONFIGDIR": str(folder),
        "PYTHONPATH": str(VISION_PROJECT),
        "PYTHONUNBUFFERED": "1",
        "STRANDLINE_LANDING": str(chosen.landing),
        "STRANDLINE_STORE": str(chosen.store),
    }


def _limit(memory_bytes: int) -> None:
    """In the child: bounded memory, no core dumps, and no life after its task's."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


RUNNERS: dict[str, type[ProcessOperator]] = {"process": ProcessOperator}
