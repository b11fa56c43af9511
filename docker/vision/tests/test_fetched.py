"""Files that somebody else brings while they are decoded: each by its number, in order, and gone afterwards."""

import json
import time
from pathlib import Path

import inputs
import numpy as np
import pytest
from conftest import Drop

import strandline_contract as contract
from vision.decoding import sandbox


class Bringing:
    """What a fetcher does: files get their names once they are whole."""

    def __init__(self, request: Path) -> None:
        self.place = request.parent / contract.FETCHED_FOLDER
        self.place.mkdir()

    def bring(self, number: int, content: bytes) -> None:
        self._whole(str(number), content)

    def refuse(self, number: int, reason: str, detail: str) -> None:
        self._whole(f"{number}{contract.REFUSED_SUFFIX}", json.dumps({"reason": reason, "detail": detail}).encode())

    def _whole(self, name: str, content: bytes) -> None:
        partial = self.place / f"{name}.partial"
        partial.write_bytes(content)
        partial.rename(self.place / name)

    def await_room(self) -> None:
        deadline = time.monotonic() + 60
        while any(self.place.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def drop(tmp_path) -> Drop:
    """What a bucket lists: nothing of it lies anywhere here."""
    return Drop(tmp_path)


def test_files_are_decoded_as_they_come_and_removed(drop):
    """Whatever order they come in, and however few may lie there at once."""
    content = inputs.png()
    names = [b"a.png", b"../b.jpg", b"c//", b"gone.png", b"d.png"]
    drop.listed = [(name, f"{len(content)}-eabc") for name in names]
    request = drop.prepare(root="fetched")
    bringing = Bringing(request)
    with drop.packing(request) as process:
        bringing.bring(4, content)
        bringing.refuse(3, "MISSING", "gone\nfor good")
        for number in (2, 1, 0):
            bringing.bring(number, content)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    rows = drop.packed(request.parent).outcomes
    assert [row["status"] for row in rows] == ["decoded", "decoded", "decoded", "vanished", "decoded"]
    assert (rows[3]["reason"], rows[3]["detail"]) == ("MISSING", "gone?for good")
    assert [row["notes"] for row in rows[:3]] == [None, "EXT_MISMATCH", "EXT_MISMATCH"]
    assert not list(bringing.place.iterdir())


def test_what_was_decoded_makes_room_before_all_have_come(drop):
    content = inputs.png()
    drop.listed = [(b"%d.png" % number, f"{len(content)}-eabc") for number in range(100)]
    request = drop.prepare(root="fetched")
    bringing = Bringing(request)
    with drop.packing(request) as process:
        for number in range(64):
            bringing.bring(number, content)
        bringing.await_room()
        assert process.poll() is None
        for number in range(64, 100):
            bringing.bring(number, content)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert drop.packed(request.parent).result.counts["decoded"] == 100


def test_there_is_room_for_all_that_is_awaited_together():
    """Else each side would wait for the other."""
    assert sandbox.CHUNK_BYTES <= contract.FETCHED_BYTES
    assert sandbox.CHUNK_FILES <= contract.FETCHED_FILES


def test_a_file_that_kills_its_process_is_still_there_for_the_next_try(drop):
    """The others of its chunk are decoded again."""
    large = inputs.encoded(np.zeros((5000, 5000, 3), np.uint8), "PNG")
    contents = [inputs.png(), large, inputs.png()]
    drop.listed = [(b"%d.png" % number, f"{len(content)}-eabc") for number, content in enumerate(contents)]
    request = drop.prepare(root="fetched", memory_bytes=64 * 2**20)
    bringing = Bringing(request)
    for number, content in enumerate(contents):
        bringing.bring(number, content)
    with drop.packing(request) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert [row["reason"] for row in drop.packed(request.parent).outcomes] == [None, "OUT_OF_MEMORY", None]
    assert not list(bringing.place.iterdir())


def test_what_is_refused_is_shown_before_it_is_removed(drop):
    cut, whole = inputs.jpeg()[:-300], inputs.png()
    drop.listed = [(b"cut.jpg", f"{len(cut)}-eabc"), (b"whole.png", f"{len(whole)}-eabc"), (b"no.txt", "3-eabc")]
    request = drop.prepare(root="fetched")
    bringing = Bringing(request)
    with drop.packing(request) as process:
        for number, content in enumerate((cut, whole, b"no.")):
            bringing.bring(number, content)
        bringing.await_room()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    packed = drop.packed(request.parent)
    assert [row["reason"] for row in packed.outcomes] == ["TRUNCATED", None, "UNIDENTIFIED"]
    assert ["preview" in row for row in packed.outcomes] == [True, False, False]
