"""The pieces of `make bench-million`: files that are all different, and who takes how much memory."""

import json
import os
import subprocess
import sys
import time

from local.bench import memory, million
from local.stack import configuration
from strandline import settings

FILES = """
import hashlib, json
from pathlib import Path
import numpy as np
from local.bench.distinct import Drop

photographs = np.random.default_rng(7).integers(0, 256, (20, 32, 32, 3), np.uint8)
drops = [Drop(Path(), 0, photographs, np.arange(20) % 10, seed) for seed in (0, 0, 1)]
print(json.dumps([[(name, hashlib.sha256(content).hexdigest()) for name, content in map(drop.file, range(200))]
                  for drop in drops]))
"""


def test_the_files_of_a_drop_are_all_different_and_always_the_same():
    environment = os.environ | {"PYTHONPATH": configuration.PYTHONPATH}
    done = subprocess.run([settings.load().vision.python, "-c", FILES], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drop, again, other = json.loads(done.stdout)
    assert drop == again
    for place in (0, 1):
        assert len({file[place] for file in drop}) == 200
    assert not {content for _, content in drop} & {content for _, content in other}


def test_the_largest_process_of_each_part_is_found():
    """Below ours; by its command, or by the title that Airflow gives it."""
    code = "held = b'x' * int({} * 2**20); print(flush=True); input()"
    tasks = {"0" * 36: "load"}
    parts = {"pack: a decoding process": "vision.decoding.worker", "task load": f"airflow worker -- {'0' * 36}"}
    with memory.Watch(lambda: [os.getpid()]) as watch:
        for size, (part, title) in zip((64, 128), parts.items(), strict=True):
            command = [sys.executable, "-c", code.format(size), title]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                process.stdout.readline()
                while part not in watch.peaks(tasks) or watch.peaks(tasks)[part].memory < size * 2**20:
                    time.sleep(0.01)
                process.communicate(b"\n")
    peaks = watch.peaks(tasks)
    assert set(parts) <= set(peaks)
    assert peaks["task load"].memory >= 128 * 2**20 > peaks["pack: a decoding process"].memory >= 64 * 2**20
    assert peaks["task load"].processes == 1


def test_the_table_has_a_column_a_drop():
    drop = {"seconds": 10.0, "task_seconds": {"list": 1.0}, "memory": {"task list": {"memory": 2**28, "processes": 1}}}
    table = million.table({"drops": {"1000": drop, "10000": drop | {"seconds": 20.0}}})
    assert "500" in table.splitlines()[2]
    assert table.splitlines()[-1].split() == ["task", "list", "256", "256"]
