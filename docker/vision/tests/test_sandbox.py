"""What a decoder that crashes, hangs or takes too much costs, with real processes and real signals."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import inputs
import numpy as np
import pytest
from conftest import PROJECT, Drop, Packed

import strandline_contract as contract


def busy_workers(process: subprocess.Popen, seconds: float) -> set[int]:
    """The decoding processes of a pack that used more CPU time than this: importing takes half a second of it."""
    return {pid for pid in children(process.pid) if cpu_seconds(pid) > seconds}


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended since
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended since
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition, what: str):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + 120
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return value


def strike(process: subprocess.Popen, number: signal.Signals) -> None:
    """Send the signal to each of two workers in turn, the second one alone with what kept the first one busy."""
    struck: set[int] = set()
    for _ in range(2):
        (pid,) = wait_for(lambda: busy_workers(process, 1.5) - struck, "no worker is busy")
        os.kill(pid, number)
        struck.add(pid)
    assert process.wait(timeout=120) == 0


@functools.cache
def slow_image() -> bytes:
    return inputs.many_scans(1500)


def neighbours(drop: Drop, poison: bytes) -> None:
    """20 good files with the poison in their midst, all of one chunk."""
    for number in range(20):
        drop.add(b"%02d.png" % number, inputs.encoded(inputs.photo(seed=number), "PNG"))
        if number == 9:
            drop.add(b"poison.jpg", poison)


def only_the_poison_fell(packed: Packed, reason: str) -> None:
    assert packed.by_name[b"poison.jpg"]["reason"] == reason
    assert packed.result.counts["decoded"] == 20
    assert len(packed.images) == 20


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_costs_one_file(drop: Drop, number: signal.Signals):
    neighbours(drop, slow_image())
    request = drop.prepare(workers=1, cpu_seconds=100)
    with drop.packing(request) as process:
        strike(process, number)
    packed = drop.packed(request.parent)
    only_the_poison_fell(packed, "DECODER_CRASHED")
    assert number.name in packed.by_name[b"poison.jpg"]["detail"]


def test_a_hang_costs_one_file(drop: Drop):
    """A stopped process meets no limit of CPU time."""
    neighbours(drop, slow_image())
    request = drop.prepare(workers=1, cpu_seconds=100)
    with drop.packing(request) as process:
        strike(process, signal.SIGSTOP)
    packed = drop.packed(request.parent)
    only_the_poison_fell(packed, "TIMEOUT")
    assert "nothing happened" in packed.by_name[b"poison.jpg"]["detail"]


def test_too_much_cpu_time_costs_one_file(drop: Drop):
    neighbours(drop, slow_image())
    packed = drop.pack(cpu_seconds=1)
    only_the_poison_fell(packed, "TIMEOUT")
    assert "CPU" in packed.by_name[b"poison.jpg"]["detail"]


def test_too_much_memory_costs_one_file(drop: Drop):
    neighbours(drop, inputs.encoded(np.zeros((5000, 5000, 3), np.uint8), "PNG"))
    only_the_poison_fell(drop.pack(memory_bytes=64 * 2**20), "OUT_OF_MEMORY")


def test_a_crash_by_chance_costs_nothing(drop: Drop):
    neighbours(drop, inputs.many_scans(120))
    request = drop.prepare(workers=1, cpu_seconds=100)
    with drop.packing(request) as process:
        (worker,) = wait_for(lambda: busy_workers(process, 1.0), "no worker is busy")
        os.kill(worker, signal.SIGKILL)
        assert process.wait(timeout=120) == 0
    assert drop.packed(request.parent).result.counts["decoded"] == 21


def test_a_killed_pack_leaves_no_process_and_no_result(drop: Drop):
    neighbours(drop, inputs.many_scans(120))
    request = drop.prepare(cpu_seconds=100)
    with drop.packing(request) as process:
        workers = wait_for(lambda: busy_workers(process, 1.0), "no worker is busy")
        process.kill()
        process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "a worker outlived its parent")
    with pytest.raises(contract.NoResult):
        contract.read_result(request.parent, "pack")


@pytest.mark.parametrize("module", ["vision.commands.pack", "vision.decoding.worker"])
def test_the_decoder_shares_no_process_with_mxnet(module: str):
    program = f"import sys, {module}; sys.exit(bool({{'mxnet', 'gluoncv', 'cv2'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False).returncode == 0
