"""What answers pictures: all that is behind the addresses."""

import asyncio
import hashlib
import sys

import strandline_contract as contract
from vision.serving import metrics
from vision.serving.album import Album
from vision.serving.body import Bodies
from vision.serving.decoders import Decoders
from vision.serving.deployment import Deployment
from vision.serving.picture import PIXELS, Answering, Picture, Request, finish
from vision.serving.problems import Problem
from vision.serving.recorder import Recorder
from vision.serving.settings import Settings
from vision.serving.spool import Spool


class Service:
    """Belongs to the event loop in which it is made.

    Raises:
        OSError: the serving folder cannot be written, or the name is taken.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self.bodies = Bodies(settings)
        self._waiting = 0
        spool = Spool(settings.folder, settings.server)
        album = Album(settings.folder, settings.server, settings.kept_share, settings.kept_bytes)
        self.recorder = Recorder(settings.server, spool, album, self._finish_soon)
        self.deployment = Deployment(settings, self.recorder)
        self._decoders = Decoders(settings.decoders, settings.limits, self.recorder)

    async def start(self) -> None:
        """
        Raises:
            RuntimeError: no decoding process starts.
        """
        await asyncio.to_thread(self._decoders.start)
        self._following = asyncio.create_task(self.deployment.follow())
        self._following.add_done_callback(_ended)

    async def stop(self) -> None:
        """Once no request is under way."""
        self._following.cancel()
        await asyncio.to_thread(self._decoders.close)
        self.deployment.close()
        await asyncio.to_thread(self.deployment.join)
        await asyncio.to_thread(self.recorder.spool.close)

    def files(
        self, answering: Answering, consumer: str, files: list[tuple[str, bytes]], arrived: float
    ) -> list[Picture]:
        """Pictures of (name, content)."""
        return [_picture(answering, consumer, data, arrived, name) for name, data in files]

    def pixels(
        self, answering: Answering, consumer: str, images: list[bytes], shape: tuple[int, ...], arrived: float
    ) -> list[Picture]:
        """Pictures that came decoded.

        Raises:
            Problem: they are not of the model's size.
        """
        rule = answering.model.rule
        height, width = rule.height, rule.width
        if shape != (height, width, 3):
            raise Problem("BAD_REQUEST", f"the model's pixels are [n, {height}, {width}, 3], not {['n', *shape]}")
        pictures = [_picture(answering, consumer, data, arrived) for data in images]
        for picture in pictures:
            picture.image_id = hashlib.sha256(picture.data).hexdigest()
            picture.pixels, picture.format, picture.width, picture.height = picture.data, PIXELS, width, height
        return pictures

    async def answer(self, pictures: list[Picture]) -> None:
        """Each has a record or a problem then.

        Raises:
            Problem: too many wait already.
        """
        if self._waiting + len(pictures) > self.settings.max_waiting and self._waiting:
            raise Problem("BUSY", f"{self._waiting} pictures are under way", 1)
        request = Request(pictures)
        self._waiting += len(pictures)
        for picture in pictures:
            picture.model.using += 1
        if decoded := [picture for picture in pictures if picture.pixels]:
            decoded[0].model.put(decoded)
        if files := [picture for picture in pictures if not picture.pixels]:
            self._decoders.put(files)
        await asyncio.shield(request.answered)

    def measure(self) -> None:
        """What is known only when it is asked."""
        spool = self.recorder.spool
        segments, size = spool.backlog()
        metrics.SPOOL_SEGMENTS.set(segments)
        metrics.SPOOL_BYTES.set(size)
        metrics.SPOOL_LINES.set(spool.lines)
        metrics.WAITING.set(self._waiting)
        self.deployment.measure()

    def _finish_soon(self, pictures: list[Picture]) -> None:
        self._loop.call_soon_threadsafe(self._finish, pictures)

    def _finish(self, pictures: list[Picture]) -> None:
        self._waiting -= len(pictures)
        finish(pictures)


def _picture(answering: Answering, consumer: str, data: bytes, arrived: float, name: str = "") -> Picture:
    picture = Picture(answering.model, consumer, data, name, arrived)
    picture.role, picture.rollout_id = answering.role, answering.rollout_id
    return picture


def _ended(following: "asyncio.Task[None]") -> None:
    if not following.cancelled() and (error := following.exception()):
        print(f"serving: the deployment is no longer followed: {error!r}", file=sys.stderr)


def result(picture: Picture) -> dict[str, object]:
    """What `/classify` says of a picture: its answer, or its problem."""
    record = picture.record
    if record is None or record.label is None:
        return problem(picture).to_dict()
    return {
        "label": record.label,
        "confidence": record.confidence,
        "probabilities": dict(zip(picture.model.classes, record.probabilities or (), strict=True)),
        "model_version": record.version,
        "prediction_id": record.prediction_id,
        "image_id": record.image_id,
        "format": record.format,
        "width": record.width,
        "height": record.height,
        "notes": (record.notes or "").split(),
    }


def problem(picture: Picture) -> Problem:
    """Why it has no answer."""
    if picture.problem or picture.record is None:
        return picture.problem or Problem("FAILED", "no answer")
    record: contract.ServedPrediction = picture.record
    reason = record.reason or record.failure or "FAILED"
    detail = record.detail or "the network gives no answer to this picture"
    return Problem(reason, detail, prediction_id=record.prediction_id, model_version=record.version)
