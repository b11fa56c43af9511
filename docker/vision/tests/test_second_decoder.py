"""Every way that a format can hold samples: what is accepted has the right pixels, all else is refused by its cause.

Files are written from known samples; the right pixels follow from those by each format's formulas. libvips, a decoder
that shares no code with Pillow but the codecs, vouches for the files and decodes what is not written here.
"""

import functools
import io
import itertools
import struct
from collections.abc import Callable

import inputs
import numpy as np
import pngs
import pytest
import pyvips
import tiffs
from conftest import Drop, Packed
from PIL import Image, ImageOps

SIDE = 40
TIFFS = {layout.id: layout for layout in tiffs.layouts()}
PNGS = {layout.id: layout for layout in pngs.layouts()}


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Packed:
    """All files of this module, by their ids."""
    drop = Drop(tmp_path_factory.mktemp("drop"))
    files = {id: functools.partial(tiff, id) for id in TIFFS} | {id: functools.partial(png, id) for id in PNGS}
    files |= {f"{id}-up": functools.partial(bmp, *given[:2]) for id, given in BMPS.items()}
    files |= {f"{id}-down": functools.partial(bmp, *given[:2], upside_down=True) for id, given in BMPS.items()}
    files |= {id: content for id, (content, _) in LENT.items()}
    files["bmp-all-transparent"] = functools.partial(bmp, 32, ARGB, level=0)
    files["jpeg-arithmetic"] = lambda: inputs.ARITHMETIC_JPEG
    files |= {"pyramid": reduced_pages, "preview-first": preview_first, "webp-in-tiff": webp_in_tiff}
    for id, content in files.items():
        drop.add(id.encode(), content())
    return drop.pack(height=SIDE, width=SIDE)


def picture(packed: Packed, name: str) -> np.ndarray:
    return np.frombuffer(packed.pixels(name.encode()), np.uint8).reshape(SIDE, SIDE, 3).astype(float)


def on_white(unit: np.ndarray, level: np.ndarray) -> np.ndarray:
    return np.broadcast_to((unit * level + 1 - level) * 255, (SIDE, SIDE, 3))


def vips(content: bytes) -> np.ndarray:
    image = pyvips.Image.new_from_buffer(content, "", fail_on="warning")
    return image.numpy().reshape(image.height, image.width, image.bands)


@functools.cache
def tiff(id: str) -> bytes:
    return tiffs.write(TIFFS[id], tiffs.samples(TIFFS[id], SIDE))


def right_tiff(layout: tiffs.Layout) -> np.ndarray:
    values = tiffs.samples(layout, SIDE)
    unit = values / (2.0**layout.bits - 1)
    colours = tiffs.COLOURS[layout.photometric]
    unit, extra = unit[..., :colours], unit[..., colours:]
    if layout.photometric == tiffs.GREY_ON_WHITE:
        unit = 1 - unit
    elif layout.photometric == tiffs.PALETTE:
        unit = tiffs.palette(layout.bits)[values[..., 0]] / 65535
    elif layout.photometric == tiffs.CMYK:
        unit = (1 - unit[..., :3]) * (1 - unit[..., 3:])
    elif layout.photometric == tiffs.YCBCR:
        luma, blue, red = np.moveaxis(unit - [0, 128 / 255, 128 / 255], 2, 0)
        unit = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=2)
        unit = np.clip(unit, 0, 1)
    if not layout.extra or layout.extra[0] == tiffs.UNSPECIFIED:
        return on_white(unit, np.ones(1))
    if layout.extra[0] == tiffs.PREMULTIPLIED:
        return (unit + 1 - extra[..., :1]) * 255
    return on_white(unit, extra[..., :1])


def refused_tiff(layout: tiffs.Layout) -> str | None:
    """The reason, of what is decoded nowhere or in part."""
    alone = layout.photometric in (tiffs.GREY_ON_WHITE, tiffs.GREY, tiffs.PALETTE)
    depths = {tiffs.GREY_ON_WHITE: {1, 2, 4, 8}, tiffs.PALETTE: {1, 2, 4, 8}, tiffs.YCBCR: {8}}
    depths |= {tiffs.GREY: {1, 2, 4, 8, 16} | ({12} if layout.order == "<" else set()), tiffs.RGB: {8, 16}}
    depths |= {tiffs.CMYK: {8, 16}}
    extra = () if layout.planar and not any(layout.extra) else layout.extra
    if layout.big and layout.order == ">":
        return "UNSUPPORTED_CODING"
    if layout.sample_format != tiffs.UNSIGNED:
        return "UNSUPPORTED_DEPTH"
    if layout.planar and extra and (alone or len(extra) > 1):
        return "UNSUPPORTED_MODE"
    if extra and layout.photometric in (tiffs.CMYK, tiffs.PALETTE) and tiffs.PREMULTIPLIED in extra:
        return "UNSUPPORTED_MODE"
    if extra == (tiffs.STRAIGHT,) and layout.photometric == tiffs.CMYK:
        return "UNSUPPORTED_MODE"
    deep_enough = depths[layout.photometric]
    if extra and (alone or layout.photometric == tiffs.CMYK or len(extra) > 1):
        deep_enough = {8}
    if layout.reversed_bits:
        deep_enough = deep_enough - ({16} if layout.photometric == tiffs.RGB else {12})
    return None if layout.bits in deep_enough else "UNSUPPORTED_DEPTH"


def test_tiff_files_have_the_right_pixels_or_a_reason(packed: Packed):
    wrong = {}
    for id, layout in TIFFS.items():
        row = packed.by_name[id.encode()]
        if row["reason"] != refused_tiff(layout):
            wrong[id] = (row["reason"], refused_tiff(layout), row["detail"])
        elif row["reason"] is None:
            error = np.abs(picture(packed, id) - right_tiff(layout)).max()
            # Samples of 16 bits lose their low byte before they are divided by their alpha and laid on white.
            if error > (3 if tiffs.PREMULTIPLIED in layout.extra else 2):
                wrong[id] = error
    assert not wrong
    assert sum(row["reason"] is None for row in packed.outcomes) > 300


def test_libvips_reads_the_samples_that_the_tiff_files_were_made_of(packed: Packed):
    """Of those that were accepted, but for what libvips does not open, leaves unscaled, or turns into colours."""
    compared = 0
    for id, layout in TIFFS.items():
        if packed.by_name[id.encode()]["reason"] or layout.photometric in (tiffs.PALETTE, tiffs.YCBCR):
            continue
        if layout.bits == 12 or tiffs.PREMULTIPLIED in layout.extra or (layout.tiled and layout.planar):
            continue
        if layout.planar and (layout.bits < 8 or layout.extra):
            continue
        values = tiffs.samples(layout, SIDE).astype(int)
        if layout.bits < 8:
            values = values * 255 // (2**layout.bits - 1)
        if layout.photometric == tiffs.GREY_ON_WHITE:
            values = 255 - values
        assert (vips(tiff(id)) == values).all(), id
        compared += 1
    assert compared > 150


@functools.cache
def png(id: str) -> bytes:
    return pngs.write(PNGS[id], pngs.samples(PNGS[id], SIDE))


def right_png(layout: pngs.Layout) -> np.ndarray:
    values = pngs.samples(layout, SIDE)
    unit = values / (2.0**layout.depth - 1)
    level = np.ones((SIDE, SIDE, 1))
    if layout.colour == pngs.PALETTE:
        unit = pngs.palette(layout.depth)[values[..., 0]] / 255
        unit, level = unit[..., :3], unit[..., 3:] if layout.key else level
    elif layout.colour in (pngs.GREY_ALPHA, pngs.RGB_ALPHA):
        unit, level = unit[..., :-1], unit[..., -1:]
    elif layout.key:
        level = (values != pngs.key_of(values)).any(axis=2, keepdims=True).astype(float)
    return on_white(unit, level)


@pytest.mark.parametrize("id", PNGS)
def test_png_files_have_the_right_pixels_or_a_reason(packed: Packed, id: str):
    layout = PNGS[id]
    lost = layout.colour == pngs.RGB and layout.depth == 16 and layout.key
    row = packed.by_name[id.encode()]
    assert row["reason"] == ("UNSUPPORTED_MODE" if lost else None), row["detail"]
    found = vips(png(id)).astype(float)
    found /= 255 if found.max() <= 255 and layout.depth < 16 else 65535
    unit, level = (found[..., :-1], found[..., -1:]) if found.shape[2] in (2, 4) else (found, np.ones(1))
    assert np.abs(on_white(unit, level) - right_png(layout)).max() < 0.01
    if not lost:
        assert np.abs(picture(packed, id) - right_png(layout)).max() <= (2 if layout.depth == 16 else 1)
        assert ("ALPHA" in (row["notes"] or "").split()) == bool((right_png(layout) != right_png_opaque(layout)).any())


def right_png_opaque(layout: pngs.Layout) -> np.ndarray:
    """As if nothing of it were transparent."""
    values = pngs.samples(layout, SIDE) / (2.0**layout.depth - 1)
    if layout.colour == pngs.PALETTE:
        values = pngs.palette(layout.depth)[pngs.samples(layout, SIDE)[..., 0]][..., :3] / 255
    elif layout.colour in (pngs.GREY_ALPHA, pngs.RGB_ALPHA):
        values = values[..., :-1]
    return on_white(values, np.ones(1))


def bmp(bits: int, masks: tuple[int, ...] = (), upside_down: bool = False, level: int | None = None) -> bytes:
    """A 40 x 40 BMP file of the samples of `bmp_samples`; masks for red, green, blue and perhaps alpha."""
    samples = bmp_samples(bits, masks)
    if level == 0:
        samples &= ~masks[3]
    table = b"".join(struct.pack("BBBB", *entry[::-1], 0) for entry in bmp_palette(bits)) if bits <= 8 else b""
    fields = struct.pack(f"<{len(masks)}I", *masks) if masks else b""
    rows = []
    for row in samples:
        if bits < 8:
            row = np.packbits((row.reshape(-1, 1) >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8))
            line = row.tobytes()
        elif bits == 24:
            line = row[:, ::-1].astype(np.uint8).tobytes()
        else:
            line = row.astype(f"<u{bits // 8}").tobytes()
        rows.append(line + bytes(-len(line) % 4))
    height = -SIDE if upside_down else SIDE
    body = b"".join(rows if upside_down else rows[::-1])
    head = struct.pack(
        "<IiiHHIIiiII", 40 if len(masks) < 4 else 56, SIDE, height, 1, bits, 3 if masks else 0, len(body), 0, 0, 0, 0
    )
    start = 14 + len(head) + len(fields) + len(table)
    return struct.pack("<2sIII", b"BM", start + len(body), 0, start) + head + fields + table + body


def bmp_palette(bits: int) -> list[list[int]]:
    return [[n * 255 // (2**bits - 1), n * 7 % 256, 255 - n] for n in range(2**bits)]


def bmp_samples(bits: int, masks: tuple[int, ...]) -> np.ndarray:
    unit = inputs.photo(SIDE, SIDE) / 255
    if bits <= 8:
        return np.rint(unit[..., 0] * (2**bits - 1)).astype(int)
    if bits == 24:
        return np.rint(unit * 255).astype(int)
    values = np.zeros((SIDE, SIDE), np.int64)
    for channel, mask in zip([*np.moveaxis(unit, 2, 0), unit[..., 0]], bmp_masks(bits, masks), strict=False):
        low = mask & -mask
        values |= np.rint(channel * (mask // low)).astype(np.int64) * low
    return values


def bmp_masks(bits: int, masks: tuple[int, ...]) -> tuple[int, ...]:
    return masks or ((0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF))


def right_bmp(bits: int, masks: tuple[int, ...]) -> np.ndarray:
    values = bmp_samples(bits, masks)
    if bits <= 8:
        return np.array(bmp_palette(bits), float)[values]
    if bits == 24:
        return values.astype(float)
    channels = [(values & mask) / mask for mask in bmp_masks(bits, masks)]
    return on_white(np.stack(channels[:3], axis=2), channels[3][..., None] if len(channels) > 3 else np.ones(1))


ARGB = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
BMPS: dict[str, tuple[int, tuple[int, ...], str | None]] = {
    "bmp-1-bit": (1, (), None),
    "bmp-4-bit": (4, (), None),
    "bmp-8-bit": (8, (), None),
    "bmp-16-bit": (16, (), None),
    "bmp-24-bit": (24, (), None),
    "bmp-32-bit": (32, (), None),
    "bmp-16-bit-565": (16, (0xF800, 0x7E0, 0x1F), None),
    "bmp-16-bit-555": (16, (0x7C00, 0x3E0, 0x1F), None),
    "bmp-16-bit-444": (16, (0xF00, 0xF0, 0xF), "UNSUPPORTED_CODING"),
    "bmp-32-bit-xrgb": (32, (0xFF0000, 0xFF00, 0xFF), None),
    "bmp-32-bit-rgbx": (32, (0xFF000000, 0xFF0000, 0xFF00), None),
    "bmp-32-bit-10-10-10": (32, (0x3FF00000, 0xFFC00, 0x3FF), "UNSUPPORTED_CODING"),
    "bmp-32-bit-argb": (32, ARGB, None),
    "bmp-32-bit-abgr": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), None),
}


@pytest.mark.parametrize("id", BMPS)
def test_bmp_files_have_the_right_pixels_or_a_reason(packed: Packed, id: str):
    bits, masks, reason = BMPS[id]
    for name in (f"{id}-up", f"{id}-down"):
        assert packed.by_name[name.encode()]["reason"] == reason
        if reason is None:
            # A sample of 5 bits is scaled by its own rule: within a 32nd of the right value.
            assert np.abs(picture(packed, name) - right_bmp(bits, masks)).max() <= (8 if bits == 16 else 1)


def test_a_bmp_whose_fourth_byte_nobody_filled_in_is_not_all_white(packed: Packed):
    assert "ALPHA" not in packed.by_name[b"bmp-all-transparent"]["notes"].split()
    assert np.abs(picture(packed, "bmp-all-transparent") - inputs.photo()).max() <= 1


def gif_frames(**options) -> bytes:
    return inputs.encoded(Image.fromarray(inputs.photo()).quantize(100), "GIF", **options)


def from_vips(suffix: str, **options) -> bytes:
    image = pyvips.Image.new_from_array(inputs.photo()).copy(interpretation="srgb")
    return image.write_to_buffer(suffix, **options)


def with_level(format: str, **options) -> bytes:
    return inputs.encoded(inputs.alpha("RGB"), format, **options)


# The file, and how far the two may be apart: they share the codecs, but neither the colours nor the alpha.
LENT: dict[str, tuple[Callable[[], bytes], int]] = {
    "gif": (gif_frames, 0),
    "gif-interlaced": (lambda: gif_frames(interlace=True), 0),
    "gif-transparent": (lambda: gif_frames(transparency=7), 0),
    "webp": (lambda: inputs.encoded(inputs.photo(), "WEBP", quality=90), 1),
    "webp-lossless": (lambda: inputs.encoded(inputs.photo(), "WEBP", lossless=True), 0),
    "webp-alpha": (lambda: with_level("WEBP", quality=90), 2),
    "webp-lossless-alpha": (lambda: with_level("WEBP", lossless=True, exact=True), 1),
    "jpeg-grey": (lambda: inputs.encoded(Image.fromarray(inputs.photo()).convert("L"), "JPEG"), 1),
    **{
        f"jpeg-{subsampling}-{'progressive' if progressive else 'baseline'}": (
            functools.partial(inputs.jpeg, subsampling=subsampling, progressive=progressive),
            1,
        )
        for subsampling, progressive in itertools.product(("4:4:4", "4:2:2", "4:2:0", "4:1:1"), (False, True))
    },
    "jpeg-lossless": (functools.partial(inputs.lossless_jpeg, SIDE), 0),
    "jpeg-rgb": (lambda: inputs.jpeg(keep_rgb=True), 1),
    "jpeg-restarts": (lambda: from_vips(".jpg", restart_interval=2), 1),
    "tiff-lzw-predicted": (lambda: from_vips(".tif", compression="lzw", predictor="horizontal"), 0),
    "tiff-jpeg": (lambda: from_vips(".tif", compression="jpeg", tile=True, tile_width=16, tile_height=16), 1),
    "tiff-big-tiled": (lambda: from_vips(".tif", bigtiff=True, tile=True, tile_width=16, tile_height=16), 0),
}


@pytest.mark.parametrize("id", LENT)
def test_libvips_sees_the_same_pixels(packed: Packed, id: str):
    content, tolerance = LENT[id][0](), LENT[id][1]
    seen = vips(content).astype(float) / 255
    unit, level = (seen[..., :-1], seen[..., -1:]) if seen.shape[2] in (2, 4) else (seen, np.ones(1))
    row = packed.by_name[id.encode()]
    assert row["reason"] is None, row["detail"]
    assert np.abs(picture(packed, id) - np.rint(on_white(unit, level))).max() <= tolerance


def test_libvips_sees_the_same_pixels_of_an_arithmetic_coded_jpeg(packed: Packed):
    seen = Image.fromarray(vips(inputs.ARITHMETIC_JPEG)[..., 0]).convert("RGB")  # 16 x 16
    right = np.asarray(ImageOps.fit(seen, (SIDE, SIDE), Image.Resampling.BICUBIC), float)
    assert np.abs(picture(packed, "jpeg-arithmetic") - right).max() <= 1


def reduced_pages() -> bytes:
    """A picture with a half-size copy of itself behind it, as slide scanners and editors write."""
    return from_vips(".tif", pyramid=True, tile=True, tile_width=16, tile_height=16)


def preview_first() -> bytes:
    """A picture behind a reduced copy of itself."""
    pages = [Image.fromarray(inputs.photo()).resize((20, 20)), Image.fromarray(inputs.photo())]
    content = inputs.encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], tiffinfo={254: 0})
    kind = struct.pack("<HHII", 254, 4, 1, 0)
    assert content.count(kind) == 2
    return content.replace(kind, struct.pack("<HHII", 254, 4, 1, 1), 1)


def webp_in_tiff() -> bytes:
    layout = tiffs.Layout(tiffs.RGB)
    content = bytearray(tiffs.write(layout, tiffs.samples(layout, SIDE)))
    place = content.index(struct.pack("<HHIH", 259, 3, 1, tiffs.NONE))
    struct.pack_into("<HHIH", content, place, 259, 3, 1, 50001)
    return bytes(content)


def test_a_tiff_with_reduced_copies_of_its_picture_is_one_picture(packed: Packed):
    with Image.open(io.BytesIO(reduced_pages())) as image:
        assert image.n_frames > 1
    assert packed.by_name[b"pyramid"]["notes"].split() == ["EXT_MISMATCH", "MULTI_PICTURE"]
    assert (picture(packed, "pyramid") == inputs.photo()).all()


def test_of_a_tiff_with_its_preview_first_the_picture_is_taken(packed: Packed):
    row = packed.by_name[b"preview-first"]
    assert (row["width"], row["notes"].split()) == (SIDE, ["EXT_MISMATCH", "MULTI_PICTURE"])
    assert (picture(packed, "preview-first") == inputs.photo()).all()


def test_a_tiff_compressed_as_webp_is_not_called_broken(packed: Packed):
    assert packed.by_name[b"webp-in-tiff"]["reason"] == "UNSUPPORTED_CODING"
