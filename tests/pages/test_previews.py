"""What there is to see of refused files: the pixels that the decoding sandbox made, and nothing of what landed."""

import io
from pathlib import Path

import pytest
from ledger_rows import File, Run, digest, refused, register, rejected, write_table
from PIL import Image

import strandline_contract as contract
from strandline import ledger, settings
from strandline.ingest import load
from strandline.pages import images

RED, BLUE = bytes([255, 0, 0] * 8 * 4), bytes([0, 0, 255] * 8 * 4)
SHARD = digest("shard 1")


@pytest.fixture
def run(database) -> Run:
    """Of a shard: an image, two refused files, and one that an expectation refused; beside it, one never opened."""
    aside = File("aside.jpg", state="quarantined", reason="SET_ASIDE")
    files = [File("fine.jpg"), refused("cut.jpg"), refused("empty.jpg", "EMPTY"), aside, rejected("notes.txt")]
    run = Run("run", register(), files)
    load.load(run.run_id, run.ready())
    return run


def pack(run: Run, attempt: str, previews: list[dict] | None) -> Path:
    """A sealed attempt with these previews; with none, one of before there were any."""
    folder = settings.get().run_folder(run.run_id) / "pack" / SHARD / attempt
    folder.mkdir(parents=True)
    contract.write_json(folder / contract.REQUEST_FILE, {})
    outputs = [contract.SHARD_FILE]
    pixels = [{"image_id": digest("aside.jpg"), "pixels": bytes(3 * 4 * 4)}]
    columns = [column for column in contract.SHARD_COLUMNS if column[0] in ("image_id", "pixels")]
    write_table(folder / contract.SHARD_FILE, columns, pixels)
    if previews is not None:
        write_table(folder / contract.PREVIEWS_FILE, contract.PREVIEW_COLUMNS, previews)
        outputs.append(contract.PREVIEWS_FILE)
    contract.write_result(folder, "pack", outputs, {}, {}, {})
    return folder


def preview(entry: int, pixels: bytes = RED, width: int = 8, height: int = 4) -> dict:
    return {"entry": entry, "width": width, "height": height, "pixels": pixels}


def entry(name: str) -> int:
    with ledger.connect("analyst") as connection:
        rows = ledger.fetch(connection, "select_files_by_start", {"name": name, "path": name, "limit": 1, **FIRST})
    return rows[0]["entry_id"]


FIRST = {"after": 0, "after_key": ""}


def shown(name: str) -> Image.Image | None:
    answer = images.read_refused(entry(name))
    assert answer.status_code == 200, "that there is nothing to see is no error"
    if answer.media_type == "image/svg+xml":
        assert b"no view" in answer.body
        assert answer.headers["cache-control"] == "no-store"
        return None
    assert answer.media_type == "image/png"
    return Image.open(io.BytesIO(answer.body))


def test_a_refused_file_is_shown_as_the_sandbox_made_it(run):
    pack(run, "01-aaaaaaaa", [preview(1)])
    found = shown("cut.jpg")
    assert (found.size, found.tobytes()) == ((8, 4), RED)
    assert shown("empty.jpg") is None


def test_what_an_expectation_refused_is_shown_as_its_shard_has_it(run):
    pack(run, "01-aaaaaaaa", [])
    assert shown("aside.jpg").tobytes() == bytes(3 * 4 * 4)


def test_what_is_an_image_or_was_never_opened_has_no_preview(run):
    pack(run, "01-aaaaaaaa", [preview(number) for number in range(4)])
    assert shown("fine.jpg") is None
    assert shown("notes.txt") is None
    assert b"no view" in images.read_refused(10**9).body


def test_the_last_attempt_counts(run):
    pack(run, "01-ffffffff", [preview(1)])
    pack(run, "02-aaaaaaaa", [preview(1, BLUE)])
    assert shown("cut.jpg").tobytes() == BLUE


def test_an_attempt_of_before_there_were_previews_has_none(run):
    pack(run, "01-aaaaaaaa", None)
    assert shown("cut.jpg") is None


@pytest.mark.parametrize("loss", ["gone", "altered", "no table", "other size", "no size"])
def test_what_is_not_whole_is_not_shown(run, loss, caplog):
    rows = [preview(1, width={"other size": 9, "no size": -8}.get(loss, 8))]
    path = pack(run, "01-aaaaaaaa", rows) / contract.PREVIEWS_FILE
    if loss == "gone":
        path.unlink()
    elif loss == "altered":
        path.write_bytes(path.read_bytes() + b" ")
    elif loss == "no table":
        path.write_bytes(b"PAR1")
        contract.write_result(path.parent, "pack", [path.name], {}, {}, {})
    assert shown("cut.jpg") is None
    assert "a refused file cannot be shown" in caplog.text
