"""What a write that was cut short has left is removed once it is old, and nothing else."""

import os
import time

from strandline import leftovers


def test_only_old_unfinished_files_and_folders_are_removed(tmp_path):
    old = time.time() - 2 * leftovers.OLD_SECONDS
    made = [
        "runs/a/shard.parquet",
        "runs/a/shard.parquet.7-00.partial",
        "models/.partial-x/weights",
        "datasets/b.partial",
    ]
    for name in made:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        if name != "datasets/b.partial":
            for each in (path, path.parent):
                os.utime(each, (old, old))
    assert leftovers.remove(tmp_path) == ["models/.partial-x", "runs/a/shard.parquet.7-00.partial"]
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"runs/a/shard.parquet", "datasets/b.partial"}
    assert leftovers.remove(tmp_path) == []
