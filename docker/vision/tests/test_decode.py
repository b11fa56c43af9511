"""The pixels that come out of whole, cut, flipped and oddly coloured files, against values computed apart."""

from pathlib import Path

import inputs
import numpy as np
import pytest
from conftest import Drop, Packed

CUT = {
    "baseline": lambda: inputs.encoded(inputs.photo(64, 64), "JPEG"),
    "progressive": lambda: inputs.encoded(inputs.photo(64, 64), "JPEG", progressive=True),
    "png": lambda: inputs.encoded(inputs.photo(), "PNG"),
    "gif": lambda: inputs.encoded(inputs.photo(64, 64), "GIF"),
    "webp": lambda: inputs.encoded(inputs.photo(96, 96), "WEBP", quality=95),
    "webp-lossless": lambda: inputs.encoded(inputs.photo(), "WEBP", lossless=True),
    "tiff": lambda: inputs.encoded(inputs.photo(), "TIFF"),
    "tiff-deflate": lambda: inputs.encoded(inputs.photo(), "TIFF", compression="tiff_adobe_deflate"),
    "bmp": lambda: inputs.encoded(inputs.photo(), "BMP"),
}


@pytest.mark.parametrize("kind", CUT)
def test_cut_files_are_refused(tmp_path: Path, kind: str):
    whole = CUT[kind]()
    ends = sorted({len(whole) * part // 200 for part in range(1, 200)} | {len(whole) - n for n in (1, 2, 3)})
    drop = Drop(tmp_path)
    for end in ends:
        drop.add(b"%06d" % end, whole[:end])
    drop.add(b"whole", whole)
    packed = drop.pack()
    assert packed.outcomes[-1]["status"] == "decoded"
    # What may be missing of a whole picture: PNG's 12 bytes of IEND; GIF's trailer and the end of its last block.
    spare = {"png": 12, "gif": 2}.get(kind, 0)
    for end, row in zip(ends, packed.outcomes[:-1], strict=True):
        if row["status"] == "decoded":
            assert len(whole) - end <= spare
            assert "TRAILER_MISSING" in row["notes"].split()
        else:
            assert len(whole) - end > spare or kind == "gif"
            assert row["reason"] == ("TRUNCATED" if end >= 16 else row["reason"])
    assert {row["reason"] for row in packed.outcomes[:-1]} <= {"TRUNCATED", "UNIDENTIFIED", None}


@pytest.mark.parametrize("kind", ["baseline", "progressive", "png", "gif", "webp", "tiff-deflate"])
def test_one_flipped_bit_never_costs_more_than_its_file(tmp_path: Path, kind: str):
    whole = CUT[kind]()
    drop = Drop(tmp_path)
    random = np.random.default_rng(8)
    for seed in range(150):
        bit = int(random.integers(len(whole) * 8))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        drop.add(b"%03d" % seed, bytes(flipped))
    packed = drop.pack()
    assert {row["status"] for row in packed.outcomes} <= {"decoded", "quarantined"}
    assert {row["reason"] for row in packed.outcomes}.isdisjoint({"DECODER_CRASHED", "TIMEOUT", "OUT_OF_MEMORY"})
    assert drop.pack(workers=1).outcomes == packed.outcomes


def expected_cmyk(stored: np.ndarray) -> np.ndarray:
    ink = stored.astype(float)
    return (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255


def expected_ycck(stored: np.ndarray) -> np.ndarray:
    """The first three stored samples are the YCbCr of the inks cyan, magenta, yellow; all are stored inverted."""
    luma, blue, red, light = np.moveaxis(255 - stored.astype(float), 2, 0)
    inks = [
        luma + 1.402 * (red - 128),
        luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
        luma + 1.772 * (blue - 128),
    ]
    return (255 - np.clip(np.stack(inks, axis=2), 0, 255)) * light[..., None] / 255


def on_white(colour: np.ndarray, level: np.ndarray) -> np.ndarray:
    share = level[..., None] / 255
    return colour * share + 255 * (1 - share)


RAMP = np.tile(np.linspace(0, 255, inputs.SIDE).astype(np.uint8), (inputs.SIDE, 1))
GREY = np.rint(inputs.photo() @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=2)


COLOURS = {
    "B35-cmyk": (lambda: expected_cmyk(inputs.cmyk_blocks()), 4),
    "B35-ycck": (lambda: expected_ycck(inputs.cmyk_blocks()), 5),
    "B36-grey": (lambda: inputs.ramp_16_bit()[..., None].repeat(3, axis=2) / 257, 1),
    "B36-rgb": (lambda: inputs.ramp_16_bit(3) / 257, 1),
    "B36-tiff": (lambda: inputs.ramp_16_bit()[..., None].repeat(3, axis=2) / 257, 1),
    "B38-grey-alpha": (lambda: on_white(GREY, RAMP), 1.5),
    "B38-rgb-alpha": (lambda: on_white(inputs.photo(), RAMP), 1),
    "B38-webp-alpha": (lambda: on_white(inputs.photo(), RAMP), 1),
    "B39-transparent": (lambda: np.full((inputs.SIDE, inputs.SIDE, 3), 255), 0),
}


@pytest.fixture(scope="module")
def in_full_size(tmp_path_factory) -> Packed:
    drop = Drop(tmp_path_factory.mktemp("colours"))
    for given in inputs.COLOURS:
        given.put(drop)
    return drop.pack(height=inputs.SIDE, width=inputs.SIDE)


@pytest.mark.parametrize("id", COLOURS)
def test_colours(in_full_size: Packed, id: str):
    given = next(each for each in inputs.COLOURS if each.id == id)
    expected, tolerance = COLOURS[id]
    found = np.frombuffer(in_full_size.pixels(given.listed_name), np.uint8).reshape(inputs.SIDE, inputs.SIDE, 3)
    assert np.abs(found - expected()).max() <= tolerance


# Where the red and the green corner of the stored picture come to lie, as (at the bottom, at the right).
CORNERS = {
    1: ((0, 0), (0, 1)),
    2: ((0, 1), (0, 0)),
    3: ((1, 1), (1, 0)),
    4: ((1, 0), (1, 1)),
    5: ((0, 0), (1, 0)),
    6: ((0, 1), (1, 1)),
    7: ((1, 1), (0, 1)),
    8: ((1, 0), (0, 0)),
} | dict.fromkeys((0, 9, 255), ((0, 0), (0, 1)))


@pytest.fixture(scope="module")
def turned(tmp_path_factory) -> dict[bytes, np.ndarray]:
    pictures = {}
    for sizes, values in (((24, 40), (1, 2, 3, 4, 0, 9, 255)), ((40, 24), (5, 6, 7, 8))):
        drop = Drop(tmp_path_factory.mktemp("turned"))
        for value in values:
            for format in ("JPEG", "PNG", "TIFF"):
                drop.add(f"{format}-{value}".encode(), inputs.with_exif_orientation(value, format))
        packed = drop.pack(height=sizes[0], width=sizes[1])
        for name, row in packed.by_name.items():
            assert (row["height"], row["width"]) == sizes
            pictures[name] = np.frombuffer(packed.pixels(name), np.uint8).reshape(*sizes, 3).astype(int)
    return pictures


@pytest.mark.parametrize("value", CORNERS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_images_are_upright(turned: dict[bytes, np.ndarray], value: int, format: str):
    picture = turned[f"{format}-{value}".encode()]
    for channel, (bottom, right) in enumerate(CORNERS[value]):
        corner = picture[-1 if bottom else 0, -1 if right else 0]
        assert corner[channel] > 180
        assert corner[1 - channel] < 60


@pytest.mark.parametrize(("height", "width"), [(32, 32), (1, 1), (7, 100), (200, 3)])
def test_pixels_have_the_size_asked_for(tmp_path: Path, height: int, width: int):
    drop = Drop(tmp_path)
    for side in ((4, 200), (200, 4), (33, 31), (32, 32)):
        drop.add(b"%dx%d.png" % side, inputs.encoded(inputs.photo(*side), "PNG"))
    packed = drop.pack(height=height, width=width)
    assert [len(image["pixels"]) for image in packed.images] == [height * width * 3] * 4


def test_right_size_means_untouched_and_other_sizes_keep_the_centre(tmp_path: Path):
    drop = Drop(tmp_path)
    picture = inputs.photo(32, 32)
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = picture
    drop.add(b"same.png", inputs.encoded(picture, "PNG"))
    drop.add(b"wide.png", inputs.encoded(wide, "PNG"))
    packed = drop.pack()
    assert packed.pixels(b"same.png") == packed.pixels(b"wide.png") == picture.tobytes()


def test_statistics_are_what_their_formulas_say(drop: Drop):
    picture = inputs.photo(32, 32)
    drop.add(b"x.png", inputs.encoded(picture, "PNG"))
    row = drop.pack().outcomes[0]
    red, green, blue = np.moveaxis(picture.astype(float), 2, 0)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue) / 255
    edges = [
        4 * luma[y, x] - luma[y - 1, x] - luma[y + 1, x] - luma[y, x - 1] - luma[y, x + 1]
        for y in range(1, 31)
        for x in range(1, 31)
    ]
    high, low = picture.max(axis=2).astype(float), picture.min(axis=2).astype(float)
    assert row["brightness"] == pytest.approx(luma.mean(), rel=1e-4)
    assert row["contrast"] == pytest.approx(luma.std(), rel=1e-4)
    assert row["saturation"] == pytest.approx(((high - low) / np.maximum(high, 1)).mean(), rel=1e-4)
    assert row["sharpness"] == pytest.approx(np.var(edges), rel=1e-4)
