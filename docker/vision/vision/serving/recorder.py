"""Puts what becomes of pictures on record, before anybody is told."""

import dataclasses
import datetime
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import strandline_contract as contract
from vision.serving import metrics
from vision.serving.album import Album
from vision.serving.picture import PIXELS, Picture
from vision.serving.problems import Problem
from vision.serving.spool import Spool

if TYPE_CHECKING:
    from vision.serving.shadow import Shadow


class Recorder:
    """
    Args:
        finish: told of pictures that have a record or a problem; called from any thread.

    Attributes:
        shadow: computes the pictures, too, once they are answered.
    """

    def __init__(self, server: str, spool: Spool, album: Album, finish: Callable[[list[Picture]], None]) -> None:
        self.server, self.spool, self._album, self._finish = server, spool, album, finish
        self.shadow: Shadow | None = None

    def record(self, pictures: list[Picture]) -> None:
        """Keep the pictures, write their lines, and finish them."""
        at = now()
        kept = [self._keep(picture) for picture in pictures]
        shadow = self.shadow  # another thread may change it
        shadowed = shadow.choose(pictures) if shadow else []
        lines = [partial(_line, self.server, at, *each) for each in zip(pictures, kept, strict=True)]
        try:
            for picture, line in zip(pictures, self.spool.append(lines), strict=True):
                assert isinstance(line, contract.ServedPrediction)
                picture.record = line
        except OSError as error:
            print(f"serving: answers cannot be recorded: {error}", file=sys.stderr)
            problem = Problem("NOT_RECORDED", "the answer cannot be recorded: no answer is given without a record", 5)
            if shadow:
                shadow.skip(shadowed, problem.reason)
            self.fail(pictures, problem)
            return
        metrics.recorded(pictures)
        self._finish(pictures)
        if shadow and shadowed:
            shadow.follow(shadowed)

    def record_shadows(self, pictures: list[Picture]) -> None:
        """Write their lines.

        Raises:
            OSError: not all of them are written.
        """
        at = now()
        self.spool.append([partial(_shadow_line, at, picture) for picture in pictures])
        metrics.predicted(pictures)

    def fail(self, pictures: list[Picture], problem: Problem) -> None:
        """Finish pictures that get no answer."""
        for picture in pictures:
            picture.problem = problem
        self._finish(pictures)

    def feedback(self, consumer: str, prediction_id: str, label: str) -> None:
        """
        Raises:
            OSError: it is not written.
        """
        at = now()
        self.spool.append(
            [lambda number: contract.ServedFeedback(self.server, number, at, consumer, prediction_id, label)]
        )

    def _keep(self, picture: Picture) -> bool:
        decoded = picture.reason is None and picture.format != PIXELS
        return decoded and self._album.keep(picture.image_id, picture.data)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def _line(server: str, at: str, picture: Picture, kept: bool, sequence: int) -> contract.ServedPrediction:
    return contract.ServedPrediction(
        server=server,
        consumer=picture.consumer,
        image_id=picture.image_id,
        bytes=len(picture.data),
        status=picture.status,
        kept=kept,
        reason=picture.reason,
        detail=picture.detail,
        notes=picture.notes,
        format=picture.format,
        width=picture.width,
        height=picture.height,
        rollout_id=picture.rollout_id,
        **_said(at, picture, sequence),
    )


def _shadow_line(at: str, picture: Picture, sequence: int) -> contract.ServedPrediction:
    """As the answer that was given, but for what the network says."""
    assert picture.shadow_of is not None
    said = _said(at, picture, sequence)
    return dataclasses.replace(picture.shadow_of, shadow_of=picture.shadow_of.prediction_id, **said)


def _said(at: str, picture: Picture, sequence: int) -> dict[str, Any]:
    """What a line says of the answer: which one it is, when and by whom it was computed, and what it is."""
    label = confidence = None
    if picture.probabilities is not None:
        label, confidence = best(picture.model.classes, picture.probabilities)
    return {
        "sequence": sequence,
        "prediction_id": str(uuid.uuid4()),
        "at": at,
        "version": picture.model.version,
        "seconds": time.perf_counter() - picture.arrived,
        "label": label,
        "confidence": confidence,
        "probabilities": picture.probabilities,
        "failure": picture.failure,
        "versions": picture.versions,
        "role": picture.role,
    }


def best(classes: Sequence[str], probabilities: tuple[float, ...]) -> tuple[str, float]:
    """The likeliest class, the first of several, and its probability."""
    confidence = max(probabilities)
    return classes[probabilities.index(confidence)], confidence
