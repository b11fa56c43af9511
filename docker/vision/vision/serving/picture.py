"""One picture of a request, on its way."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import strandline_contract as contract
from vision.serving.problems import Problem

if TYPE_CHECKING:
    from vision.serving.model import Model

PIXELS = "pixels"  # the format of what came decoded


Role = Literal["champion", "pinned", "canary", "shadow"]


@dataclass(frozen=True, slots=True)
class Answering:
    """The version that answers a caller, as what, and in which comparison."""

    model: "Model"
    role: Role = "champion"
    rollout_id: str | None = None


@dataclass(eq=False, slots=True)
class Picture:
    """`data`: a file, or pixels if `format` says so. `pixels`: uint8, height x width x 3 of the model, once decoded.

    `record` is what its answer is, once it is in the spool; `problem` is why it has none. `shadow_of`: the answer that
    was given, if this is the same picture for a shadow.
    """

    model: "Model"
    consumer: str
    data: bytes
    name: str = ""
    arrived: float = field(default_factory=time.perf_counter)
    image_id: str = ""
    status: str = "decoded"
    reason: str | None = None
    detail: str | None = None
    notes: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    pixels: bytes = b""
    probabilities: tuple[float, ...] | None = None
    failure: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    record: contract.ServedPrediction | None = None
    problem: Problem | None = None
    request: "Request | None" = None
    role: Role = "champion"
    rollout_id: str | None = None
    shadow_of: contract.ServedPrediction | None = None

    @property
    def extension(self) -> str:
        """Of its name, with the dot, in lower case; "" if it has none."""
        _, dot, last = self.name.rpartition(".")
        return f".{last.lower()}" if dot else ""


class Request:
    """Pictures that are answered together; belongs to the event loop."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = pictures
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = len(pictures)
        for picture in pictures:
            picture.request = self

    def finish_one(self) -> None:
        self._left -= 1
        if not self._left and not self.answered.done():
            self.answered.set_result(None)


def finish(pictures: list[Picture]) -> None:
    """They have a record or a problem. In the event loop."""
    for picture in pictures:
        picture.model.using -= 1
        if picture.request:
            picture.request.finish_one()
