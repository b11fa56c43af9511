"""Small real images without an imaging library: the Airflow environment has none."""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import strandline_contract as contract
from strandline import settings


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


def pack_request(config: settings.Settings, shard_id: str, count: int = 3) -> dict[str, Any]:
    """The request to pack images that this puts into the landing zone."""
    names = [b"2026-11-21T08/cat/%d.png" % number for number in range(count)]
    for number, name in enumerate(names):
        path = config.landing / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return pack_request_of(config, shard_id, names, config.store / "manifest.parquet")


def pack_request_of(config: settings.Settings, shard_id: str, names: Sequence[bytes], manifest: Path) -> dict[str, Any]:
    """The request to pack these files of the landing zone, with the manifest that this writes."""
    stats = [(config.landing / os.fsdecode(name)).stat() for name in names]
    columns = {"entry": pa.array(range(len(names)), pa.int32()), "name": names}
    columns["version"] = [f"{s.st_size}-{s.st_mtime_ns}" for s in stats]
    manifest.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), manifest)
    ref = {"path": str(manifest.relative_to(config.store)), "sha256": contract.sha256_file(manifest)}
    sizes = {"height": 32, "width": 32, "workers": 1}
    return {"shard_id": shard_id, "manifest": ref, "limits": contract.Limits().to_dict()} | sizes
