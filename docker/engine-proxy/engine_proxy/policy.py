"""Which container may be made: the one that `strandline.operators.docker` makes, field by field.

A request is never passed on. What may differ from one task to the next is read out of it and checked; the container
is made again from that, and what was sent has to be equal to it. So a field that is unknown, missing or changed is
refused.
"""

import dataclasses
import datetime
import re
from collections.abc import Collection, Mapping
from typing import Any

RUN, SHARD, COMMAND, ATTEMPT = (f"strandline.{name}" for name in ("run", "shard", "command", "attempt"))
DEADLINE = "strandline.deadline"
# Set by the filter: a container without it was not made through it, and is none of a worker's business.
MADE_THROUGH = "strandline.engine-proxy"

COMMANDS = ("pack", "classify", "train", "evaluate", "package", "preflight", "infra_validate", "parity")
LARGEST = 2**40  # bytes of a file: the tasks' own setting is far below
LONGEST = 7 * 24 * 3600  # seconds that a task's deadline may lie ahead
DIGEST = re.compile(r"(?:[a-z0-9][a-z0-9._/:-]*@)?sha256:[0-9a-f]{64}")


class Refused(Exception):
    """A request that no task makes; the message says what of it."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """What this deployment's tasks may have.

    Args:
        images: the vision images, by digest.
        landing, store: the folders as the engine's host knows them.
        user: `uid:gid` that containers run as.
        memory: bytes at most.
        cores: at most.
        gpus: how many cards this host has for containers, each of which may have one.
        deployment: a name that no other deployment on this engine has.
    """

    images: tuple[str, ...]
    landing: str
    store: str
    user: str
    memory: int
    cores: int
    gpus: int
    deployment: str

    def __post_init__(self) -> None:
        for image in self.images:
            if not DIGEST.fullmatch(image):
                raise ValueError(f"{image} names no image by digest, as name@sha256:... or sha256:...")
        for folder in (self.landing, self.store):
            if not folder.startswith("/") or folder != folder.rstrip("/") or {"", ".", ".."} & {*folder[1:].split("/")}:
                raise ValueError(f"{folder} is no absolute path of a folder, in its plainest form")
        if not re.fullmatch(r"[1-9]\d*:\d+", self.user):
            raise ValueError(f"{self.user} is no uid:gid, or root's")


@dataclasses.dataclass(frozen=True)
class Container:
    """A container that may be made: its name, the body for the engine, and the attempt's folder within the store."""

    name: str
    body: dict[str, Any]
    folder: str


def container(policy: Policy, name: str, asked: Any, images: Collection[str]) -> Container:
    """Hold a request for a container against the policy.

    Args:
        asked: the body of the request.
        images: the IDs of the policy's images, on this engine.

    Raises:
        Refused: it is not what a task asks for.
    """
    labels = {label: _text(asked, "Labels", label) for label in (RUN, SHARD, COMMAND, ATTEMPT, DEADLINE)}
    command, shard, attempt = labels[COMMAND], labels[SHARD], labels[ATTEMPT]
    _match(r"[^\x00-\x1f\x7f]{1,250}", labels[RUN], "the label of the run")
    _match(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", shard, "the label of the shard")
    _match(r"\d{2,4}-[0-9a-f]{8}", attempt, "the label of the attempt")
    _check(command in COMMANDS, f"no command is called {command!r}")
    _check_deadline(labels[DEADLINE])
    target = _text(asked, "HostConfig", "Mounts", 2, "Target")
    pattern = rf"/store/(runs/[A-Za-z0-9_-]{{1,80}}/{command}/{shard}/{attempt})"
    folder = _match(pattern, target, "the folder of the attempt")[1]
    image = _text(asked, "Image")
    _check(image in images, f"{image!r} is not the vision image that is set for this deployment")
    body = {
        "User": policy.user,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": False,
        "Image": image,
        "Entrypoint": ["timeout", "--signal=KILL", _seconds(asked), "python", "-m", "vision"],
        "Cmd": [command, "--request", f"{target}/request.json"],
        "Env": _environment(asked),
        "Labels": labels,
        "HostConfig": _host_config(policy, asked, folder),
    }
    _compare(body, asked, "")
    expected = f"strandline-{command}-{shard[:12]}-{attempt}"
    _check(name == expected, f"the container's name is {name!r}, and not {expected!r}")
    body["Labels"] = labels | {MADE_THROUGH: policy.deployment}
    return Container(name, body, folder)


def _host_config(policy: Policy, asked: Any, folder: str) -> dict[str, Any]:
    memory, cores = _number(asked, "HostConfig", "Memory"), _number(asked, "HostConfig", "NanoCpus")
    _check(0 < memory <= policy.memory, f"{memory:,} bytes of memory are not within {policy.memory:,}")
    _check(10**9 <= cores <= policy.cores * 10**9, f"{cores} nanoseconds a second are not 1 to {policy.cores} cores")
    mounts = [("/landing", policy.landing, True), ("/store", policy.store, True)]
    mounts.append((f"/store/{folder}", f"{policy.store}/{folder}", False))
    names = "Target", "Source", "Type", "ReadOnly"
    file = _number(asked, "HostConfig", "Ulimits", 2, "Hard")
    _check(0 < file <= LARGEST, f"a file of {file:,} bytes is not within {LARGEST:,}")
    limits = {"nofile": 1024, "core": 0, "fsize": file}
    config = {
        "NetworkMode": "none",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
        "Init": True,
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": cores,
        "PidsLimit": 256,
        "Ulimits": [{"Name": limit, "Soft": value, "Hard": value} for limit, value in limits.items()],
        "Tmpfs": {"/tmp": f"rw,noexec,nosuid,nodev,size={64 * 2**20}"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        "Mounts": [dict(zip(names, (to, at, "bind", only), strict=True)) for to, at, only in mounts],
    }
    if policy.gpus and _at(asked, "HostConfig", "DeviceRequests") is not None:
        card = _text(asked, "HostConfig", "DeviceRequests", 0, "DeviceIDs", 0)
        _check(card in map(str, range(policy.gpus)), f"card {card!r} is none of the {policy.gpus} of STRANDLINE_GPUS")
        config["DeviceRequests"] = [
            {"Driver": "", "Count": 0, "DeviceIDs": [card], "Capabilities": [["gpu"]], "Options": {}}
        ]
    return config


def _environment(asked: Any) -> list[str]:
    submitted = _text(asked, "Env", 6)
    _match(r"STRANDLINE_SUBMITTED_AT=\d{1,12}(\.\d{1,9})?", submitted, "the last variable")
    home = ["LANG=C.UTF-8", "HOME=/tmp", "MPLCONFIGDIR=/tmp", "PYTHONUNBUFFERED=1"]
    return [*home, "STRANDLINE_LANDING=/landing", "STRANDLINE_STORE=/store", submitted]


def _seconds(asked: Any) -> str:
    """Of the deadline within the container. None and 0 mean that there is none."""
    seconds = _text(asked, "Entrypoint", 2)
    _match(r"\d{1,6}(\.\d{1,6})?", seconds, "the deadline in the entrypoint")
    _check(0 < float(seconds) <= LONGEST, f"a deadline of {seconds} s is not within 0 to {LONGEST:,} s")
    return seconds


def _check_deadline(text: str) -> None:
    try:
        deadline = datetime.datetime.fromisoformat(text)
        ahead = (deadline - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (ValueError, TypeError) as error:
        raise Refused(f"the label of the deadline, {text!r}, is no time with a zone") from error
    _check(ahead <= LONGEST + 60, f"the deadline {text} is later than in {LONGEST:,} s")


def _at(asked: Any, *path: str | int) -> Any:
    """What is at a place of the body; None if nothing is."""
    for step in path:
        if isinstance(step, int):
            asked = asked[step] if isinstance(asked, list) and step < len(asked) else None
        else:
            asked = asked.get(step) if isinstance(asked, Mapping) else None
    return asked


def _text(asked: Any, *path: str | int) -> str:
    found = _at(asked, *path)
    if not isinstance(found, str):
        raise Refused(f"{_place(path)} is no text")
    return found


def _number(asked: Any, *path: str | int) -> int:
    found = _at(asked, *path)
    if not isinstance(found, int) or isinstance(found, bool):
        raise Refused(f"{_place(path)} is no whole number")
    return found


def _place(path: Collection[str | int]) -> str:
    return ".".join(map(str, path))


def _match(pattern: str, text: str, what: str) -> re.Match[str]:
    found = re.fullmatch(pattern, text)
    if not found:
        raise Refused(f"{what} is {text[:200]!r}")
    return found


def _check(right: bool, otherwise: str) -> None:
    if not right:
        raise Refused(otherwise)


def _compare(expected: Any, asked: Any, place: str) -> None:
    """Refuse the first difference, by its place."""
    if isinstance(expected, dict) and isinstance(asked, dict):
        for key in asked.keys() | expected.keys():
            inner = f"{place}.{key}".lstrip(".")
            _check(key in expected, f"{inner} is not for a task to set")
            _check(key in asked, f"{inner} is missing")
            _compare(expected[key], asked[key], inner)
    elif isinstance(expected, list) and isinstance(asked, list) and len(expected) == len(asked):
        for number, (wanted, found) in enumerate(zip(expected, asked, strict=True)):
            _compare(wanted, found, f"{place}.{number}")
    else:
        same = type(expected) is type(asked) and expected == asked
        _check(same, f"{place} is {str(asked)[:200]!r}, and not {str(expected)[:200]!r}")
