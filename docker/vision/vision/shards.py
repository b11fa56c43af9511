"""Parquet files of the contract: written with exactly the columns it names, read by those that are asked for."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import strandline_contract as contract

READ_ROWS = 4096
_TYPES = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "list<item: float>": pa.list_(pa.float32()),
}


def schema(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    return pa.schema([(name, _TYPES[kind]) for name, kind in columns])


def read_table(path: Path, columns: Sequence[tuple[str, str]], select: Sequence[str] | None = None) -> pa.Table:
    """These columns, all of the contract's by default. Others are not looked at: a shard may be older than a statistic.

    Raises:
        contract.BadInput: not Parquet, or it lacks one of them, or has it as another type.
    """
    check(path, columns, select)
    return pq.read_table(path, columns=list(select or (name for name, _ in columns)))


def check(path: Path, columns: Sequence[tuple[str, str]], select: Sequence[str] | None = None) -> None:
    """As `read_table`, without reading."""
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise contract.BadInput(f"{path} is not a Parquet file: {error}") from error
    kinds = dict(zip(found.names, found.types, strict=True))
    wanted = schema((name, kind) for name, kind in columns if select is None or name in select)
    if wrong := [field.name for field in wanted if kinds.get(field.name) != field.type]:
        raise contract.BadInput(f"{path} lacks {', '.join(wrong)}, or has it as another type than the contract's")


class TableWriter:
    """Write rows in groups, so that memory stays flat however many there are. The file has its name once it is closed.

    A context manager that leaves no file if its block fails.
    """

    def __init__(
        self, path: Path, columns: Sequence[tuple[str, str]], metadata: Mapping[bytes, bytes] | None = None
    ) -> None:
        self._schema = schema(columns).with_metadata(metadata)
        with contextlib.ExitStack() as opening:
            file = opening.enter_context(contract.whole(path))
            writer = pq.ParquetWriter(file, self._schema, compression="zstd", compression_level=1)
            self._writer = opening.enter_context(writer)
            self._open = opening.pop_all()
        self.rows = 0

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, columns: Mapping[str, Any]) -> None:
        table = pa.table({name: columns[name] for name in self._schema.names}, schema=self._schema)
        self._writer.write_table(table)
        self.rows += table.num_rows

    def close(self) -> None:
        self._open.close()


def resize_metadata(rule: contract.ResizeRule) -> dict[bytes, bytes]:
    """What a shard says of how its pixels were made."""
    return {contract.RESIZE_RULE: json.dumps(rule.to_dict()).encode()}


def check_resize_rule(shard: Path, wanted: contract.ResizeRule) -> None:
    """
    Raises:
        contract.BadInput: the shard's pixels were made by another rule.
    """
    said = (pq.read_schema(shard).metadata or {}).get(contract.RESIZE_RULE)
    try:
        # A shard that does not say it is of before there was a choice; its size is seen by the bytes of its rows.
        found = contract.ResizeRule.from_json(said) if said else contract.ResizeRule(wanted.height, wanted.width)
    except contract.BadRequest as error:
        raise contract.BadInput(f"{shard} does not say how its images were made: {error}") from error
    if found != wanted:
        raise contract.BadInput(
            f"the images of {shard} were made {found}, and the model wants {wanted}: pack the files again for it"
        )


def read_images(shard: Path, rule: contract.ResizeRule) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Image ids and pixels uint8 [n, height, width, 3] of a shard, a few thousand rows at a time.

    Raises:
        contract.BadInput: the file is no shard, or its pixels were made by another rule.
    """
    columns = ["image_id", "pixels"]
    check(shard, contract.SHARD_COLUMNS, columns)
    check_resize_rule(shard, rule)
    for batch in pq.ParquetFile(shard).iter_batches(READ_ROWS, columns=columns):
        yield batch["image_id"], pixels(batch["pixels"], rule.height, rule.width)


def pixels(column: pa.ChunkedArray | pa.Array, height: int, width: int) -> np.ndarray:
    """uint8 [n, height, width, 3] of a shard's `pixels` column.

    Raises:
        contract.BadInput: a row has another number of bytes.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    size = height * width * 3
    arrays = [_pixels_of_chunk(chunk, size) for chunk in chunks]
    flat = np.concatenate(arrays) if arrays else np.empty((0, size), np.uint8)
    return flat.reshape(-1, height, width, 3)


def _pixels_of_chunk(chunk: pa.Array, size: int) -> np.ndarray:
    _, offset_buffer, data = chunk.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    if chunk.null_count or (np.diff(offsets) != size).any():
        raise contract.BadInput(f"a shard row does not have {size} bytes of pixels")
    if not len(chunk):
        return np.empty((0, size), np.uint8)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].reshape(-1, size)


def labelled_images(
    store: Path, shard_refs: Iterable[contract.FileRef], labels: contract.FileRef, rule: contract.ResizeRule
) -> tuple[list[str], np.ndarray, list[str]]:
    """Image ids, pixels [n, height, width, 3] and labels of every labelled image, in the order of their ids.

    Raises:
        contract.BadInput: a file is altered, a label names an image that no shard has, or a shard's pixels were made by
            another rule.
    """
    path = contract.verified(store, labels)
    table = read_table(path, contract.LABEL_COLUMNS)
    label_of = dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))
    rows: dict[str, np.ndarray] = {}
    for ref in shard_refs:
        file = contract.verified(store, ref)
        shard = read_table(file, contract.SHARD_COLUMNS, ("image_id", "pixels"))
        check_resize_rule(file, rule)
        images = pixels(shard["pixels"], rule.height, rule.width)
        rows |= {i: image for i, image in zip(shard["image_id"].to_pylist(), images, strict=True) if i in label_of}
    if missing := len(label_of.keys() - rows.keys()):
        raise contract.BadInput(f"{path} labels {missing} images that no shard has")
    ids = sorted(rows)
    if not ids:
        raise contract.BadInput(f"{path} labels no image")
    return ids, np.stack([rows[i] for i in ids]), [label_of[i] for i in ids]
