"""What today's phones and cameras write: several images in one file, 50 to 200 megapixels, HEIC and AVIF."""

import io
import struct
from pathlib import Path

import inputs
import numpy as np
import pillow_heif
import pytest
import pyvips
from conftest import Drop
from PIL import Image

import strandline_contract as contract

ALL = contract.FORMATS


def pixels_of(drop: Drop, name: bytes, height: int, width: int, **limits) -> tuple[dict, np.ndarray]:
    packed = drop.pack(height=height, width=width, **limits)
    row = packed.by_name[name]
    assert row["reason"] is None, row["detail"]
    return row, np.frombuffer(packed.pixels(name), np.uint8).reshape(height, width, 3).astype(int)


def quarters(width: int, height: int) -> bytes:
    """A JPEG of four colours, made by libvips, which never holds it whole."""
    small = pyvips.Image.new_from_array(np.array([[[200, 0, 0], [0, 200, 0]], [[0, 0, 200], [90, 90, 90]]], np.uint8))
    large = small.copy(interpretation="srgb").resize(width / 2, vscale=height / 2, kernel="nearest")
    return large.write_to_buffer(".jpg", Q=70, keep="none")


@pytest.mark.parametrize(
    ("width", "height", "reduced"), [(8160, 6144, False), (16320, 12240, True)], ids=["50-megapixels", "200-megapixels"]
)
def test_a_phones_largest_picture_is_decoded_within_the_memory_of_any_other(
    drop: Drop, width: int, height: int, reduced: bool
):
    drop.add(b"x.jpg", quarters(width, height))
    row, found = pixels_of(drop, b"x.jpg", 32, 32, memory_bytes=600 * 2**20)
    assert (row["width"], row["height"]) == (width, height)
    assert (row["notes"] == "REDUCED") == reduced
    # libvips scales the four samples about their centres: what is 4 pixels from the edges between them is sure.
    for rows, columns, colour in [(0, 0, (200, 0, 0)), (0, 1, (0, 200, 0)), (1, 0, (0, 0, 200)), (1, 1, (90, 90, 90))]:
        part = found[rows * 20 : rows * 20 + 12, columns * 20 : columns * 20 + 12]
        assert np.abs(part - colour).max() <= 4


def test_a_photograph_takes_no_more_memory_than_what_is_seen_of_it(drop: Drop):
    """50 megapixels are 150 MB, of which a model sees a thousandth; as many such limits as there are processes hold."""
    content = quarters(8160, 6144)
    for number in range(4):
        drop.add(b"%d.jpg" % number, content + bytes(number))
    rows = drop.pack(height=224, width=224, workers=2, memory_bytes=64 * 2**20).outcomes
    assert [row["reason"] for row in rows] == [None] * 4
    rows = drop.pack(height=2000, width=2000, workers=2, memory_bytes=64 * 2**20).outcomes
    assert [row["reason"] for row in rows] == ["OUT_OF_MEMORY"] * 4


def test_a_reduced_picture_is_turned_upright_and_keeps_its_size_on_record(drop: Drop):
    exif = Image.Exif()
    exif[0x0112] = 6
    corners = Image.fromarray(inputs.corner_marked()).resize((2000, 1200), Image.Resampling.NEAREST)
    drop.add(b"x.jpg", inputs.encoded(corners, "JPEG", quality=95, exif=exif.tobytes()))
    row, found = pixels_of(drop, b"x.jpg", 100, 60, max_pixels=100_000)
    assert (row["width"], row["height"]) == (1200, 2000)
    assert row["notes"].split() == ["EXIF_DROPPED", "REDUCED", "ORIENTED"]
    assert found[2, -3, 0] > 180 > 60 > found[2, -3, 1]  # the red corner, at the top right


def test_only_jpeg_has_more_pixels_than_the_limit_and_not_without_end(drop: Drop):
    drop.add(b"x.jpg", inputs.jpeg())
    drop.add(b"x.png", inputs.png())
    pixels = inputs.SIDE**2
    for limits, reasons in [
        ({"max_pixels": pixels - 1}, [None, "TOO_MANY_PIXELS"]),
        ({"max_pixels": pixels - 1, "max_jpeg_pixels": pixels - 1}, ["TOO_MANY_PIXELS", "TOO_MANY_PIXELS"]),
        ({"max_pixels": pixels // 64 - 1}, ["TOO_MANY_PIXELS", "TOO_MANY_PIXELS"]),
    ]:
        assert [row["reason"] for row in drop.pack(workers=1, **limits).outcomes] == reasons


def test_of_several_images_in_one_jpeg_the_first_is_taken(drop: Drop):
    first, second = Image.fromarray(inputs.photo()), Image.new("RGB", (10, 10))
    content = inputs.encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    drop.add(b"DSCN0001.JPG", content)
    row, found = pixels_of(drop, b"DSCN0001.JPG", inputs.SIDE, inputs.SIDE)
    assert (row["format"], row["notes"]) == ("MPO", "MULTI_PICTURE")
    alone = np.asarray(Image.open(io.BytesIO(inputs.encoded(first, "JPEG", quality=95))))
    assert (found == alone).all()
    (row,) = drop.pack(formats=("JPEG",)).outcomes
    assert row["reason"] == "FORMAT_NOT_ALLOWED"


def test_six_megabytes_of_extended_xmp_are_counted_and_no_bomb(drop: Drop):
    plain = inputs.jpeg()
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32
    part = head + struct.pack(">II", 6 * 10**6, 0) + bytes(60_000)
    segment = b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part
    drop.add(b"portrait.jpg", plain[:2] + segment * 100 + plain[2:])
    drop.add(b"plain.jpg", plain)
    packed = drop.pack()
    assert [row["notes"] for row in packed.outcomes] == ["METADATA_LARGE", None]
    assert packed.pixels(b"portrait.jpg") == packed.pixels(b"plain.jpg")


def scene(height: int = 120, width: int = 180) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 / height, columns * 255 / width, (rows + columns) / 2], axis=2).astype(np.uint8)


def heic(image: np.ndarray, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    made = pillow_heif.from_bytes(mode, image.shape[1::-1], image.tobytes())
    made.save(buffer, quality=95, chroma=444, **options)
    return buffer.getvalue()


def avif(image: np.ndarray, **options) -> bytes:
    return inputs.encoded(image, "AVIF", quality=95, subsampling="4:4:4", **options)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


LYING = scene()
ON_ITS_SIDE = np.rot90(LYING)  # which orientation 6 turns back


def with_alpha(level: int) -> np.ndarray:
    return np.dstack([LYING, np.full(LYING.shape[:2], level, np.uint8)])


HALF_WHITE = (LYING.astype(int) + 255) / 2
MODERN = {
    "plain.heic": (lambda: heic(LYING), LYING, ""),
    "grid.heic": (lambda: heic(LYING, tile_size=64), LYING, ""),
    "10-bit.heic": (lambda: heic(LYING.astype(np.uint16) * 257, "RGB;16"), LYING, "SCALED_16_TO_8"),
    "turned.heic": (lambda: heic(ON_ITS_SIDE, exif=turned()), LYING, "EXIF_DROPPED ORIENTED"),
    "alpha.heic": (lambda: heic(with_alpha(128), "RGBA"), HALF_WHITE, "CONVERTED ALPHA"),
    "plain.avif": (lambda: avif(LYING), LYING, ""),
    "turned.avif": (lambda: avif(ON_ITS_SIDE, exif=turned()), LYING, "EXIF_DROPPED ORIENTED"),
    "alpha.avif": (lambda: avif(with_alpha(128)), HALF_WHITE, "CONVERTED ALPHA"),
    "moving.avif": (
        lambda: avif(LYING, save_all=True, append_images=[Image.new("RGB", (180, 120))]),
        LYING,
        "ANIMATED",
    ),
}


@pytest.fixture(scope="module")
def modern(tmp_path_factory) -> Drop:
    drop = Drop(tmp_path_factory.mktemp("modern"))
    for name, (content, _, _) in MODERN.items():
        drop.add(name.encode(), content())
    return drop


def test_heic_and_avif_are_decoded_where_they_are_allowed(modern: Drop):
    packed = modern.pack(height=120, width=180, formats=ALL)
    for name, (_, image, notes) in MODERN.items():
        row = packed.by_name[name.encode()]
        assert row["reason"] is None, (name, row["detail"])
        assert (row["format"], row["notes"] or "") == ("HEIF" if name.endswith("heic") else "AVIF", notes), name
        assert (row["width"], row["height"]) == (180, 120), name
        found = np.frombuffer(packed.pixels(name.encode()), np.uint8).reshape(120, 180, 3).astype(int)
        assert np.abs(found - image).max() <= 6, name


def test_heic_and_avif_are_off_by_default(modern: Drop):
    rows = modern.pack().outcomes
    assert {row["reason"] for row in rows} == {"FORMAT_NOT_ALLOWED"}
    assert all(row["detail"].startswith(("HEIF is", "AVIF is")) for row in rows)


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_a_cut_heic_or_avif_is_refused(tmp_path: Path, kind: str):
    whole = MODERN[f"plain.{kind}"][0]()
    drop = Drop(tmp_path)
    for part in range(1, 40):
        drop.add(b"%02d" % part, whole[: len(whole) * part // 40])
    rows = drop.pack(formats=ALL).outcomes
    assert {row["reason"] for row in rows} <= {"TRUNCATED", "UNIDENTIFIED"}


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_one_flipped_bit_of_heic_or_avif_costs_no_more_than_its_file(tmp_path: Path, kind: str):
    whole = MODERN[f"plain.{kind}"][0]()
    drop = Drop(tmp_path)
    random = np.random.default_rng(43)
    for seed in range(60):
        bit = int(random.integers(len(whole) * 8))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        drop.add(b"%03d" % seed, bytes(flipped))
    rows = drop.pack(formats=ALL).outcomes
    assert {row["status"] for row in rows} <= {"decoded", "quarantined"}
    assert {row["reason"] for row in rows}.isdisjoint({"DECODER_CRASHED", "TIMEOUT"})
