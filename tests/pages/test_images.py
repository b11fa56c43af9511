"""Images as PNG: the very pixels that a model saw, read from the shard that the ledger knows."""

import io

import ledger_rows as seeding
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import Request
from ledger_rows import File, Run, digest
from PIL import Image

import strandline_contract as contract
from strandline import settings, tables
from strandline.ingest import load as predictions
from strandline.pages import images

RED = bytes([255, 0, 0] * 32 * 32)


def ask(image_id, **headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return images.read_image(image_id, Request({"type": "http", "headers": raw}))


@pytest.fixture
def shard(database):
    """Of a run that was loaded: the path of its shard."""
    run = Run("run", seeding.register(), [File("a.jpg"), File("b.jpg"), File("copy.jpg", content="b.jpg")])
    run.record()
    run.write_outcomes()
    ((shard_id, files),) = run.shards().items()
    rows = seeding.predictions(seeding.image_ids(files), {digest("a.jpg")})
    pixels = {digest("a.jpg"): bytes(3 * 32 * 32), digest("b.jpg"): RED}
    predictions.load("run", [seeding.write_attempt(run, shard_id, rows, pixels=pixels)])
    return settings.get().store / "shards" / f"{shard_id}.parquet"


def test_an_image_is_what_its_shard_has_whether_it_was_classified_or_not(shard):
    for name, pixels in (("a.jpg", bytes(3 * 32 * 32)), ("b.jpg", RED)):
        answer = ask(digest(name))
        image = Image.open(io.BytesIO(answer.body))
        assert (answer.status_code, answer.media_type, image.format, image.size) == (200, "image/png", "PNG", (32, 32))
        assert image.tobytes() == pixels


def test_a_browser_keeps_an_image_for_itself(shard):
    answer = ask(digest("b.jpg"))
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = ask(digest("b.jpg"), if_none_match=answer.headers["etag"])
    assert (again.status_code, again.body) == (304, b"")
    assert ask(digest("b.jpg"), if_none_match='"another"').status_code == 200


@pytest.mark.parametrize("loss", ["shard", "request", "other", "pixels"])
def test_an_image_that_the_store_has_no_more_is_a_picture_that_says_so(shard, loss):
    (request,) = settings.get().store.glob("runs/*/classify/*/*/request.json")
    if loss == "shard":
        shard.unlink()
    elif loss == "request":
        request.write_text(request.read_text().replace("openvino", "mxnet"))
    elif loss == "other":
        shard.write_bytes(b"PAR1")
    else:
        columns = tables.among(contract.SHARD_COLUMNS, "image_id", "pixels")
        seeding.write_table(shard, columns, [{"image_id": digest("b.jpg"), "pixels": b"more"}])
    answer = ask(digest("b.jpg"))
    assert (answer.status_code, answer.media_type, answer.headers["cache-control"]) == (
        404,
        "image/svg+xml",
        "no-store",
    )
    assert b"gone" in answer.body


def test_an_image_that_never_was_is_a_picture_that_says_so(database):
    assert ask(digest("nothing")).status_code == 404


def test_of_a_shard_one_group_of_pixels_is_read(tmp_path, monkeypatch):
    names = [digest(str(number)) for number in range(1000)]
    pixels = [np.uint8(number % 256).tobytes() * 12 for number in range(1000)]
    pq.write_table(pa.table({"image_id": names, "pixels": pixels}), tmp_path / "shard", row_group_size=100)
    read = []
    whole = pq.ParquetFile.iter_batches

    def watch(file, size, **asked):
        read.append((asked["row_groups"], asked["columns"]))
        return whole(file, size, **asked)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watch)
    assert tables.pixels(tmp_path / "shard", names[250]) == pixels[250]
    assert read == [([group], ["image_id"]) for group in range(3)] + [([2], ["image_id", "pixels"])]
    assert tables.pixels(tmp_path / "shard", digest("nothing")) is None
    read.clear()
    assert tables.read(tmp_path / "shard", [("pixels", "binary")]).num_rows == 1000
    assert read == [(None, ["pixels"])]
