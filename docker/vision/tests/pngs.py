"""A writer of PNG files from their samples: every colour type, depth, transparent colour and interlacing."""

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
# Of Adam7: first row, first column, step of rows, step of columns.
_PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


@dataclass(frozen=True)
class Layout:
    """How a PNG file holds its samples; `key`: with a transparent colour, or with levels of the palette's entries."""

    colour: int
    depth: int
    key: bool = False
    interlaced: bool = False

    @property
    def channels(self) -> int:
        return _CHANNELS[self.colour]

    @property
    def id(self) -> str:
        colour = {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgb-alpha"}[self.colour]
        return f"png-{colour}-{self.depth}-bit" + "-key" * self.key + "-interlaced" * self.interlaced


def layouts() -> Iterator[Layout]:
    for colour, depths in _DEPTHS.items():
        keys = (False, True) if colour in (GREY, RGB, PALETTE) else (False,)
        for depth, key, interlaced in itertools.product(depths, keys, (False, True)):
            yield Layout(colour, depth, key, interlaced)


def samples(layout: Layout, side: int) -> np.ndarray:
    """uint16 [side, side, channels]: smooth; dark beside a transparent colour of 16 bits, to have its high byte."""
    rows, columns = np.mgrid[0:side, 0:side] / (side - 1)
    waves = np.stack([(rows + columns) / 2, columns, 1 - rows * columns, 0.3 + 0.6 * rows], axis=2)
    waves = waves[..., [0, 3]] if layout.colour == GREY_ALPHA else waves[..., : layout.channels]
    values = np.floor(waves * (2**layout.depth - 1)).astype(np.uint16)
    return values >> 7 if layout.key and layout.depth == 16 else values


def key_of(values: np.ndarray) -> np.ndarray:
    """The transparent colour: that of the pixel in the middle."""
    return values[len(values) // 2, len(values) // 2]


def palette(depth: int) -> np.ndarray:
    """uint8 [2**depth, 4]: distinct colours and levels."""
    entries = np.arange(2**depth)
    scaled = entries * 255 // (2**depth - 1)
    return np.stack([scaled, entries * 7 % 256, 255 - entries, 255 - scaled // 2], axis=1).astype(np.uint8)


def write(layout: Layout, values: np.ndarray) -> bytes:
    height, width = values.shape[:2]
    parts = [values[r::y, c::x] for r, c, y, x in _PASSES] if layout.interlaced else [values]
    rows = b"".join(b"\0" + _packed(row, layout.depth) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, layout.depth, layout.colour, 0, 0, layout.interlaced)
    chunks = [(b"IHDR", header)]
    if layout.colour == PALETTE:
        chunks.append((b"PLTE", palette(layout.depth)[:, :3].tobytes()))
    if layout.key:
        levels = palette(layout.depth)[:, 3].tobytes()
        chunks.append((b"tRNS", levels if layout.colour == PALETTE else key_of(values).astype(">u2").tobytes()))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _packed(row: np.ndarray, depth: int) -> bytes:
    if depth >= 8:
        return row.astype(f">u{depth // 8}").tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1) & 1).astype(np.uint8)
    return np.packbits(bits).tobytes()
