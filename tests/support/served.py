"""Spools as serving processes leave them: real files, written line by line, by a process that holds its lock."""

import dataclasses
import datetime
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import strandline_contract as contract
from strandline import ledger, settings

AT = datetime.datetime(2026, 11, 21, 8, 20, tzinfo=datetime.UTC)


class Server:
    """A serving process: it answers by writing a line, keeps pictures, and dies."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version, self.sequence, self.segment = name, version, 0, 1
        self.folder = settings.get().serving_folder / contract.SPOOLS_FOLDER / name
        self.folder.mkdir(parents=True)
        self._lock = (self.folder / contract.LOCK_FILE).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.utime(self._lock.fileno(), (0, 0))  # it runs for long already

    @property
    def path(self) -> Path:
        return self.folder / f"{self.segment}.jsonl"

    def prediction(self, **changes: Any) -> contract.ServedPrediction:
        """The next answer."""
        self.sequence += 1
        number = f"{self.name}-{self.sequence}"
        answer = contract.ServedPrediction(
            server=self.name,
            sequence=self.sequence,
            prediction_id=number,
            at=AT.isoformat(),
            consumer=contract.ANONYMOUS,
            version=self.version,
            image_id="0" * 64,
            bytes=100,
            status="ok",
            seconds=0.004,
            format="JPEG",
            width=32,
            height=32,
            label="cat",
            confidence=0.7,
            probabilities=(0.7, 0.2, 0.1),
            versions={"backend": "openvino"},
        )
        return dataclasses.replace(answer, **changes)

    def answer(self, count: int = 1, **changes: Any) -> contract.ServedPrediction:
        """Write answers; the last of them."""
        answers = [self.prediction(**changes) for _ in range(count)]
        self.write(b"".join(map(line, answers)))
        return answers[-1]

    def keep(self, content: bytes, image_id: str, **changes: Any) -> contract.ServedPrediction:
        """Keep a picture, and answer."""
        kept = settings.get().serving_folder / contract.PICTURES_FOLDER / self.name
        kept.mkdir(parents=True, exist_ok=True)
        (kept / image_id).write_bytes(content)
        return self.answer(image_id=image_id, bytes=len(content), kept=True, **changes)

    def feedback(self, prediction_id: str, label: str, consumer: str = contract.ANONYMOUS) -> None:
        self.sequence += 1
        said = contract.ServedFeedback(self.name, self.sequence, AT.isoformat(), consumer, prediction_id, label)
        self.write(line(said))

    def write(self, raw: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(raw)

    def rotate(self) -> None:
        """Go on in a new segment."""
        self.segment = self.sequence + 1

    def die(self) -> None:
        self._lock.close()


def line(message: contract.Message) -> bytes:
    return json.dumps(message.to_dict()).encode() + b"\n"


def rows(statement: str, *parameters: Any) -> list[tuple]:
    with ledger.connect("serving") as connection:
        return [tuple(row.values()) for row in connection.execute(statement, parameters)]


def recorded() -> list[tuple]:
    """Server and number of each answer that is in the ledger."""
    return rows("SELECT server, sequence FROM served_predictions ORDER BY 1, 2")
