"""Small real images without an imaging library: the Airflow environment has none."""

import struct
import zlib


def png(seed: int, side: int = 32) -> bytes:
    """An RGB PNG whose pixels depend on the seed."""
    rows = b"".join(
        b"\0" + bytes((seed * 7 + x * (channel + 3) + y * 5) % 256 for x in range(side) for channel in range(3))
        for y in range(side)
    )
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
