"""A full disk, for real: the store is a small file system, and it is full at the first byte, halfway, or at the end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import inputs
import numpy as np
import pytest
from conftest import PROJECT, Drop

import strandline_contract as contract
from vision import shards

# A mount namespace of its own: nothing is mounted for anybody else.
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
PAGE = 4096
SCRIPT = (
    'mount -t tmpfs -o size="$1" none "$2" && cp -a "$3/." "$2" && shift 3 && "$@"; code=$?; ls -A {out}; exit $code'
)
COLUMNS = (("image_id", "string"), ("pixels", "binary"))


def on_small_disk(store: Path, size: int, command: list[str], out: Path) -> tuple[int, set[str]]:
    """Run a command with a store of so many bytes; its exit code, and what it left in the folder `out`."""
    saved = store.with_name("saved")
    shutil.rmtree(saved, ignore_errors=True)
    shutil.copytree(store, saved)
    script = SCRIPT.format(out=out)
    environment = os.environ | {
        "STRANDLINE_LANDING": str(store.parent / "landing"),
        "STRANDLINE_STORE": str(store),
        "PYTHONPATH": str(PROJECT),
    }
    arguments = [*NAMESPACE, "sh", "-c", script, "sh", str(size), store, saved, *command]
    done = subprocess.run(arguments, env=environment, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode < 125, done.stderr
    return done.returncode, set(done.stdout.split())


def test_a_full_disk_leaves_no_half_shard_and_room_makes_the_same_rows(drop: Drop):
    random = np.random.default_rng(0)
    for number in range(200):
        drop.add(b"%03d.png" % number, inputs.encoded(random.integers(0, 256, (32, 32, 3), np.uint8), "PNG"))
    whole = drop.pack(workers=1)
    needed = sum(path.stat().st_size for path in (drop.folder / "store" / "attempt-1").iterdir())
    request = drop.prepare(workers=1)
    store = drop.folder / "store"
    shutil.rmtree(store / "attempt-1")
    command = [sys.executable, "-m", "vision", "pack", "--request", str(request)]
    listed = {path.name for path in request.parent.iterdir()}
    for size in (4 * PAGE, needed // 2, needed - 2 * PAGE):
        code, left = on_small_disk(store, size, command, request.parent)
        assert code == contract.EXIT_FAILED
        assert left == listed, size
    code, left = on_small_disk(store, 4 * needed, command, request.parent)
    assert code == 0
    assert left == listed | {contract.SHARD_FILE, contract.OUTCOMES_FILE, contract.PREVIEWS_FILE, contract.RESULT_FILE}
    with drop.packing(request) as process:
        process.communicate(timeout=240)
    assert drop.packed(request.parent).images == whole.images


@pytest.mark.parametrize("fails", ["open", "write", "fsync", "rename"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch, fails: str):
    """At the calls that a small disk does not make fail by itself, as well."""
    path = tmp_path / "manifest.json"
    contract.write_whole(path, b"before")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    where = {"open": (Path, "open"), "fsync": (os, "fsync"), "rename": (Path, "rename")}
    if fails in where:
        monkeypatch.setattr(*where[fails], refuse)
    with pytest.raises(OSError, match="No space"):
        write(path, refuse if fails == "write" else lambda: None)
    monkeypatch.undo()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("manifest.json", b"before")]


def test_a_table_whose_rows_fail_is_not_there(tmp_path: Path):
    with pytest.raises(ValueError, match="unknown"):
        write_table(tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def write(path: Path, then) -> None:
    with contract.whole(path) as file:
        file.write(b"after")
        then()


def write_table(path: Path) -> None:
    with shards.TableWriter(path, COLUMNS) as writer:
        writer.write({"image_id": ["a"], "pixels": [b"b"]})
        raise ValueError("unknown")
