"""What there is to see of files that were refused; by real files, and processes that die of them."""

import inputs
import numpy as np
import pytest
from conftest import Drop
from PIL import Image

import strandline_contract as contract
from vision.decoding import preview, sandbox
from vision.decoding.files import File

WHOLE = contract.Limits()


def shown(data: bytes, limits: contract.Limits = WHOLE) -> np.ndarray:
    image = preview.preview(data, limits)
    assert image is not None
    return np.asarray(image, np.int16)


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that makes previews; other tests of this one need the switches as they are."""
    monkeypatch.setattr(preview.ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    monkeypatch.setattr(preview.Image, "MAX_IMAGE_PIXELS", None)
    preview.configure(WHOLE)


def test_of_a_cut_picture_there_is_what_came(drop: Drop):
    photo = inputs.photo(400, 300)
    whole = inputs.encoded(photo, "JPEG", quality=90)
    drop.add(b"cut.jpg", whole[: len(whole) // 2])
    drop.add(b"whole.jpg", whole)
    packed = drop.pack()
    cut = packed.by_name[b"cut.jpg"]
    assert cut["reason"] == "TRUNCATED"
    assert "preview" not in packed.by_name[b"whole.jpg"]
    found = cut["preview"]
    pixels = np.frombuffer(found["pixels"], np.uint8).reshape(found["height"], found["width"], 3).astype(np.int16)
    small = np.asarray(Image.fromarray(photo).resize((found["width"], found["height"])), np.int16)
    assert (found["width"], found["height"]) == (96, 72)
    assert np.abs(pixels[:30] - small[:30]).mean() < 12
    assert np.abs(pixels[-10:] - small[-10:]).mean() > 25


def test_what_is_too_large_or_too_long_is_shown_small(drop: Drop):
    drop.add(b"large.jpg", inputs.encoded(inputs.photo(800, 600), "JPEG"))
    drop.add(b"long.png", inputs.encoded(inputs.photo(900, 30), "PNG"))
    packed = drop.pack(max_pixels=1000, max_jpeg_pixels=10_000)
    large, long = packed.by_name[b"large.jpg"], packed.by_name[b"long.png"]
    assert (large["reason"], long["reason"]) == ("TOO_MANY_PIXELS", "TOO_MANY_PIXELS")
    assert "preview" not in long, "a PNG has no smaller scale to be decoded at"
    packed = drop.pack(max_side=500)
    assert {row["preview"]["width"] for row in packed.outcomes} == {96}


def test_samples_without_a_scale_are_shown_from_dark_to_light():
    ramp = np.linspace(-5, 7, 64 * 64, dtype=np.float32).reshape(64, 64)
    grey = shown(inputs.encoded(ramp, "TIFF"))
    assert grey[0, 0].tolist() == [0, 0, 0]
    assert grey[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP"])
def test_what_is_no_picture_has_no_preview(data: bytes):
    assert preview.preview(data, WHOLE) is None


def test_a_file_that_ends_the_process_has_no_preview_and_the_next_one_has(drop: Drop):
    drop.add(b"deadly.jpg", inputs.many_scans(1500))
    drop.add(b"cut.png", inputs.png()[:-20])
    drop.prepare()
    request = contract.read_request("pack", drop.prepare(cpu_seconds=1))
    assert isinstance(request, contract.PackRequest)
    deadly, cut = (File(name, version, ".jpg") for name, version in drop.listed)
    with sandbox.Sandbox(drop.landing, request) as made:
        assert made.preview(deadly, "CORRUPT") is None
        assert made.preview(cut, "CORRUPT") is not None
        assert [made.preview(deadly, "CORRUPT") for _ in range(sandbox.DEATHS - 1)] == [None] * 3
        assert made.preview(cut, "CORRUPT") is None, "enough processes have died"


def test_a_shard_has_so_many_and_no_more(drop: Drop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox, "PREVIEWS", 3)
    for number in range(5):
        drop.add(b"%d.png" % number, inputs.encoded(inputs.photo(seed=number), "PNG")[:-30])
    request = contract.read_request("pack", drop.prepare())
    assert isinstance(request, contract.PackRequest)
    with sandbox.Sandbox(drop.landing, request) as made:
        found = [made.preview(File(name, version, ".png"), "TRUNCATED") for name, version in drop.listed]
    assert [one is not None for one in found] == [True] * 3 + [False] * 2
