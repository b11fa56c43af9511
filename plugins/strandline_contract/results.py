"""How a command ends: by its exit code, and by the result that seals its files."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from strandline_contract.files import (
    BUNDLE_FOLDER,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REQUEST_BYTES,
    REQUEST_FILE,
    RESULT_FILE,
    is_whole,
    plain_name,
    read_file,
    sha256_file,
    write_json,
)
from strandline_contract.messages import BadRequest, Message, NoResult

EXIT_DONE = 0
EXIT_BAD_REQUEST = 64  # do not retry: the request itself is wrong
EXIT_BAD_INPUT = 65  # do not retry: an input is not what its hash says
EXIT_FAILED = 70  # retry
EXIT_TEMPORARY = 75  # retry
DO_NOT_RETRY = frozenset({EXIT_BAD_REQUEST, EXIT_BAD_INPUT})


@dataclasses.dataclass(frozen=True)
class Result(Message):
    """What an attempt did. `request` is the SHA-256 of the request it answers; `files` maps each output to its
    SHA-256; `counts` are rows, `seconds` wall-clock by phase, `versions` of the libraries that decided the values.
    """

    command: str
    request: str
    files: dict[str, str]
    counts: dict[str, int]
    seconds: dict[str, float]
    versions: dict[str, str]
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in self.files:
            plain_name(name.removeprefix(f"{BUNDLE_FOLDER}/"))
        if len(self.files) > MAX_FILES or {REQUEST_FILE, RESULT_FILE, BUNDLE_FOLDER} & self.files.keys():
            raise BadRequest(f"a result names {MAX_FILES} files at the most, and neither itself nor its request")


def write_result(
    folder: Path,
    command: str,
    files: Iterable[str],
    counts: dict[str, int],
    seconds: dict[str, float],
    versions: dict[str, str],
    device: str = "cpu",
) -> Result:
    """Seal an attempt: hash its outputs and rename `result.json` into place."""
    result = Result(
        command=command,
        request=sha256_file(folder / REQUEST_FILE),
        files={name: sha256_file(folder / name) for name in files},
        counts=counts,
        seconds={phase: round(value, 4) for phase, value in seconds.items()},
        versions=versions,
        device=device,
    )
    write_json(folder / RESULT_FILE, result.to_dict())
    return result


def read_result(folder: Path, command: str, max_bytes: int = MAX_FILE_BYTES) -> Result:
    """The result of a sealed attempt, checked against the request and the files that lie beside it.

    Raises:
        NoResult: no result, a result of something else, or an output that is missing, altered, no regular file, or
            larger than `max_bytes`.
    """
    path = folder / RESULT_FILE
    try:
        result = Result.from_json(read_file(path))
    except (OSError, BadRequest) as error:
        raise NoResult(f"{path} cannot be read ({error}): the attempt did not happen, run it again") from error
    if result.command != command or not is_whole(folder, REQUEST_FILE, result.request, MAX_REQUEST_BYTES):
        raise NoResult(f"{path} answers another request: the attempt did not happen, run it again")
    for name, digest in result.files.items():
        if not is_whole(folder, name, digest, max_bytes):
            raise NoResult(f"{folder / name} is missing or not what {path} says: run the attempt again")
    return result
