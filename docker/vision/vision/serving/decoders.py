"""Threads that hand files to decoding processes, a process each, and pixels on to the network."""

import hashlib
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import strandline_contract as contract
from strandline_contract.reasons import NOTES, STATUS_OF
from vision.decoding import sandbox
from vision.decoding.refused import printable
from vision.serving.picture import Picture
from vision.serving.problems import Problem
from vision.serving.recorder import Recorder
from vision.serving.waiting import Waiting

CHUNK_FILES = 8  # that a process gets at once: those behind a slow one wait for it
CHUNK_BYTES = 2**20  # unless one alone has more
MAX_SIDE = 2**31  # pixels that a file may say it has


class Decoders:
    def __init__(self, count: int, limits: contract.Limits, recorder: Recorder) -> None:
        self._waiting: Waiting[Picture] = Waiting()
        self._recorder, self._count = recorder, count
        self._decoders = [sandbox.Decoder(limits) for _ in range(count)]
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in self._decoders]

    def start(self) -> None:
        """
        Raises:
            RuntimeError: a decoding process does not start.
        """
        for decoder in self._decoders:
            decoder.start()
        for thread in self._threads:
            thread.start()

    def put(self, pictures: list[Picture]) -> None:
        """Each is handed on to its model, or is finished with the reason why it is refused."""
        self._waiting.put(pictures)

    def close(self) -> None:
        self._waiting.close()
        for thread in self._threads:
            thread.join()
        for decoder in self._decoders:
            decoder.close()

    def _run(self, decoder: sandbox.Decoder) -> None:
        while chunk := self._waiting.take(CHUNK_FILES, self._count):
            for pictures in _alike(chunk):
                self._decode(decoder, pictures, pictures[0].model.rule)

    def _decode(self, decoder: sandbox.Decoder, pictures: list[Picture], rule: contract.ResizeRule) -> None:
        try:
            for picture in pictures:
                picture.image_id = hashlib.sha256(picture.data).hexdigest()
            answer = decoder.decode([sandbox.Picture(each.data, each.extension) for each in pictures], rule)
            pixels = iter(answer.pixels)
            for picture, outcome in zip(pictures, answer.outcomes, strict=True):
                _take(picture, outcome)
                picture.pixels = next(pixels) if picture.reason is None else b""
        except Exception:  # noqa: BLE001 - whatever it is, it costs these pictures
            traceback.print_exc(file=sys.stderr)
            self._recorder.fail(pictures, Problem("FAILED", "the picture could not be decoded: no fault of its own"))
            return
        if refused := [picture for picture in pictures if picture.reason is not None]:
            self._recorder.record(refused)
        if decoded := [picture for picture in pictures if picture.reason is None]:
            decoded[0].model.put(decoded)


def _alike(chunk: list[Picture]) -> Iterator[list[Picture]]:
    """Those of one model, and few bytes: what the others hold of a process's memory, a picture cannot have."""
    together: list[Picture] = []
    room = CHUNK_BYTES
    for picture in chunk:
        if together and (picture.model is not together[0].model or len(picture.data) > room):
            yield together
            together, room = [], CHUNK_BYTES
        together.append(picture)
        room -= len(picture.data)
    yield together


def _take(picture: Picture, outcome: dict[str, Any]) -> None:
    """What a decoding process says of a picture: hostile bytes may have taken it over, so nothing goes unlooked at.

    Raises:
        KeyError, TypeError, ValueError: it says what no decoder would.
    """
    picture.reason = outcome["reason"]
    if picture.reason is not None:
        picture.status = STATUS_OF[picture.reason]
        picture.detail = printable(str(outcome["detail"]))
    notes = [note for note in (outcome["notes"] or "").split() if note in NOTES]
    picture.notes = " ".join(note for note in notes if picture.name or note != "EXT_MISMATCH") or None
    picture.format = outcome["format"] if outcome["format"] in contract.FORMATS else None
    picture.width, picture.height = _side(outcome["width"]), _side(outcome["height"])


def _side(said: object) -> int | None:
    if said is None or (isinstance(said, int) and 0 <= said < MAX_SIDE):
        return said
    raise ValueError(f"a side of {said!r} pixels")
