"""How a vision command becomes an Airflow task, or one task a request: one operator, whatever runs it.

A command's attempt has a folder of its own in the store. Data comes back through the files that `result.json` seals,
never through standard output; what the operator returns is only where to find them. A runner is a subclass of
`VisionOperator`, in a module of its own, so that a DAG file imports no more than the one that is set.
"""

import contextlib
import dataclasses
import datetime
import importlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.definitions.mappedoperator import OperatorPartial
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

import strandline_contract as contract
from strandline import attempts, settings
from strandline.errors import PermanentError

RUNNERS = {
    "process": ("strandline.operators.process", "ProcessOperator"),
    "docker": ("strandline.operators.docker", "HardenedDockerOperator"),
    "kubernetes": ("strandline.operators.kubernetes", "HardenedPodOperator"),
}

Plan = Callable[..., dict[str, Any] | None]  # of what other tasks returned, a request, or None if there is none

LOGGED_LINES = 10_000  # of one attempt: whatever a process prints, the task's log stays readable

# What the runners of containers share: the container's view of the mounts, its user, its image, its labels.
LANDING, STORE, SCRATCH = Path("/landing"), Path("/store"), Path("/tmp")
SCRATCH_BYTES = 64 * 2**20
USER = 10001  # of the image; a worker that runs as another user than root runs its containers as itself
DIGEST = re.compile(r"(?:^|@)sha256:[0-9a-f]{64}$")
RUN, SHARD, COMMAND, ATTEMPT = (f"strandline.{label}" for label in ("run", "shard", "command", "attempt"))


def vision_task(task_id: str, command: str, request: XComArg | Plan, *given: XComArg) -> "VisionOperator":
    """The operator of a vision command on one request.

    Args:
        request: what another task returns. Or what makes it of `given`, in the task, when it runs: without the ledger,
            which a worker that only runs vision commands does not enter. If it makes none, the task is skipped.
        given: what other tasks return.

    Raises:
        SettingsError: STRANDLINE_RUNNER names no runner.
    """
    if isinstance(request, XComArg):
        given, request = (request,), _as_given
    return runner(settings.get())(**_arguments(task_id, command), request=request, given=given)


def vision_tasks(task_id: str, command: str) -> OperatorPartial:
    """The same, to be mapped: `vision_tasks("pack", "pack").expand(request=requests)`.

    Raises:
        SettingsError: STRANDLINE_RUNNER names no runner.
    """
    label = "{{ task.request['shard_id'][:18] }}"
    return runner(settings.get()).partial(**_arguments(task_id, command), map_index_template=label)


def _as_given(request: dict[str, Any]) -> dict[str, Any]:
    return request


def _arguments(task_id: str, command: str) -> dict[str, Any]:
    config = settings.get()
    return {
        "task_id": task_id,
        "vision_command": command,
        "pool": "classifier",
        "queue": _queue(config, command),
        "execution_timeout": datetime.timedelta(minutes=config.vision.timeout_minutes),
    }


def _queue(config: settings.Settings, command: str) -> str:
    on_gpu = {"pack": "cpu", "train": config.vision.training_device}.get(command, config.vision.device) == "gpu"
    return "gpu" if on_gpu else "default"


def runner(config: settings.Settings) -> "type[VisionOperator]":
    """The class of operator that STRANDLINE_RUNNER names."""
    module, name = RUNNERS[config.vision.runner]
    operator: type[VisionOperator] = getattr(importlib.import_module(module), name)
    return operator


def cores(request: Mapping[str, Any]) -> int:
    """That a command was asked to use."""
    computing = request.get("runtime") or request.get("reference") or request
    return int(computing.get("threads") or computing.get("workers") or 1)


def on_gpu(request: Mapping[str, Any]) -> bool:
    computing = request.get("runtimes") or [request.get("runtime", request)]
    return any(one.get("device") == "gpu" for one in computing)


def remove_orphans() -> list[str]:
    """Remove what dead tasks have left running on this host; returns the names of what was removed."""
    config = settings.get()
    return runner(config).remove_orphans(config)


class VisionOperator(BaseOperator):
    """Run a vision command on a request, as one attempt with a folder of its own.

    Args:
        vision_command: pack, classify, train, evaluate, package, preflight, infra_validate or parity.
        request: the command's request as a JSON object, with a `shard_id`; or what makes it when the task runs.
        given: outputs of other tasks, which that is called with.

    Returns:
        An `attempts.SealedAttempt`, as a JSON object.
    """

    # No request: that is data, and Airflow would run templates found in it. Into `given` it puts outputs as they are.
    template_fields: Sequence[str] = ("given",)
    ui_color = "#d9ecf2"
    image: str | None = None

    def __init__(
        self, *, vision_command: str, request: dict[str, Any] | Plan, given: Sequence[XComArg] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.vision_command = vision_command
        self.given = given
        self.plan = request if callable(request) else None
        self.request = {} if callable(request) else request

    def execute(self, context: Any) -> dict[str, Any]:
        config = settings.get()
        if self.plan:
            if (planned := self.plan(*self.given)) is None:
                raise AirflowSkipException(f"there is nothing to {self.vision_command}")
            self.request = planned
        folder = self._new_attempt(config, context["run_id"], context["ti"].try_number)
        self.log.info("%s of shard %s in %s", self.vision_command, self.request["shard_id"], folder)
        request = contract.sha256_file(folder / contract.REQUEST_FILE)
        most, files = config.vision.attempt_bytes, config.vision.attempt_files
        try:
            with (
                self._fetched(config, folder) as (more, more_files),
                attempts.watched(folder, most + more, files + more_files, self.on_kill),
            ):
                self.run(config, folder, context["run_id"])
            result, sealed = attempts.seal(folder, self.vision_command, request, most)
        except BaseException:
            try:
                attempts.discard(folder)
            except (OSError, RecursionError) as error:
                self.log.warning("remove %s by hand, which cannot be emptied: %s", folder, error)
            raise
        self.log.info("counts %s, seconds %s", result.counts, result.seconds)
        done = str(folder.relative_to(config.store))
        return attempts.SealedAttempt(self.request["shard_id"], done, sealed, self.image).to_dict()

    def run(self, config: settings.Settings, folder: Path, run_id: str) -> None:
        """Run the command on the folder's request until it ends.

        Raises:
            AirflowException: it failed; another try may help.
            PermanentError: it failed and another try cannot help.
        """
        raise NotImplementedError

    @classmethod
    def remove_orphans(cls, config: settings.Settings) -> list[str]:
        """Remove what dead tasks have left running; the names of it. Nothing outlives a task that is a process."""
        return []

    def _new_attempt(self, config: settings.Settings, run_id: str, try_number: int) -> Path:
        try:
            request = contract.parse_request(self.vision_command, self.request)
            shard = config.run_folder(run_id) / self.vision_command / contract.plain_name(request.shard_id)
        except contract.BadRequest as error:
            raise PermanentError(str(error)) from error
        if isinstance(request, contract.TrainRequest):
            request = dataclasses.replace(request, resume=request.resume or _last_checkpoint(shard, config.store))
        elif isinstance(request, contract.PackRequest) and request.root == "landing":
            in_bucket = isinstance(config.landing, settings.BucketUrl)
            request = dataclasses.replace(request, root="fetched" if in_bucket else "landing")
        folder = shard / f"{try_number:02d}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
        return folder

    def _fetched(self, config: settings.Settings, folder: Path) -> AbstractContextManager[tuple[int, int]]:
        """Brings what the request lists in a bucket, while the command runs; how many bytes and files that may take."""
        request = contract.read_request(self.vision_command, folder / contract.REQUEST_FILE)
        if not isinstance(request, contract.PackRequest) or request.root != "fetched":
            return contextlib.nullcontext((0, 0))
        # Like runners: a DAG file has to parse fast.
        bringing: AbstractContextManager[tuple[int, int]] = importlib.import_module("strandline.fetching").fetched(
            config, request, folder, self.on_kill
        )
        return bringing

    def stream_logs(self, lines: Iterable[str]) -> str:
        """Log what a process prints, as far as a person would read; returns its last line."""
        last, count = "", 0
        for line in lines:
            count += 1
            if line.strip():
                last = line.rstrip()[-2000:]
            if count <= LOGGED_LINES:
                self.log.info("%s", line.rstrip()[-2000:])
        if count > LOGGED_LINES:
            self.log.warning("%d more lines were printed, and are not shown", count - LOGGED_LINES)
        return last

    def check_exit_code(self, code: int, how: str, last: str) -> None:
        """Fail the try for every exit code but 0, and the task if another try cannot help."""
        if code in contract.DO_NOT_RETRY:
            raise PermanentError(f"{last}; trying again cannot help (exit code {code})")
        if code != contract.EXIT_DONE:
            raise AirflowException(f"vision {self.vision_command} {how}; its last line: {last or 'none'}")


def _last_checkpoint(shard: Path, store: Path) -> str | None:
    """The attempt, relative to the store, that got furthest before it was stopped; None if none has a checkpoint."""
    found = [path for path in shard.glob(f"*/{contract.CHECKPOINT_FILE}") if path.is_file() and not path.is_symlink()]
    found.sort(key=lambda path: path.stat().st_mtime_ns)
    return str(found[-1].parent.relative_to(store)) if found else None


def image_by_digest(config: settings.Settings) -> str:
    """The vision image of the settings.

    Raises:
        PermanentError: it is not named by digest.
    """
    image = config.vision.image
    if not DIGEST.search(image):
        raise PermanentError(
            f"STRANDLINE_VISION_IMAGE is {image or 'not set'}: it must name an image by digest, as name@sha256:... "
            "or as sha256:..., the id that `make images` prints; a tag may be moved"
        )
    return image


def container_user(folder: Path) -> tuple[int, int]:
    """The user and the group that a container runs as, neither root's; the attempt's folder is theirs.

    A worker of the Airflow image is in root's group. On a host, that group may own the engine's socket.
    """
    if os.getuid():
        return os.getuid(), os.getgid() or os.getuid()
    for owned in (folder, *folder.glob(contract.FETCHED_FOLDER)):
        os.chown(owned, USER, USER)
    return USER, USER


def mounts_environment(landing: Path, store: Path, home: Path) -> dict[str, str]:
    """All that a vision process sees of ours: where the mounts are, and since when it is awaited. No credentials."""
    return {
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "MPLCONFIGDIR": str(home),
        "PYTHONUNBUFFERED": "1",
        "STRANDLINE_LANDING": str(landing),
        "STRANDLINE_STORE": str(store),
        "STRANDLINE_SUBMITTED_AT": str(time.time()),
    }
