"""The runner of machines without Docker: a vision command as a process of this host."""

import ctypes
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import strandline_contract as contract
from strandline import settings
from strandline.operators.vision import VisionOperator, mounts_environment

VISION_PROJECT = settings.REPOSITORY / "docker" / "vision"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)  # loaded before any fork: a child may not load libraries


class ProcessOperator(VisionOperator):
    """Clean environment, limits, a process group of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._process: subprocess.Popen[str] | None = None

    def run(self, config: settings.Settings, folder: Path, run_id: str) -> None:
        self._process = subprocess.Popen(
            [config.vision.python, "-m", "vision", self.vision_command, "--request", folder / contract.REQUEST_FILE],
            env=vision_environment(config, folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            preexec_fn=lambda: _limit(config.vision.memory_bytes, config.vision.attempt_bytes),
        )
        try:
            assert self._process.stdout is not None
            last = self.stream_logs(self._process.stdout)
            code = self._process.wait()
        finally:
            self.on_kill()
        self.check_exit_code(
            code, f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}", last
        )

    def on_kill(self) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)


def vision_environment(config: settings.Settings, folder: Path) -> dict[str, str]:
    paths = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(VISION_PROJECT)}
    landing = config.landing if isinstance(config.landing, Path) else folder / contract.FETCHED_FOLDER
    return mounts_environment(landing, config.store, home=folder) | paths


def _limit(memory_bytes: int, file_bytes: int) -> None:
    """In the child: bounded memory and files, no core dumps, and no life after its task's."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
