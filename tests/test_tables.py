"""Hostile Parquet files, made for real: each is refused in a sentence, by a process that stays small."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import strandline_contract as contract
from strandline import settings, tables
from strandline.tables import TableError

COLUMNS = tables.among(contract.PREDICTION_COLUMNS, "image_id", "label", "probabilities")
ROWS = 60_000
MEGABYTES = 500  # of a process that has imported pyarrow, and read nothing or what is allowed
CHILD = """
import json, sys
from pathlib import Path
from strandline import tables
columns = [tuple(column) for column in json.loads(sys.argv[2])]
exec(sys.argv[4])
try:
    for batch in tables.batches(Path(sys.argv[1]), columns, rows=int(sys.argv[3])):
        pass
    print("taken")
except tables.TableError as error:
    print(error)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) // 1024)  # ru_maxrss would count the process that forked this one
"""


def read_in_child(path: Path, rows: int, prepare: str = "") -> str:
    """What a process says that reads a file; it must not have grown."""
    command = [sys.executable, "-c", CHILD, str(path), json.dumps(COLUMNS), str(rows), prepare]
    environment = os.environ | {"PYTHONPATH": str(settings.REPOSITORY / "plugins")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *said, peak = done.stdout.splitlines()
    assert int(peak) < MEGABYTES
    return "\n".join(said)


def lists(rows: int, items: int = 3) -> pa.Array:
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * items)
    return pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * items, np.float32)))


def write(path: Path, rows: int = ROWS, group: int = ROWS, **columns: pa.Array) -> None:
    given = {"image_id": ["0" * 64] * rows, "label": ["cat"] * rows, "probabilities": lists(rows)} | columns
    pq.write_table(pa.table(given), path, row_group_size=group, compression="zstd", store_schema=False)


def said_often(value: str, rows: int = ROWS) -> pa.Array:
    """One value a row, of which the file holds one."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))


def lie(path: Path, number: int, lower: int) -> None:
    """Write a lower number into the footer wherever this one is (zigzag, in groups of seven bits)."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[-8:-4], "little")
    start = len(raw) - 8 - length
    found, told = bytearray(), bytearray()
    truth, told_number = 2 * number, 2 * lower
    while truth:
        found.append(truth & 0x7F | (0x80 if truth > 0x7F else 0))
        told.append(told_number & 0x7F | (0x80 if truth > 0x7F else 0))
        truth, told_number = truth >> 7, told_number >> 7
    assert bytes(found) in raw[start:]
    path.write_bytes(raw[:start] + raw[start:].replace(bytes(found), bytes(told)))


def a_text_said_often(path: Path) -> None:
    write(path, image_id=said_often("x" * 100_000))


def a_text_without_an_end(path: Path) -> None:
    write(path, 1, label=pa.array(["x" * 50_000_000]))


def a_list_without_an_end(path: Path) -> None:
    write(path, 1, probabilities=lists(1, 50_000_000))


def a_list_that_the_footer_hides(path: Path) -> None:
    a_list_without_an_end(path)
    lie(path, 50_000_000, 3)


def a_list_too_long(path: Path) -> None:
    offsets = pa.array([0, tables.LIST_ITEMS + 1, *[tables.LIST_ITEMS + 1] * (ROWS - 1)], pa.int32())
    values = pa.array(np.zeros(tables.LIST_ITEMS + 1, np.float32))
    write(path, probabilities=pa.ListArray.from_arrays(offsets, values))


def more_rows(path: Path) -> None:
    write(path, 5_000_000, 5_000_000, image_id=said_often("x", 5_000_000), label=said_often("x", 5_000_000))


def a_footer_without_an_end(path: Path) -> None:
    path.write_bytes(b"PAR1" + bytes(40 * 2**20) + (40 * 2**20).to_bytes(4, "little") + b"PAR1")


HOSTILE: dict[Callable[[Path], None], str] = {
    a_text_said_often: "value of more than 1,024 bytes in image_id",
    a_text_without_an_end: "in label for 1 rows: that is more",
    a_list_without_an_end: "50,000,000 values of",
    a_list_too_long: "list of more than 16,384 numbers",
    more_rows: "has 5,000,000 rows, and must have",
    a_footer_without_an_end: "footer is too large",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_small_file_that_is_huge_when_read_is_refused_by_a_process_that_stays_small(tmp_path, make):
    path = tmp_path / "predictions.parquet"
    make(path)
    rows = 1 if make in (a_text_without_an_end, a_list_without_an_end) else ROWS
    assert HOSTILE[make] in read_in_child(path, rows)


def test_a_list_that_the_footer_hides_takes_no_more_memory_than_is_allowed(tmp_path):
    path = tmp_path / "predictions.parquet"
    a_list_that_the_footer_hides(path)
    # The allocator that is the default reserves a gibibyte at once; this one takes what it is asked for.
    limit = "import pyarrow; pyarrow.set_memory_pool(pyarrow.system_memory_pool()); tables.MEMORY_BYTES = 2**27"
    said = read_in_child(path, 1, prepare=limit)
    assert "takes more memory than any file of ours" in said


def test_a_whole_file_is_taken_by_a_process_that_stays_small(tmp_path):
    write(tmp_path / "whole.parquet", group=tables.ROWS_AT_ONCE, image_id=pa.array([f"{n:064}" for n in range(ROWS)]))
    assert read_in_child(tmp_path / "whole.parquet", ROWS) == "taken"


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"image_id": pa.array([1, 2])}, r"lacks image_id \(string\)"),
        ({"probabilities": pa.array([[1.0], [1.0]], pa.list_(pa.float64()))}, r"lacks probabilities \(list"),
        ({"label": pa.array([b"\xff", b"a"], pa.binary()).view(pa.string())}, "UTF8|UTF-8"),
        ({"label": pa.array(["a\0", "b"])}, "NUL"),
    ],
    ids=["another type", "another type of numbers", "no text", "a text that the ledger cannot hold"],
)
def test_a_column_of_another_kind_is_refused(tmp_path, columns, says):
    write(tmp_path / "x.parquet", 2, **columns)
    with pytest.raises(TableError, match=says):
        tables.read(tmp_path / "x.parquet", COLUMNS)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["image_id", "image_id"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(TableError, match="twice"):
        tables.read(tmp_path / "x.parquet", COLUMNS[:1])


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1PAR1PAR1", b"x" * 100, b"PAR1" + b"\0" * 50 + b"\x10\0\0\0PAR1"]
)
def test_what_is_no_parquet_file_is_refused(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(TableError, match="cannot be read"):
        tables.read(tmp_path / "x.parquet", COLUMNS)


def test_every_flipped_byte_is_an_answer_or_a_refusal(tmp_path):
    write(tmp_path / "whole.parquet", 3)
    raw = (tmp_path / "whole.parquet").read_bytes()
    for place in range(0, len(raw), 3):
        flipped = bytearray(raw)
        flipped[place] ^= 0x55
        (tmp_path / "x.parquet").write_bytes(flipped)
        with contextlib.suppress(TableError):
            assert len(tables.read(tmp_path / "x.parquet", COLUMNS)) <= 3


def test_the_limit_on_memory_ends_with_the_reading(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_AS)
    write(tmp_path / "x.parquet", 2)
    for _ in tables.batches(tmp_path / "x.parquet", COLUMNS):
        assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_the_limit_on_memory_ends_with_the_reading_of_the_last_thread(tmp_path):
    """Whatever the order in which they end: what is left of a limit breaks all that the process starts later."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    first, second = tables._refusing(tmp_path / "first"), tables._refusing(tmp_path / "second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert resource.getrlimit(resource.RLIMIT_AS) != before
    second.__exit__(None, None, None)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_only_the_images_that_are_asked_for_are_read(tmp_path):
    write(tmp_path / "x.parquet", 2, image_id=pa.array(["a", "b"]))
    assert tables.read(tmp_path / "x.parquet", COLUMNS, images=["b", "c"])["image_id"].to_pylist() == ["b"]
