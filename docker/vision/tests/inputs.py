"""Hostile and odd inputs, as generators, each with the outcome it must have.

The ids are those of `docs/hostile-inputs.md`. `python inputs.py FOLDER` writes them all, for drills of the whole flow.
"""

import base64
import functools
import gzip
import io
import json
import os
import socket
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tiffs
from conftest import Drop
from PIL import Image

SIDE = 40


@dataclass(frozen=True)
class Input:
    """A file's content, and what becomes of it: `reason` None and exactly these notes, or a reason code.

    `name` is that of the file; `place`, for what is not a plain file, makes it at a path instead. `either`: what is
    broken may or may not show, so that both ends are right. `listed_as` is the reason of the listing, where that judges
    before any decoder; "" where it leaves the file for a later run.
    """

    id: str
    content: Callable[[], bytes] = bytes
    reason: str | None = None
    notes: str = ""
    name: bytes = b""
    place: Callable[[Path], None] | None = None
    either: bool = False
    listed_as: str | None = None

    @functools.cached_property
    def data(self) -> bytes:
        return self.content()

    @property
    def listed_name(self) -> bytes:
        """`name`, or one with the extension of the content's format."""
        return self.name or self.id.encode() + _EXTENSIONS.get(self.data[:2], b".jpg")

    def write(self, folder: Path) -> None:
        path = folder / os.fsdecode(self.listed_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.place:
            self.place(path)
        else:
            path.write_bytes(self.data)

    def put(self, drop: Drop) -> None:
        self.write(drop.landing)
        drop.list(self.listed_name)


_EXTENSIONS = {
    b"\x89P": b".png",
    b"GI": b".gif",
    b"BM": b".bmp",
    b"II": b".tif",
    b"MM": b".tif",
    b"RI": b".webp",
}  # else JPEG's


def photo(width: int = SIDE, height: int = SIDE, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise, uint8 [height, width, 3]."""
    rows, columns = np.mgrid[0:height, 0:width]
    ramps = np.stack([rows * 255 / height, columns * 255 / width, (rows + columns) * 127 / max(height, width)], axis=2)
    noise = np.random.default_rng(seed).integers(-20, 20, ramps.shape)
    return np.clip(ramps + noise, 0, 255).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, format, **options)
    return buffer.getvalue()


def jpeg(**options) -> bytes:
    return encoded(photo(), "JPEG", quality=90, **options)


def png(**options) -> bytes:
    return encoded(photo(), "PNG", **options)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its raw rows, each with its filter byte; `extra` chunks come before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def png_16_bit(samples: np.ndarray) -> bytes:
    """uint16 [h, w] or [h, w, 3] as a PNG of 16 bits a sample."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png_of(width, height, 16, 2 if samples.ndim == 3 else 0, rows)


def ramp_16_bit(channels: int = 1) -> np.ndarray:
    values = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    return values if channels == 1 else np.stack([values, values.T, values[::-1]], axis=2)


def bilevel_png(width: int, height: int) -> bytes:
    """Black, 1 bit a pixel: a few KB for millions of pixels."""
    return png_of(width, height, 1, 0, bytes(1 + (width + 7) // 8) * height)


def broken_checksum(kind: bytes) -> bytes:
    data = png_of(4, 4, 8, 2, (b"\0" + bytes(12)) * 4, chunk(b"tEXt", b"Comment\0hello"))
    position = data.index(kind)
    length = int.from_bytes(data[position - 4 : position], "big")
    crc = position + 4 + length
    return data[:crc] + bytes([data[crc] ^ 1]) + data[crc + 1 :]


def compressed_text_png(chunks: int, size: int) -> bytes:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))
    return png_of(SIDE, SIDE, 8, 0, (b"\0" + bytes(SIDE)) * SIDE, text * chunks)


def gif_beyond_canvas() -> bytes:
    """A 4 x 4 canvas whose only frame says that it is 65,000 x 65,000."""
    data = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
    position = data.index(b",", 13)
    struct.pack_into("<HH", data, position + 5, 65000, 65000)
    return bytes(data)


def zero_width_gif() -> bytes:
    data = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
    struct.pack_into("<H", data, 6, 0)
    struct.pack_into("<H", data, data.index(b",", 13) + 5, 0)
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP's headers, and pixels that are not there."""
    bits = struct.pack("<I", (width - 1) | (height - 1) << 14)
    body = b"VP8L" + struct.pack("<I", 1000) + b"\x2f" + bits + bytes(995)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def animated(format: str, frames: int = 5) -> bytes:
    pages = [Image.fromarray(photo(seed=seed)) for seed in range(frames)]
    return encoded(pages[0], format, save_all=True, append_images=pages[1:], duration=50)


def cmyk_blocks() -> np.ndarray:
    """uint8 [40, 40, 4]: 25 blocks of 8 x 8, so that JPEG keeps each colour but for rounding."""
    colours = np.random.default_rng(1).integers(0, 256, (5, 5, 4)).astype(np.uint8)
    return colours.repeat(8, axis=0).repeat(8, axis=1)


def cmyk_jpeg() -> bytes:
    """Stored inverted with an Adobe marker, as Photoshop does."""
    return encoded(Image.fromarray(cmyk_blocks(), "CMYK"), "JPEG", quality=100, subsampling=0)


def ycck_jpeg() -> bytes:
    """The same samples, declared as YCCK by the transform byte of the Adobe marker."""
    data = bytearray(cmyk_jpeg())
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def with_exif_orientation(value: int, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    return encoded(corner_marked(), format, exif=exif.tobytes(), **options)


def corner_marked() -> np.ndarray:
    """uint8 [24, 40, 3], grey but for a red top left corner and a green top right one."""
    pixels = np.full((24, 40, 3), 128, np.uint8)
    pixels[:8, :8] = (220, 20, 20)
    pixels[:8, -8:] = (20, 220, 20)
    return pixels


def many_scans(scans: int, side: int = 4096) -> bytes:
    """A progressive JPEG of one colour whose last scan comes again and again: small, and as slow as one likes."""
    data = encoded(np.full((side, side, 3), 99, np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


def tiff_pages() -> bytes:
    pages = [Image.fromarray(photo(seed=seed)) for seed in range(2)]
    return encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def zip_of_images() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../escape.png", png())
    return buffer.getvalue()


def tar_of_images() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x.png"), io.BytesIO(b""))
    return buffer.getvalue()


def hostile_metadata_jpeg() -> bytes:
    text = b"<script>alert(1)</script>'; DROP TABLE entries; -- {{ ds }} \x1b[31m"
    return jpeg(comment=text, xmp=text)


def make_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # the address of a socket has at most 107 bytes
    os.close(folder)


def alpha(mode: str, level: int | None = None) -> Image.Image:
    """`mode` with an alpha ramp from left to right, or one level everywhere."""
    image = Image.fromarray(photo()).convert(mode)
    ramp = np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1))
    image.putalpha(Image.fromarray(ramp if level is None else np.full_like(ramp, level)))
    return image


def palette(**options) -> bytes:
    return encoded(Image.fromarray(photo()).quantize(64), "PNG", **options)


def cut(content: Callable[[], bytes], share: float) -> Callable[[], bytes]:
    """The first part of a file; at least the last three bytes are missing."""
    return lambda: content()[: min(int(len(content()) * share), len(content()) - 3)]


def flipped(content: bytes, seed: int) -> bytes:
    bit = int(np.random.default_rng(seed).integers(len(content) * 8))
    data = bytearray(content)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def bmp_with(offset: int, kind: str, value: int) -> bytes:
    """A BMP file of which one field of the header is another."""
    data = bytearray(encoded(photo(), "BMP"))
    struct.pack_into("<" + kind, data, offset, value)
    return bytes(data)


def run_length_bmp(runs: bytes) -> bytes:
    """8 x 8 pixels of 8 bits, packed in runs."""
    palette = b"".join(bytes([n, n, n, 0]) for n in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(runs), 0, 0, 0, 0)
    return struct.pack("<2sIII", b"BM", 14 + 40 + 1024 + len(runs), 0, 14 + 40 + 1024) + head + palette + runs


def twelve_bit_jpeg() -> bytes:
    """By its header: the depth is judged before any pixel."""
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


def hierarchical_jpeg() -> bytes:
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 1] = 0xC5
    return bytes(data)


def lossless_jpeg(side: int = 16) -> bytes:
    """Grey, by the first predictor: each sample is its left neighbour's and a difference."""
    values = np.rint(photo(side, side)[..., 0].astype(float)).astype(int)
    table = struct.pack(">HB", 19 + 9, 0) + bytes([0, 0, 0, 9, *[0] * 12]) + bytes(range(9))
    frame = struct.pack(">HBHHB", 11, 8, side, side, 1) + bytes([1, 0x11, 0])
    scan = struct.pack(">HB", 8, 1) + bytes([1, 0, 1, 0, 0])
    bits = ""
    for row in range(side):
        for column in range(side):
            before = values[row, column - 1] if column else values[row - 1, 0] if row else 128
            difference = int(values[row, column] - before)
            size = abs(difference).bit_length()
            bits += f"{size:04b}"
            if size:
                bits += f"{difference if difference > 0 else difference + 2**size - 1:0{size}b}"
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    return b"\xff\xd8\xff\xc3" + frame + b"\xff\xc4" + table + b"\xff\xda" + scan + coded + b"\xff\xd9"


# 16 x 16 grey pixels, arithmetic-coded by libjpeg-turbo's cjpeg, since neither Pillow nor libvips writes such files.
ARITHMETIC_JPEG = base64.b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^4"
    "7!ni}6#vNp3kU!Z01yEI5di<p00saM5C#9*00;pA002J#{{ZLVj&^mk60~$g(Dq=t?j!bK1|4ALs5i|2*#"
)


def png_chunks(*kinds: bytes) -> bytes:
    """A PNG of 4 x 4 pixels whose chunks come in this order; its pixels are in two chunks."""
    packed = zlib.compress((b"\0" + bytes(12)) * 4)
    content = {b"IHDR": struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0), b"IEND": b"", b"tEXt": b"a\0b"}
    parts = iter((packed[:5], packed[5:]))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(k, next(parts, b"") if k == b"IDAT" else content[k]) for k in kinds)


def tiff_strip_of_4_gb() -> bytes:
    """A strip of 1 kB that says it has 4 billion rows, of an image with as many pixels as are allowed."""
    tags = {256: ("I", [16_000]), 257: ("I", [4_000]), 258: ("H", [8] * 3), 259: ("H", [tiffs.DEFLATE])}
    tags |= {262: ("H", [tiffs.RGB]), 277: ("H", [3]), 278: ("I", [2**32 - 1])}
    return tiffs.framed(tags, [zlib.compress(bytes(10**6), 9)])


def tiff_of_directories(count: int, cyclic: bool = False, reduced: bool = False) -> bytes:
    """One page, and directories behind it: of reduced copies, or of pages; the last leads back to the first."""
    layout = tiffs.Layout(tiffs.RGB)
    data = bytearray(tiffs.write(layout, tiffs.samples(layout, SIDE)))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    link = first + 2 + 12 * entries
    for _ in range(count):
        struct.pack_into("<I", data, link, len(data))
        data += struct.pack("<HHHIII", 1, 254, 4, 1, int(reduced), 0)
        link = len(data) - 4
    if cyclic:
        struct.pack_into("<I", data, link, first)
    return bytes(data)


def many_frames_gif(frames: int) -> bytes:
    data = encoded(Image.new("P", (8, 8)), "GIF")
    start = data.index(b",", 13)
    return data[:-1] + data[start:-1] * (frames - 1) + data[-1:]


def apng_that_lies(frames: int) -> bytes:
    """An APNG of two frames that says it has another number of them."""
    data = bytearray(animated("PNG", 2))
    place = data.index(b"acTL")
    struct.pack_into(">I", data, place + 4, frames)
    struct.pack_into(">I", data, place + 12, zlib.crc32(data[place : place + 12]))
    return bytes(data)


def exif_with_thumbnail(size: int = 60_000) -> bytes:
    """An EXIF block of two directories, the second with a thumbnail of this size."""
    first = struct.pack(">H", 1) + struct.pack(">HHII", 0x112, 3, 1, 1 << 16) + struct.pack(">I", 26)
    second = struct.pack(">H", 2) + struct.pack(">HHII", 0x201, 4, 1, 56) + struct.pack(">HHII", 0x202, 4, 1, size)
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + second + struct.pack(">I", 0) + bytes(size)


def big_endian_tiff() -> bytes:
    layout = tiffs.Layout(tiffs.GREY, 16, order=">")
    return tiffs.write(layout, tiffs.samples(layout, SIDE))


def raw_photograph() -> bytes:
    """As cameras write them: a reduced preview first, the sensor's samples in a directory beneath."""
    layout = tiffs.Layout(tiffs.RGB)
    data = bytearray(tiffs.write(layout, tiffs.samples(layout, SIDE)))
    (first,) = struct.unpack_from("<I", data, 4)
    struct.pack_into("<HHII", data, first + 2, 254, 4, 1, 1)  # in the place of the width, which nothing asks for
    return bytes(data)


def of_brand(brand: bytes) -> bytes:
    return struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 0, brand) + bytes(100)


def deep_folder_name(folders: int = 290) -> bytes:
    return b"d/" * folders + b"b62.png"


def sparse(path: Path, size: int = 2**40) -> None:
    path.touch()
    os.truncate(path, size)


def at_time(seconds: int) -> Callable[[Path], None]:
    def place(path: Path) -> None:
        path.write_bytes(encoded(photo(seed=80), "PNG"))
        os.utime(path, (seconds, seconds))

    return place


SVG = (
    b'<?xml version="1.0"?>\n<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<svg onload="alert(1)">&x;</svg>'
)

CUT = {
    "B01-baseline": lambda: encoded(photo(64, 64), "JPEG"),
    "B02-progressive": lambda: encoded(photo(64, 64), "JPEG", progressive=True),
    "B03-png": lambda: encoded(photo(), "PNG"),
    "B04-gif": lambda: encoded(photo(64, 64), "GIF"),
    "B05-webp": lambda: encoded(photo(96, 96), "WEBP", quality=95),
    "B05-tiff": lambda: encoded(photo(), "TIFF"),
    "B05-bmp": lambda: encoded(photo(), "BMP"),
}
BROKEN = [
    *(
        Input(f"{id}-{share:.0%}", cut(content, share), "TRUNCATED")
        for id, content in CUT.items()
        for share in (0.25, 0.5, 0.9)
    ),
    Input("B01-whole", CUT["B01-baseline"]),
    Input("B02-whole", CUT["B02-progressive"]),
    Input("B03-without-its-last-chunk", lambda: CUT["B03-png"]()[:-3], None, "TRAILER_MISSING"),
    Input("B04-without-its-end", lambda: CUT["B04-gif"]()[:-1], None, "TRAILER_MISSING CONVERTED"),
    Input("B06-zero-bytes", bytes, "EMPTY"),
    Input("B07-one-byte", lambda: b"\xff", "UNIDENTIFIED"),
    Input("B07-jpeg-magic", lambda: b"\xff\xd8\xff", "TRUNCATED"),
    Input("B07-png-magic", lambda: b"\x89PNG\r\n\x1a\n", "TRUNCATED"),
    Input("B07-gif-header", lambda: encoded(photo(), "GIF")[:13], "TRUNCATED"),
    Input("B07-png-header", lambda: png()[:33], "TRUNCATED"),
    Input("B07-jpeg-header", lambda: jpeg()[: jpeg().index(b"\xff\xda")], "TRUNCATED"),
    *(
        Input(f"B09-{k.decode()}", lambda k=k: broken_checksum(k), "CORRUPT")
        for k in (b"IHDR", b"IDAT", b"tEXt", b"IEND")
    ),
    *(Input(f"B08-seed-{seed}", lambda seed=seed: flipped(jpeg(), seed), either=True) for seed in range(20)),
    Input("B10-one-byte-more", lambda: jpeg() + b"x", None, "TRAILING_DATA"),
    Input("B10-10-MB-more", lambda: jpeg() + bytes(10**7), None, "TRAILING_DATA"),
    Input("B11-two-jpegs", lambda: jpeg() + encoded(photo(seed=1), "JPEG"), None, "TRAILING_DATA"),
    Input("B13-depth", lambda: bmp_with(28, "H", 7), "UNSUPPORTED_DEPTH"),
    Input("B13-no-depth", lambda: bmp_with(28, "H", 0), "UNSUPPORTED_DEPTH"),
    Input("B13-no-width", lambda: bmp_with(18, "i", 0), "CORRUPT"),
    Input("B13-negative-width", lambda: bmp_with(18, "i", -40), "TOO_MANY_PIXELS"),
    Input("B13-planes", lambda: bmp_with(26, "H", 0)),  # always 1, and so nothing reads it
    Input("B13-compression", lambda: bmp_with(30, "I", 77), "UNSUPPORTED_CODING"),
    Input("B13-runs", lambda: run_length_bmp((b"\x08\x64\0\0") * 8 + b"\0\1"), None, "CONVERTED"),
    Input("B13-runs-too-long", lambda: run_length_bmp(b"\xff\x64" * 40 + b"\0\1"), either=True),
    Input("B13-runs-too-short", lambda: run_length_bmp(b"\x08\x64\0\1"), either=True),
    Input("B14-arithmetic", lambda: ARITHMETIC_JPEG, None, "CONVERTED"),
    Input("B14-lossless", lossless_jpeg, None, "CONVERTED"),
    Input("B14-12-bit", twelve_bit_jpeg, "UNSUPPORTED_DEPTH"),
    Input("B14-hierarchical", hierarchical_jpeg, "UNSUPPORTED_CODING"),
    Input("B15-in-order", lambda: png_chunks(b"IHDR", b"IDAT", b"IDAT", b"IEND")),
    Input("B15-two-headers", lambda: png_chunks(b"IHDR", b"IHDR", b"IDAT", b"IDAT", b"IEND"), "CORRUPT"),
    Input("B15-gap", lambda: png_chunks(b"IHDR", b"IDAT", b"tEXt", b"IDAT", b"IEND"), "CORRUPT"),
    Input("B15-header-last", lambda: png_chunks(b"IDAT", b"IDAT", b"IHDR", b"IEND"), "CORRUPT"),
    Input("B15-no-pixels", lambda: png_of(4, 4, 8, 0, b"")[:33] + chunk(b"IEND", b""), "CORRUPT"),
]
BOMBS = [
    Input("B16-81-megapixels", lambda: bilevel_png(9000, 9000), "TOO_MANY_PIXELS"),
    Input("B17-169-megapixels", lambda: bilevel_png(13000, 13000), "TOO_MANY_PIXELS"),
    Input("B18-196-megapixels", lambda: bilevel_png(14000, 14000), "TOO_MANY_PIXELS"),
    Input("B19-65535-squared", lambda: png_of(65535, 65535, 8, 2, b"\0"), "TOO_MANY_PIXELS"),
    Input("B20-1-wide", lambda: bilevel_png(1, 65535), "BAD_ASPECT"),
    Input("B20-1-high", lambda: bilevel_png(65535, 1), "BAD_ASPECT"),
    Input("B20-longest-side", lambda: bilevel_png(16385, 400), "TOO_LONG_SIDE"),
    Input("B20-50-to-1", lambda: encoded(photo(200, 4), "PNG"), None),
    Input("B21-1x1", lambda: encoded(photo(1, 1), "PNG"), "TOO_SMALL"),
    Input("B21-2x2", lambda: encoded(photo(2, 2), "PNG"), "TOO_SMALL"),
    Input("B21-8x8", lambda: encoded(photo(8, 8), "PNG"), None),
    Input("B22-zero-wide-gif", zero_width_gif, "CORRUPT"),
    Input("B22-zero-wide-png", lambda: png_of(0, 40, 8, 0, bytes(40)), "CORRUPT"),
    Input("B23-gif-beyond-canvas", gif_beyond_canvas, "TOO_MANY_PIXELS"),
    Input("B24-webp-16383-squared", lambda: webp_header(16383, 16383), "TOO_MANY_PIXELS"),
    Input("B25-strip-of-4-GB", tiff_strip_of_4_gb, "CORRUPT"),
    Input("B25-100,000-directories", lambda: tiff_of_directories(10**5, reduced=True), None, "MULTI_PICTURE"),
    Input("B25-100,000-pages", lambda: tiff_of_directories(10**5), "MULTIPAGE"),
    Input("B25-beyond-any-file", lambda: b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(20), "TRUNCATED"),
    Input("B25-cyclic", lambda: tiff_of_directories(1, cyclic=True, reduced=True), None, "MULTI_PICTURE"),
    Input("B26-text-64-times-1-MB", lambda: compressed_text_png(64, 10**6), "METADATA_BOMB"),
    Input("B26-text-of-10-MB", lambda: compressed_text_png(1, 10**7), "METADATA_BOMB"),
    Input("B27-text-chunks", lambda: compressed_text_png(10**5, 1000), "METADATA_BOMB"),
    Input("B29-10,000-frames", lambda: many_frames_gif(10**4), None, "ANIMATED CONVERTED"),
    Input("B29-no-frames-by-its-word", lambda: apng_that_lies(0), either=True),
    Input("B29-a-billion-frames-by-its-word", lambda: apng_that_lies(2**31 - 1), either=True),
    Input("B29-gif", lambda: animated("GIF"), None, "ANIMATED CONVERTED"),
    Input("B29-apng", lambda: animated("PNG"), None, "ANIMATED"),
    Input("B29-webp", lambda: animated("WEBP"), None, "ANIMATED"),
    Input("B30-icc-of-5-MB", lambda: jpeg(icc_profile=bytes(5 * 2**20)), None, "METADATA_LARGE ICC_DROPPED"),
    Input("B30-icc-of-20-MB-packed", lambda: png(icc_profile=bytes(20 * 2**20)), "METADATA_BOMB"),
    Input("B30-icc-malformed", lambda: jpeg(icc_profile=b"\xff" * 1000), None, "ICC_DROPPED"),
    Input("B31-thumbnail", lambda: jpeg(exif=exif_with_thumbnail()), None, "EXIF_DROPPED"),
    Input("B31-exif-loop", lambda: jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\x08"), None, "EXIF_DROPPED"),
    Input(
        "B31-exif-garbage",
        lambda: jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        None,
        "EXIF_DROPPED ORIENTATION_INVALID",
    ),
]
COLOURS = [
    Input("B35-cmyk", cmyk_jpeg, None, "CONVERTED"),
    Input("B35-ycck", ycck_jpeg, None, "CONVERTED"),
    Input("B36-grey", lambda: png_16_bit(ramp_16_bit()), None, "SCALED_16_TO_8 CONVERTED"),
    Input("B36-rgb", lambda: png_16_bit(ramp_16_bit(3)), None, "SCALED_16_TO_8"),
    Input("B36-tiff", lambda: encoded(Image.fromarray(ramp_16_bit()), "TIFF"), None, "SCALED_16_TO_8 CONVERTED"),
    Input(
        "B37-float", lambda: encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), "UNSUPPORTED_DEPTH"
    ),
    Input("B37-int32", lambda: encoded(Image.fromarray(np.ones((8, 8), np.int32)), "TIFF"), "UNSUPPORTED_DEPTH"),
    Input("B38-palette", palette, None, "CONVERTED"),
    Input("B38-palette-key", lambda: palette(transparency=3), None, "CONVERTED ALPHA"),
    Input("B38-palette-levels", lambda: palette(transparency=bytes(range(0, 256, 4))), None, "CONVERTED ALPHA"),
    Input("B38-1-bit", lambda: encoded(Image.fromarray(photo()).convert("1"), "PNG"), None, "CONVERTED"),
    Input("B38-grey-alpha", lambda: encoded(alpha("L"), "PNG"), None, "CONVERTED ALPHA"),
    Input("B38-rgb-alpha", lambda: encoded(alpha("RGB"), "PNG"), None, "CONVERTED ALPHA"),
    Input("B38-webp-alpha", lambda: encoded(alpha("RGB"), "WEBP", lossless=True, exact=True), None, "CONVERTED ALPHA"),
    Input(
        "B38-rgb-key",
        lambda: encoded(np.full((8, 8, 3), 7, np.uint8), "PNG", transparency=(7, 7, 7)),
        None,
        "ALPHA ALL_TRANSPARENT",
    ),
    Input("B39-transparent", lambda: encoded(alpha("RGB", 0), "PNG"), None, "CONVERTED ALPHA ALL_TRANSPARENT"),
    Input("B40-black", lambda: encoded(np.zeros((8, 8, 3), np.uint8), "PNG"), None),
    Input("B40-white", lambda: encoded(np.full((8, 8, 3), 255, np.uint8), "JPEG"), None),
    Input("B40-one-colour", lambda: encoded(np.full((8, 8, 3), 99, np.uint8), "BMP"), None),
    Input("B41-upright", lambda: with_exif_orientation(1), None, "EXIF_DROPPED"),
    *(Input(f"B41-{v}", lambda v=v: with_exif_orientation(v), None, "EXIF_DROPPED ORIENTED") for v in range(2, 9)),
    *(
        Input(f"B41-{v}", lambda v=v: with_exif_orientation(v), None, "EXIF_DROPPED ORIENTATION_INVALID")
        for v in (0, 9, 255)
    ),
    *(
        Input(f"B41-{f}", lambda f=f: with_exif_orientation(6, f), None, "EXIF_DROPPED ORIENTED")
        for f in ("PNG", "WEBP")
    ),
    Input("B41-tiff", lambda: with_exif_orientation(6, "TIFF"), None, "ORIENTED"),
    Input("B42-lab", lambda: encoded(Image.new("LAB", (8, 8)), "TIFF"), "UNSUPPORTED_MODE"),
    Input("B42-ycbcr", lambda: encoded(Image.fromarray(photo()).convert("YCbCr"), "TIFF"), None, "CONVERTED"),
    Input(
        "B43-mpo",
        lambda: encoded(Image.fromarray(photo()), "MPO", save_all=True, append_images=[Image.fromarray(photo(seed=1))]),
        None,
        "MULTI_PICTURE",
    ),
    Input("B42-16-bit-big-endian", big_endian_tiff, None, "SCALED_16_TO_8 CONVERTED"),
    Input("B43-heic", lambda: of_brand(b"heic"), "FORMAT_NOT_ALLOWED"),
    Input("B43-jpeg-xl", lambda: b"\xff\x0a" + bytes(50), "FORMAT_NOT_ALLOWED"),
    Input("B43-raw", raw_photograph, "FORMAT_NOT_ALLOWED"),
    Input("B43-avif", lambda: encoded(photo(), "AVIF"), "FORMAT_NOT_ALLOWED"),
    Input("B44-two-pages", tiff_pages, "MULTIPAGE"),
    Input("B44-icon", lambda: encoded(photo(), "ICO"), "FORMAT_NOT_ALLOWED"),
    Input("B44-masked", lambda: tiff_of_directories(1, reduced=True), None, "MULTI_PICTURE"),
    Input("B45-4:4:4", lambda: encoded(photo(seed=45), "JPEG", subsampling=0)),
    Input("B45-4:2:0", lambda: encoded(photo(seed=45), "JPEG", subsampling=2)),
    Input("B46-jpeg", lambda: encoded(photo(seed=46), "JPEG", quality=95)),
    Input("B46-png", lambda: encoded(photo(seed=46), "PNG")),
    Input("B55-noise", lambda: encoded(np.random.default_rng(55).integers(0, 256, (32, 32, 3), np.uint8), "PNG")),
    Input("B45-odd-sides", lambda: encoded(photo(17, 17), "JPEG", subsampling=2), None),
]
POLYGLOTS = [
    Input("B33-fits", lambda: b"SIMPLE  =                    T" + bytes(2880), "FORMAT_NOT_ALLOWED"),
    Input("B33-fits-in-gzip", lambda: gzip.compress(b"SIMPLE  =                    T"), "ARCHIVE"),
    Input("B33-icns", lambda: b"icns" + struct.pack(">I", 8), "FORMAT_NOT_ALLOWED"),
    Input("B33-pdf", lambda: b"%PDF-1.4\n", "FORMAT_NOT_ALLOWED", name=b"b33.jpg"),
    Input("B33-psd", lambda: b"8BPS\0\1" + bytes(100), "FORMAT_NOT_ALLOWED"),
    Input("B33-jpeg-2000", lambda: encoded(photo(), "JPEG2000"), "FORMAT_NOT_ALLOWED"),
    Input("B34-eps", lambda: encoded(photo(), "EPS"), "FORMAT_NOT_ALLOWED"),
    Input("B47-svg", lambda: SVG, "FORMAT_NOT_ALLOWED"),
    Input("B47-bare-svg", lambda: b"\xef\xbb\xbf <svg></svg>", "FORMAT_NOT_ALLOWED"),
    Input("B48-html", lambda: b"<!DOCTYPE html><script>alert(1)</script>", "UNIDENTIFIED"),
    Input("B48-js", lambda: b"alert(1)//", "UNIDENTIFIED"),
    Input("B48-php", lambda: b"<?php system($_GET[0]); ?>", "UNIDENTIFIED"),
    Input("B48-elf", lambda: b"\x7fELF\2\1\1" + bytes(100), "UNIDENTIFIED"),
    Input("B48-pdf", lambda: b"%PDF-1.7\n", "FORMAT_NOT_ALLOWED"),
    Input("B49-gif-and-zip", lambda: encoded(photo(), "GIF") + zip_of_images(), None, "TRAILING_DATA CONVERTED"),
    Input("B49-jpeg-and-zip", lambda: jpeg() + zip_of_images(), None, "TRAILING_DATA"),
    Input("B49-jpeg-and-html", lambda: jpeg() + b"<script>alert(1)</script>", None, "TRAILING_DATA"),
    Input("B49-png-and-php", lambda: png() + b"<?php ?>", None, "TRAILING_DATA"),
    Input("B50-hostile-metadata", hostile_metadata_jpeg, None, ""),
    Input("B51-png-as-jpg", png, None, "EXT_MISMATCH", b"b51.jpg"),
    Input("B51-none", jpeg, None, "EXT_MISMATCH", b"b51"),
    Input("B51-double", jpeg, None, "EXT_MISMATCH", b"b51.jpg.exe"),
    Input("B51-upper-case", jpeg, None, "", b"B51.JPG"),
    Input("B54-zip", zip_of_images, "ARCHIVE"),
    Input("B54-tar", tar_of_images, "ARCHIVE"),
    Input("B54-gzip", lambda: gzip.compress(png()), "ARCHIVE"),
]
FILE_SYSTEM = [
    Input("B32-sparse", reason="TOO_LARGE", place=sparse, name=b"b32.jpg"),
    *(
        Input(f"B52-{name.decode()}", png, notes="EXT_MISMATCH", name=name, listed_as="NOT_IMAGE")
        for name in (b"Thumbs.db", b".DS_Store", b"._b52.jpg", b"b52.json", b"b52.txt", b"README", b"_SUCCESS")
    ),
    *(
        Input(f"B53-{name.decode()}", png, notes="EXT_MISMATCH", name=name, listed_as="PARTIAL_NAME")
        for name in (b"b53.tmp", b"b53.png.part", b"b53.crdownload", b"b53.png~")
    ),
    Input("B56-absolute", reason="SYMLINK", place=lambda path: path.symlink_to("/etc/passwd")),
    Input("B56-sibling", reason="SYMLINK", place=lambda path: path.symlink_to("plain.png")),
    Input("B56-dangling", reason="SYMLINK", place=lambda path: path.symlink_to("nowhere")),
    Input("B56-loop", reason="SYMLINK", place=lambda path: path.symlink_to(path.name)),
    Input("B58-hard-link", place=lambda path: path.hardlink_to(path.with_name("plain.png")), name=b"b58.png"),
    Input("B59-fifo", reason="SPECIAL", place=os.mkfifo),
    Input("B59-socket", reason="SPECIAL", place=make_socket),
    Input("B60-folder", reason="DIR", place=Path.mkdir, listed_as=""),
    Input("B62-290-folders", png, name=deep_folder_name()),
    Input("B80-1970", place=at_time(0), name=b"b80-1970.png"),
    Input("B80-2106", place=at_time(2**32), name=b"b80-2106.png"),
]
NAMES = [
    *(
        Input(f"B{number}-{name[:12]!r}", png, name=name)
        for number, names in {
            64: (b"a\nb.png", b"a\rb.png", b"a\tb.png", b"a\\b.png", b"\\.\n.png", b"\\N.png", b"'\".png"),
            65: (b"\xff\xfe.png",),
            66: ("\u00e9.png".encode(), "e\u0301.png".encode(), b"E.png", b"e.png", "\u0435.png".encode()),
            67: ("\u202egnp.png".encode(), "\u200b.png".encode(), "\U0001f30a.png".encode(), b"x" * 251 + b".png"),
            68: (b"<img src=x onerror=alert(1)>.png", b'"><script>.png'),
            69: (b"$(id).png", b"`id`.png", b";id .png", b"-rf.png", b"--help.png"),
            70: (b"{{ ds }}.png", b"['x'].png"),
            71: (b"=cmd|'calc'!A0.png", b"+1.png", b"@x.png"),
            74: tuple(b"b74-%d.png" % number for number in range(20)),
        }.items()
        for name in names
    ),
    Input("B64-only-dots", png, notes="EXT_MISMATCH", name=b"\\."),
    Input("B70-x.sh", png, notes="EXT_MISMATCH", name=b"x.sh"),
    Input("B70-x.env", png, notes="EXT_MISMATCH", name=b"x.env"),
    *(Input(f"B73-{n.decode()!r}", png, notes="EXT_MISMATCH", name=n) for n in (b"CON", b"NUL", b"dot.", b"space ")),
]
# What takes the whole of its CPU limit: in the drills, and by itself in test_sandbox.
SLOW = [Input("B28-1,500-scans", functools.partial(many_scans, 1500), "TIMEOUT")]
ALL = BROKEN + BOMBS + COLOURS + POLYGLOTS + FILE_SYSTEM + NAMES


def main(folder: Path) -> None:
    """A folder for each number of the catalogue, and `expected.json`: file name to what must become of it.

    A name is in Latin-1, byte for byte. What is expected is the reason, null for an image, and its notes; "either"
    where both ends are right, and "" for what the listing leaves for a later run.
    """
    expected: dict[str, dict[str, object]] = {}
    for given in ALL + SLOW:
        number = given.id[:3]
        (folder / number).mkdir(exist_ok=True)
        if number == "B58":
            Input("B58-plain", png, name=b"plain.png").write(folder / number)
            expected.setdefault(number, {})["plain.png"] = [None, ""]
        given.write(folder / number)
        listed = given.listed_as if given.listed_as is not None else given.reason
        end: object = "either" if given.either else [listed, given.notes]
        expected.setdefault(number, {})[given.listed_name.decode("latin-1")] = "" if given.listed_as == "" else end
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
