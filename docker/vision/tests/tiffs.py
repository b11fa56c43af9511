"""A writer of TIFF files from their samples: every mode, depth, layout and byte order, by no decoder's ideas."""

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

GREY_ON_WHITE, GREY, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
NONE, DEFLATE, PACKBITS = 1, 8, 32773
COLOURS = {GREY_ON_WHITE: 1, GREY: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2


@dataclass(frozen=True)
class Layout:
    """How a TIFF file holds its samples. `extra` are the kinds of the samples behind the colours."""

    photometric: int
    bits: int = 8
    extra: tuple[int, ...] = ()
    planar: bool = False
    sample_format: int = UNSIGNED
    compression: int = NONE
    order: str = "<"
    big: bool = False
    tiled: bool = False
    reversed_bits: bool = False

    @property
    def channels(self) -> int:
        return COLOURS[self.photometric] + len(self.extra)

    @property
    def id(self) -> str:
        colour = {0: "white-is-0", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "ycbcr"}[self.photometric]
        parts = [colour, f"{self.bits}-bit", *(("unspecified", "premultiplied", "straight")[e] for e in self.extra)]
        parts += ["planar"] * self.planar + ["signed", "float"][self.sample_format - 2 : self.sample_format - 1]
        parts += {NONE: [], DEFLATE: ["deflate"], PACKBITS: ["packbits"]}[self.compression]
        parts += ["big-endian"] * (self.order == ">") + ["bigtiff"] * self.big + ["tiled"] * self.tiled
        return "-".join(["tiff", *parts] + ["reversed-bits"] * self.reversed_bits)


def layouts() -> Iterator[Layout]:
    """What people's files are, and the corners: where the colours, the depth and the layout can go wrong together."""
    for photometric in COLOURS:
        extras = [(), (UNSPECIFIED,), (PREMULTIPLIED,), (STRAIGHT,)]
        extras = extras[:1] if photometric in (GREY_ON_WHITE, YCBCR) else extras
        if photometric == RGB:
            extras += [(STRAIGHT, UNSPECIFIED), (UNSPECIFIED, UNSPECIFIED)]
        depths = [(bits, UNSIGNED) for bits in (1, 2, 4, 8, 12, 16, 32)]
        depths += [(8, SIGNED), (16, SIGNED), (32, SIGNED), (16, FLOAT), (32, FLOAT)]
        if photometric == PALETTE:
            depths = [(bits, UNSIGNED) for bits in (1, 2, 4, 8, 16)]
        for extra, (bits, sample_format), planar, compression, order in itertools.product(
            extras, depths, (False, True), (NONE, DEFLATE), "<>"
        ):
            yield Layout(photometric, bits, extra, planar, sample_format, compression, order)
        yield Layout(photometric, compression=PACKBITS)
    for photometric, bits, planar, order in itertools.product((GREY, RGB, CMYK), (8, 16), (False, True), "<>"):
        yield Layout(photometric, bits, planar=planar, order=order, big=True)
        for compression in (NONE, DEFLATE):
            yield Layout(photometric, bits, planar=planar, order=order, tiled=True, compression=compression)
    for photometric, bits in itertools.product((GREY_ON_WHITE, GREY, RGB, PALETTE), (1, 2, 4, 8, 16)):
        for compression in (NONE, DEFLATE):
            yield Layout(photometric, bits, reversed_bits=True, compression=compression)


def samples(layout: Layout, side: int) -> np.ndarray:
    """[side, side, channels], of the layout's type and range; smooth, so that a decoder that errs shows."""
    rows, columns = np.mgrid[0:side, 0:side] / (side - 1)
    waves = [rows, columns, (rows + columns) / 2, 1 - rows * columns, 1 - columns, rows * rows]
    if layout.photometric == CMYK:
        waves[3] = waves[3] / 2
    if layout.extra:
        waves.insert(COLOURS[layout.photometric], 0.3 + 0.6 * (1 - rows))
    unit = np.stack(waves[: layout.channels], axis=2)
    if layout.extra and layout.extra[0] == PREMULTIPLIED:
        colours = COLOURS[layout.photometric]
        unit[..., :colours] *= unit[..., colours : colours + 1]
    if layout.sample_format == FLOAT:
        return unit.astype(f"f{layout.bits // 8}")
    if layout.sample_format == SIGNED:
        return np.rint(unit * (2 ** (layout.bits - 1) - 1)).astype(f"i{layout.bits // 8}")
    return np.floor(unit * (2**layout.bits - 1)).astype(np.uint32)


def palette(bits: int) -> np.ndarray:
    """uint16 [2**bits, 3]: distinct colours."""
    entries = np.arange(2**bits)
    return (np.stack([entries * 255 // (2**bits - 1), entries * 7 % 256, 255 - entries], axis=1) * 257).astype(
        np.uint16
    )


def write(layout: Layout, values: np.ndarray) -> bytes:
    """The file; strips of 16 rows, or tiles of 16 x 16."""
    height, width, channels = values.shape
    planes = [values[..., [c]] for c in range(channels)] if layout.planar else [values]
    blocks = [_packed(block, layout) for plane in planes for block in _blocks(plane, layout.tiled)]
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [layout.bits] * channels),
        259: ("H", [layout.compression]),
        262: ("H", [layout.photometric]),
        277: ("H", [channels]),
        284: ("H", [2 if layout.planar else 1]),
        339: ("H", [layout.sample_format] * channels),
    }
    if layout.tiled:
        tags |= {322: ("I", [16]), 323: ("I", [16])}
    else:
        tags[278] = ("I", [16])
    if layout.reversed_bits:
        tags[266] = ("H", [2])
    if layout.photometric == YCBCR:
        tags[530] = ("H", [1, 1])
    if layout.photometric == PALETTE:
        tags[320] = ("H", palette(layout.bits).T.ravel().tolist())
    if layout.extra:
        tags[338] = ("H", list(layout.extra))
    return framed(tags, blocks, layout.order, layout.big, layout.tiled)


def framed(
    tags: dict[int, tuple[str, list[int]]],
    blocks: list[bytes],
    order: str = "<",
    big: bool = False,
    tiled: bool = False,
) -> bytes:
    """Header, blocks of pixels, one directory. `tags`: number -> (struct's letter, values)."""
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    data += struct.pack(order + ("HHQ" if big else "I"), *((8, 0, 0) if big else (0,)))
    offsets = []
    for block in blocks:
        offsets.append(len(data))
        data += block + bytes(len(block) % 2)
    pointer = "Q" if big else "I"
    tags = tags | {
        324 if tiled else 273: (pointer, offsets),
        325 if tiled else 279: (pointer, [len(block) for block in blocks]),
    }
    entries = b""
    for tag, (letter, values) in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(content) > struct.calcsize(pointer):
            content, place = struct.pack(order + pointer, len(data)), content
            data += place + bytes(len(place) % 2)
        kind = {"B": 1, "H": 3, "I": 4, "Q": 16}[letter]
        entries += struct.pack(order + "HH" + pointer, tag, kind, len(values))
        entries += content.ljust(struct.calcsize(pointer), b"\0")
    struct.pack_into(order + pointer, data, 8 if big else 4, len(data))
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return bytes(data + count + entries + struct.pack(order + pointer, 0))


def _blocks(plane: np.ndarray, tiled: bool) -> Iterator[np.ndarray]:
    if not tiled:
        yield from (plane[top : top + 16] for top in range(0, len(plane), 16))
        return
    height, width = plane.shape[:2]
    whole = np.pad(plane, ((0, -height % 16), (0, -width % 16), (0, 0)))
    for top, left in itertools.product(range(0, height, 16), range(0, width, 16)):
        yield whole[top : top + 16, left : left + 16]


def _packed(block: np.ndarray, layout: Layout) -> bytes:
    rows = block.reshape(len(block), -1)
    if layout.bits in (8, 16, 32):
        kind = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[layout.sample_format]
        data = rows.astype(f"{layout.order}{kind}{layout.bits // 8}").tobytes()
    else:
        shifts = np.arange(layout.bits - 1, -1, -1)
        bits = (rows[..., None] >> shifts & 1).reshape(len(rows), -1).astype(np.uint8)
        data = np.packbits(bits, axis=1).tobytes()
    if layout.compression == DEFLATE:
        data = zlib.compress(data)
    elif layout.compression == PACKBITS:
        size = len(data) // len(block)  # each row by itself, as literal runs of up to 128 bytes
        runs = (
            data[row + i : row + min(i + 128, size)] for row in range(0, len(data), size) for i in range(0, size, 128)
        )
        data = b"".join(bytes([len(run) - 1]) + run for run in runs)
    if layout.reversed_bits:
        data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    return data
