"""A version that computes what the champion was asked, once that is answered: nobody waits for it, or hears of it."""

import asyncio
import sys
import threading

import strandline_contract as contract
from vision.serving import metrics
from vision.serving.model import Model
from vision.serving.picture import Picture
from vision.serving.problems import Problem
from vision.serving.recorder import Recorder
from vision.serving.settings import Settings
from vision.serving.share import is_in

MOST_WAITING = 256  # pictures; what comes beside them is skipped
ANSWERED_SECONDS = 0.01  # after its line is written, a caller has its answer
NICE = 10  # its process has what those who answer leave


class Shadow:
    """Made in the event loop; any thread may call it.

    Attributes:
        rollout: may be another one with the same bundle.
        champion: the version that it is compared with.
        using: pictures chosen that have no line yet.
    """

    def __init__(
        self,
        settings: Settings,
        rollout: contract.Rollout,
        champion: str,
        recorder: Recorder,
        before: "Shadow | None" = None,
    ) -> None:
        """
        Args:
            before: the one of the same bundle that failed.
        """
        self.rollout, self.champion, self.using = rollout, champion, 0
        self._recorder, self._lock = recorder, threading.Lock()
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self._failed_before = before.failure if before else ""
        self.model = Model(settings.store, rollout.bundle, settings.runtime, self, NICE)

    @property
    def failure(self) -> str:
        """Why it cannot be loaded; "" if it can, as far as is known."""
        if not self.model.ready.done():
            return self._failed_before
        error = self.model.ready.exception()
        return (str(error) or type(error).__name__) if error else ""

    def is_unlike(self, model: Model) -> bool:
        """Whether the model's pixels are none for this one."""
        return self.model.is_ready and self.model.rule != model.rule

    def choose(self, pictures: list[Picture]) -> list[Picture]:
        """Those that it is to compute, too: each has to be handed to `follow` or `skip`."""
        rollout = self.rollout
        if not self.model.is_ready:
            return []
        chosen = [picture for picture in pictures if self._is_meant(picture, rollout)]
        with self._lock:
            room = max(0, MOST_WAITING - self.using)
            chosen, late = chosen[:room], chosen[room:]
            self.using += len(chosen)
        _count(late, "BUSY")
        for picture in chosen:
            picture.rollout_id = rollout.rollout_id
        return chosen

    def follow(self, pictures: list[Picture]) -> None:
        """Compute what was chosen, and is on record; soon."""
        self._loop.call_soon_threadsafe(self._loop.call_later, ANSWERED_SECONDS, self._put, pictures)

    def skip(self, pictures: list[Picture], reason: str) -> None:
        """What was chosen gets no line."""
        _count(pictures, reason)
        self._leave(pictures)

    def record(self, pictures: list[Picture]) -> None:
        try:
            self._recorder.record_shadows(pictures)
        except OSError as error:
            print(f"serving: what a shadow says cannot be recorded: {error}", file=sys.stderr)
            self.skip(pictures, "NOT_RECORDED")
        else:
            self._leave(pictures)

    def fail(self, pictures: list[Picture], problem: Problem) -> None:
        self.skip(pictures, problem.reason)

    def close(self) -> None:
        """As a model's."""
        self.model.close()

    def join(self) -> None:
        self.model.join()

    def _is_meant(self, picture: Picture, rollout: contract.Rollout) -> bool:
        return (
            picture.role == "champion"
            and picture.rollout_id is None
            and picture.probabilities is not None
            and picture.model.version == self.champion
            and picture.model.rule == self.model.rule
            and is_in(rollout, picture.image_id)
        )

    def _put(self, pictures: list[Picture]) -> None:
        self.model.put([self._again(picture) for picture in pictures])

    def _again(self, picture: Picture) -> Picture:
        again = Picture(self.model, picture.consumer, b"", arrived=picture.arrived, role="shadow")
        again.pixels, again.shadow_of = picture.pixels, picture.record
        return again

    def _leave(self, pictures: list[Picture]) -> None:
        with self._lock:
            self.using -= len(pictures)


def _count(pictures: list[Picture], reason: str) -> None:
    if pictures:
        metrics.child(metrics.SKIPPED, reason).inc(len(pictures))  # type: ignore[attr-defined]
