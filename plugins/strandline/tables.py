"""Parquet files of vision processes, any of which hostile bytes may have taken over.

A few hundred bytes of Parquet can stand for terabytes: a value that is said a million times, a list without an end, a
page that lies about its size. So a file is judged by its footer before a page is read; texts are read as dictionaries,
and judged before they are written out; and all of it happens under a limit on memory, a few thousand rows at a time.
"""

import contextlib
import os
import resource
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import strandline_contract as contract

ROWS_AT_ONCE = 4096
PIXEL_ROWS_AT_ONCE = 256
MOST_ROWS = 10_000_000
FOOTER_BYTES = 16 * 2**20
MEMORY_BYTES = 2**31  # beyond what the process has: pyarrow's allocator reserves half of it at once
LIST_ITEMS = 2**14
# The largest value of a column, in bytes; of those that are not here, TEXT_BYTES.
VALUE_BYTES = {"pixels": 2**24, "name": 2**13, "detail": 2**11}
TEXT_BYTES = 2**10
SLACK_BYTES = 2**20  # of a column: page headers, and a dictionary of few values

Columns = Sequence[tuple[str, str]]


class _MemoryLimit:
    """MEMORY_BYTES beyond what the process has. The limit is the process's: of many threads, the last lifts it."""

    def __init__(self) -> None:
        self.lock, self.threads = threading.Lock(), 0
        self.before = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def __enter__(self) -> None:
        with self.lock:
            if self.threads == 0:
                soft, hard = self.before = resource.getrlimit(resource.RLIMIT_AS)
                has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                allowed = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
                resource.setrlimit(resource.RLIMIT_AS, (min([has + MEMORY_BYTES, *allowed]), hard))
            self.threads += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.threads -= 1
            if self.threads == 0:
                resource.setrlimit(resource.RLIMIT_AS, self.before)


_MEMORY = _MemoryLimit()


class TableError(contract.NoResult):
    """A Parquet file is not what it has to be; the message says in what, and nothing of it is used."""


def among(columns: Columns, *names: str) -> Columns:
    """Those of these names, in the order of the names."""
    kinds = dict(columns)
    return [(name, kinds[name]) for name in names]


def batches(
    path: Path, columns: Columns, rows: int | None = None, most: int = MOST_ROWS, images: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of these columns, a few thousand at a time.

    Args:
        columns: names and types, as the contract has them; others that the file has are not read.
        rows: how many it must have; by default `most` at the most.
        images: only rows with one of these in `image_id`, which is among the columns.

    Raises:
        TableError: the file is missing or no Parquet file, has another number of rows or lacks a column of this type,
            or a value or a list is larger than any of ours.
    """
    with _open(path, columns, rows, most) as file:
        yield from _batches(path, file, [name for name, _ in columns], images)


def read(
    path: Path, columns: Columns, rows: int | None = None, most: int = MOST_ROWS, images: Sequence[str] | None = None
) -> pa.Table:
    """As `batches`, all in one."""
    return pa.Table.from_batches(list(batches(path, columns, rows, most, images)), _schema(columns))


def pixels(path: Path, image: str) -> bytes | None:
    """Those of one image of a shard, None if it has no such image. Of the pixels one group of rows is read, no more.

    Raises:
        TableError: as `batches`.
    """
    with _open(path, among(contract.SHARD_COLUMNS, "image_id", "pixels"), None, MOST_ROWS) as file:
        for group in range(file.num_row_groups):
            if any(len(batch) for batch in _batches(path, file, ["image_id"], [image], group)):
                found = _batches(path, file, ["image_id", "pixels"], [image], group)
                return next(bytes(batch["pixels"][0].as_py()) for batch in found if len(batch))
    return None


def count(path: Path, columns: Columns, most: int = MOST_ROWS) -> int:
    """How many rows a file says that it has, once its footer was judged as `batches` does.

    Raises:
        TableError: as there.
    """
    with _open(path, columns, None, most) as file:
        return int(file.metadata.num_rows)


def names(path: Path) -> list[str]:
    """The columns that a file says that it has.

    Raises:
        TableError: as `batches`, if the footer cannot be read.
    """
    with _open(path, (), None, MOST_ROWS) as file:
        return [str(name) for name in file.schema_arrow.names]


def metadata(path: Path) -> dict[bytes, bytes]:
    """What a file says of itself beside its columns.

    Raises:
        TableError: as `batches`, if the footer cannot be read.
    """
    with _open(path, (), None, MOST_ROWS) as file:
        return dict(file.metadata.metadata or {})


def _batches(
    path: Path, file: pq.ParquetFile, names: Sequence[str], images: Sequence[str] | None, group: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Of these columns, and of one group of rows or all."""
    batch_rows = PIXEL_ROWS_AT_ONCE if "pixels" in names else ROWS_AT_ONCE
    groups = None if group is None else [group]
    found = file.iter_batches(batch_rows, row_groups=groups, columns=names, use_threads=False)
    while True:
        with _refusing(path):
            batch = next(found, None)
            if batch is None:
                return
            batch = _plain(path, batch.select(names), images)
        yield batch


@contextlib.contextmanager
def _open(path: Path, columns: Columns, rows: int | None, most: int) -> Iterator[pq.ParquetFile]:
    with contextlib.ExitStack() as stack:
        with _refusing(path):
            raw = stack.enter_context(contract.open_file(path))
            size = os.fstat(raw.fileno()).st_size
            end = os.pread(raw.fileno(), 8, max(size - 8, 0))
            if end[4:] != b"PAR1" or int.from_bytes(end[:4], "little") > min(FOOTER_BYTES, size - 12):
                raise TableError(f"{path} cannot be read: it is no Parquet file, or its footer is too large")
            metadata = pq.read_metadata(raw)
            _check_footer(path, metadata, columns, rows, most, size)
            texts = [name for name, kind in columns if kind in ("string", "binary")]
            file = pq.ParquetFile(raw, metadata=metadata, read_dictionary=texts, pre_buffer=False)
        yield file


def _check_footer(
    path: Path, metadata: pq.FileMetaData, columns: Columns, rows: int | None, most: int, size: int
) -> None:
    """Refuse a file by its footer."""
    if metadata.num_rows > most or (rows is not None and metadata.num_rows != rows):
        wanted = f"at most {most:,}" if rows is None else f"{rows:,}"
        raise TableError(f"{path} has {metadata.num_rows:,} rows, and must have {wanted}")
    found = [field for field in metadata.schema.to_arrow_schema() if field.name in dict(columns)]
    kinds = {field.name: field.type for field in found}
    wanted_kinds = {field.name: field.type for field in _schema(columns)}
    wrong = [f"{name} ({kind})" for name, kind in columns if kinds.get(name) != wanted_kinds[name]]
    if wrong or len(found) != len(columns):
        named = ", ".join(wrong) or "a column of each name"
        raise TableError(f"{path} lacks {named}, or has it twice or as another type: it is not ours")
    leaves = {metadata.schema.column(i).path.split(".")[0]: i for i in range(metadata.num_columns)}
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    if any(group.num_rows < 0 for group in groups) or sum(group.num_rows for group in groups) != metadata.num_rows:
        raise TableError(f"{path} has groups of rows that do not add up")
    for name, kind in columns:
        values = LIST_ITEMS if kind.startswith("list") else 1
        width = 4 * LIST_ITEMS if kind.startswith("list") else VALUE_BYTES.get(name, TEXT_BYTES)
        for group in groups:
            chunk, bound = group.column(leaves[name]), group.num_rows * (width + 8) + SLACK_BYTES
            fits = 0 <= chunk.num_values <= group.num_rows * values and 0 <= chunk.total_compressed_size <= size
            if not fits or not 0 <= chunk.total_uncompressed_size <= bound:
                raise TableError(
                    f"{path} has {chunk.num_values:,} values of {chunk.total_uncompressed_size:,} bytes in {name} for"
                    f" {group.num_rows:,} rows: that is more than any file of ours"
                )


def _plain(path: Path, batch: pa.RecordBatch, images: Sequence[str] | None) -> pa.RecordBatch:
    """The batch with its texts written out, once they are known to be small enough."""
    batch.validate(full=True)
    if images is not None:
        batch = batch.filter(pc.is_in(batch["image_id"].dictionary_decode(), value_set=pa.array(images, pa.string())))
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        largest = VALUE_BYTES.get(name, TEXT_BYTES)
        if pa.types.is_dictionary(column.type):
            values = column.dictionary
            if (pc.max(pc.binary_length(values)).as_py() or 0) > largest:
                raise TableError(f"{path} has a value of more than {largest:,} bytes in {name}: it is not ours")
            if pa.types.is_string(values.type) and pc.any(pc.match_substring(values, "\0")).as_py():
                raise TableError(f"{path} has a text with the character NUL in {name}: it is not ours")
            column = column.dictionary_decode()
        elif pa.types.is_list(column.type) and (pc.max(pc.list_value_length(column)).as_py() or 0) > LIST_ITEMS:
            raise TableError(f"{path} has a list of more than {LIST_ITEMS:,} numbers in {name}: it is not ours")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is the file's fault, and takes no more than MEMORY_BYTES."""
    try:
        with _MEMORY:
            yield
    except TableError:
        raise
    except MemoryError as error:
        raise TableError(f"{path} cannot be read: it takes more memory than any file of ours") from error
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise TableError(f"{path} cannot be read: {error}") from error


def _schema(columns: Columns) -> Any:
    kinds = {"list<item: float>": pa.list_(pa.float32()), "float": pa.float32(), "bool": pa.bool_()}
    return pa.schema([(name, kinds[kind] if kind in kinds else pa.type_for_alias(kind)) for name, kind in columns])
