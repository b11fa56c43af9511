"""`vision pack` over drops of hostile files: every entry has its one outcome, and nothing else suffers."""

import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import inputs
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT, Drop, Packed
from inputs import Input

from vision import contract, reasons

CUT = {
    "baseline": lambda: inputs.encoded(inputs.photo(64, 64), "JPEG"),
    "progressive": lambda: inputs.encoded(inputs.photo(64, 64), "JPEG", progressive=True),
    "png": lambda: inputs.encoded(inputs.photo(), "PNG"),
    "gif": lambda: inputs.encoded(inputs.photo(64, 64), "GIF"),
    "webp": lambda: inputs.encoded(inputs.photo(96, 96), "WEBP", quality=95),
    "webp-lossless": lambda: inputs.encoded(inputs.photo(), "WEBP", lossless=True),
    "tiff": lambda: inputs.encoded(inputs.photo(), "TIFF"),
    "tiff-deflate": lambda: inputs.encoded(inputs.photo(), "TIFF", compression="tiff_adobe_deflate"),
    "bmp": lambda: inputs.encoded(inputs.photo(), "BMP"),
}


def put(drop: Drop, given: Input) -> None:
    if given.place:
        given.place(drop.path(given.listed_name))
        drop.list(given.listed_name)
    else:
        drop.add(given.listed_name, given.content())


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Drop:
    drop = Drop(tmp_path_factory.mktemp("catalogue"))
    drop.add(b"plain.png", inputs.png())
    for given in inputs.ALL:
        put(drop, given)
    return drop


@pytest.fixture(scope="module")
def packed(catalogue: Drop) -> Packed:
    return catalogue.pack()


@pytest.mark.parametrize("given", inputs.ALL, ids=lambda given: given.id)
def test_input(packed: Packed, given: Input):
    row = packed.by_name[given.listed_name]
    assert row["reason"] == given.reason, row["detail"]
    if given.reason is None:
        assert (row["notes"] or "").split() == given.notes.split()
    else:
        assert row["status"] == reasons.STATUS_OF[given.reason]


def test_inputs_in_another_order_give_the_same_rows(catalogue: Drop, packed: Packed):
    again = dataclasses.replace(catalogue, listed=catalogue.listed[::-1]).pack(workers=1)
    assert {n: r | {"entry": 0} for n, r in again.by_name.items()} == {
        n: r | {"entry": 0} for n, r in packed.by_name.items()
    }
    assert sorted(again.images, key=repr) == sorted(packed.images, key=repr)


def test_a_second_run_writes_the_same_bytes(catalogue: Drop, packed: Packed):
    assert catalogue.pack(workers=1).result.files == packed.result.files


@pytest.mark.parametrize("kind", CUT)
def test_cut_files_are_refused(tmp_path: Path, kind: str):
    whole = CUT[kind]()
    ends = sorted({len(whole) * part // 200 for part in range(1, 200)} | {len(whole) - n for n in (1, 2, 3)})
    drop = Drop(tmp_path)
    for end in ends:
        drop.add(b"%06d" % end, whole[:end])
    drop.add(b"whole", whole)
    packed = drop.pack()
    assert packed.outcomes[-1]["status"] == "decoded"
    # What may be missing of a whole picture: PNG's 12 bytes of IEND; GIF's trailer and the end of its last block.
    spare = {"png": 12, "gif": 2}.get(kind, 0)
    for end, row in zip(ends, packed.outcomes[:-1], strict=True):
        if row["status"] == "decoded":
            assert len(whole) - end <= spare
            assert "TRAILER_MISSING" in row["notes"].split()
        else:
            assert len(whole) - end > spare or kind == "gif"
            assert row["reason"] == ("TRUNCATED" if end >= 16 else row["reason"])
    assert {row["reason"] for row in packed.outcomes[:-1]} <= {"TRUNCATED", "UNIDENTIFIED", None}


@pytest.mark.parametrize("kind", ["baseline", "progressive", "png", "gif", "webp", "tiff-deflate"])
def test_one_flipped_bit_never_costs_more_than_its_file(tmp_path: Path, kind: str):
    whole = CUT[kind]()
    drop = Drop(tmp_path)
    random = np.random.default_rng(8)
    for seed in range(150):
        bit = int(random.integers(len(whole) * 8))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        drop.add(b"%03d" % seed, bytes(flipped))
    packed = drop.pack()
    assert {row["status"] for row in packed.outcomes} <= {"decoded", "quarantined"}
    assert {row["reason"] for row in packed.outcomes}.isdisjoint({"DECODER_CRASHED", "TIMEOUT", "OUT_OF_MEMORY"})
    assert drop.pack(workers=1).outcomes == packed.outcomes


def expected_cmyk(stored: np.ndarray) -> np.ndarray:
    ink = stored.astype(float)
    return (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255


def expected_ycck(stored: np.ndarray) -> np.ndarray:
    """The first three stored samples are the YCbCr of the inks cyan, magenta, yellow; all are stored inverted."""
    luma, blue, red, light = np.moveaxis(255 - stored.astype(float), 2, 0)
    inks = [
        luma + 1.402 * (red - 128),
        luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
        luma + 1.772 * (blue - 128),
    ]
    return (255 - np.clip(np.stack(inks, axis=2), 0, 255)) * light[..., None] / 255


def on_white(colour: np.ndarray, level: np.ndarray) -> np.ndarray:
    share = level[..., None] / 255
    return colour * share + 255 * (1 - share)


RAMP = np.tile(np.linspace(0, 255, inputs.SIDE).astype(np.uint8), (inputs.SIDE, 1))
GREY = np.rint(inputs.photo() @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=2)


COLOURS = {
    "B35-cmyk": (lambda: expected_cmyk(inputs.cmyk_blocks()), 4),
    "B35-ycck": (lambda: expected_ycck(inputs.cmyk_blocks()), 5),
    "B36-grey": (lambda: inputs.ramp_16_bit()[..., None].repeat(3, axis=2) / 257, 1),
    "B36-rgb": (lambda: inputs.ramp_16_bit(3) / 257, 1),
    "B36-tiff": (lambda: inputs.ramp_16_bit()[..., None].repeat(3, axis=2) / 257, 1),
    "B38-grey-alpha": (lambda: on_white(GREY, RAMP), 1.5),
    "B38-rgb-alpha": (lambda: on_white(inputs.photo(), RAMP), 1),
    "B38-webp-alpha": (lambda: on_white(inputs.photo(), RAMP), 1),
    "B39-transparent": (lambda: np.full((inputs.SIDE, inputs.SIDE, 3), 255), 0),
}


@pytest.fixture(scope="module")
def in_full_size(tmp_path_factory) -> Packed:
    drop = Drop(tmp_path_factory.mktemp("colours"))
    for given in inputs.COLOURS:
        put(drop, given)
    return drop.pack(height=inputs.SIDE, width=inputs.SIDE)


@pytest.mark.parametrize("id", COLOURS)
def test_colours(in_full_size: Packed, id: str):
    given = next(each for each in inputs.COLOURS if each.id == id)
    expected, tolerance = COLOURS[id]
    found = np.frombuffer(in_full_size.pixels(given.listed_name), np.uint8).reshape(inputs.SIDE, inputs.SIDE, 3)
    assert np.abs(found - expected()).max() <= tolerance


# Where the red and the green corner of the stored picture come to lie, as (at the bottom, at the right).
CORNERS = {
    1: ((0, 0), (0, 1)),
    2: ((0, 1), (0, 0)),
    3: ((1, 1), (1, 0)),
    4: ((1, 0), (1, 1)),
    5: ((0, 0), (1, 0)),
    6: ((0, 1), (1, 1)),
    7: ((1, 1), (0, 1)),
    8: ((1, 0), (0, 0)),
} | dict.fromkeys((0, 9, 255), ((0, 0), (0, 1)))


@pytest.fixture(scope="module")
def turned(tmp_path_factory) -> dict[bytes, np.ndarray]:
    pictures = {}
    for sizes, values in (((24, 40), (1, 2, 3, 4, 0, 9, 255)), ((40, 24), (5, 6, 7, 8))):
        drop = Drop(tmp_path_factory.mktemp("turned"))
        for value in values:
            for format in ("JPEG", "PNG", "TIFF"):
                drop.add(f"{format}-{value}".encode(), inputs.with_exif_orientation(value, format))
        packed = drop.pack(height=sizes[0], width=sizes[1])
        for name, row in packed.by_name.items():
            assert (row["height"], row["width"]) == sizes
            pictures[name] = np.frombuffer(packed.pixels(name), np.uint8).reshape(*sizes, 3).astype(int)
    return pictures


@pytest.mark.parametrize("value", CORNERS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_pictures_are_upright(turned: dict[bytes, np.ndarray], value: int, format: str):
    picture = turned[f"{format}-{value}".encode()]
    for channel, (bottom, right) in enumerate(CORNERS[value]):
        corner = picture[-1 if bottom else 0, -1 if right else 0]
        assert corner[channel] > 180
        assert corner[1 - channel] < 60


@pytest.mark.parametrize(("height", "width"), [(32, 32), (1, 1), (7, 100), (200, 3)])
def test_pixels_have_the_size_asked_for(tmp_path: Path, height: int, width: int):
    drop = Drop(tmp_path)
    for side in ((4, 200), (200, 4), (33, 31), (32, 32)):
        drop.add(b"%dx%d.png" % side, inputs.encoded(inputs.photo(*side), "PNG"))
    packed = drop.pack(height=height, width=width)
    assert [len(image["pixels"]) for image in packed.images] == [height * width * 3] * 4


def test_right_size_means_untouched_and_other_sizes_keep_the_centre(tmp_path: Path):
    drop = Drop(tmp_path)
    picture = inputs.photo(32, 32)
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = picture
    drop.add(b"same.png", inputs.encoded(picture, "PNG"))
    drop.add(b"wide.png", inputs.encoded(wide, "PNG"))
    packed = drop.pack()
    assert packed.pixels(b"same.png") == packed.pixels(b"wide.png") == picture.tobytes()


def test_the_same_bytes_are_one_image(tmp_path: Path):
    drop = Drop(tmp_path)
    for number in range(1000):
        drop.add(b"%d/same.png" % number, inputs.png())
    packed = drop.pack()
    assert packed.result.counts["decoded"] == 1000
    assert packed.result.counts["images"] == 1
    assert packed.images[0]["image_id"] == hashlib.sha256(inputs.png()).hexdigest()


def test_nothing_listed(drop: Drop):
    packed = drop.pack()
    assert packed.result.counts == dict.fromkeys(packed.result.counts, 0)


def test_nothing_decoded(drop: Drop):
    drop.add(b"a.jpg", b"")
    drop.add(b"b.jpg", b"<html>")
    assert [row["reason"] for row in drop.pack().outcomes] == ["EMPTY", "UNIDENTIFIED"]


def test_memory_stays_flat(drop: Drop):
    """Row groups go out as they fill: the shard is never held whole."""
    for seed in range(40):
        drop.add(b"%d.png" % seed, inputs.encoded(inputs.photo(16, 16, seed), "PNG"))
    packed = drop.pack(height=600, width=600)  # 1.08 MB an image
    footer = pq.read_metadata(drop.folder / "store" / "attempt-1" / contract.SHARD_FILE)
    assert len(packed.images) == 40
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [16, 16, 8]


def test_statistics_are_what_their_formulas_say(drop: Drop):
    picture = inputs.photo(32, 32)
    drop.add(b"x.png", inputs.encoded(picture, "PNG"))
    row = drop.pack().outcomes[0]
    red, green, blue = np.moveaxis(picture.astype(float), 2, 0)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue) / 255
    edges = [
        4 * luma[y, x] - luma[y - 1, x] - luma[y + 1, x] - luma[y, x - 1] - luma[y, x + 1]
        for y in range(1, 31)
        for x in range(1, 31)
    ]
    high, low = picture.max(axis=2).astype(float), picture.min(axis=2).astype(float)
    assert row["brightness"] == pytest.approx(luma.mean(), rel=1e-4)
    assert row["contrast"] == pytest.approx(luma.std(), rel=1e-4)
    assert row["saturation"] == pytest.approx(((high - low) / np.maximum(high, 1)).mean(), rel=1e-4)
    assert row["sharpness"] == pytest.approx(np.var(edges), rel=1e-4)


def test_files_that_moved_on_since_the_listing(drop: Drop):
    for name in (b"same", b"grown", b"touched", b"gone", b"folder/gone"):
        drop.add(name + b".png", inputs.png())
    with drop.path(b"grown.png").open("ab") as file:
        file.write(b"more")
    os.utime(drop.path(b"touched.png"), (1, 1))
    drop.path(b"gone.png").unlink()
    drop.path(b"folder").rename(drop.path(b"elsewhere"))
    rows = drop.pack().outcomes
    assert [row["reason"] for row in rows] == [None, "CHANGED", "CHANGED", "MISSING", "MISSING"]
    assert {row["status"] for row in rows[1:]} == {"vanished"}


def test_a_folder_swapped_for_a_link_leads_nowhere(drop: Drop, tmp_path: Path):
    drop.add(b"2026/cat/x.png", inputs.png())
    drop.add(b"2026/dog/x.png", inputs.png())
    drop.path(b"2026/cat").rename(tmp_path / "outside")
    drop.path(b"2026/cat").symlink_to(tmp_path / "outside")
    assert [row["reason"] for row in drop.pack().outcomes] == ["SYMLINK", None]


def test_limits_are_those_of_the_request(drop: Drop):
    drop.add(b"x.png", inputs.png())
    size = len(inputs.png())
    for limits, reason in [
        ({"max_bytes": size}, None),
        ({"max_bytes": size - 1}, "TOO_LARGE"),
        ({"max_pixels": inputs.SIDE**2 - 1}, "TOO_MANY_PIXELS"),
        ({"max_side": inputs.SIDE - 1}, "TOO_LONG_SIDE"),
        ({"min_side": inputs.SIDE + 1}, "TOO_SMALL"),
        ({"formats": ("JPEG",)}, "FORMAT_NOT_ALLOWED"),
    ]:
        assert drop.pack(workers=1, **limits).outcomes[0]["reason"] == reason


def test_a_huge_sparse_file_is_not_read(drop: Drop):
    drop.add(b"x.jpg", b"")
    os.truncate(drop.path(b"x.jpg"), 2**40)
    drop.listed.clear()
    drop.list(b"x.jpg")
    assert drop.pack().outcomes[0]["reason"] == "TOO_LARGE"


def as_ordinary_user() -> None:
    """Take from root, for this process and all it starts, the power to open what permissions forbid."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def test_files_that_may_not_be_opened(drop: Drop):
    for name in (b"open.png", b"closed.png", b"listed.png", b"opened.png", b"locked/x.png"):
        drop.add(name, inputs.png())
    for number in (2, 3):
        drop.listed[number] = (drop.listed[number][0], drop.listed[number][1] + "-unreadable")
    for name, mode in {b"closed.png": 0, b"listed.png": 0, b"locked": 0o600}.items():
        drop.path(name).chmod(mode)
    request = drop.prepare()
    with drop.packing(request, preexec_fn=as_ordinary_user) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    rows = drop.packed(request.parent).outcomes
    assert [row["reason"] for row in rows] == [None, "UNREADABLE", "UNREADABLE", None, "UNREADABLE"]
    drop.path(b"locked").chmod(0o700)  # for who clears up


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
    neighbours(drop, inputs.encoded(np.zeros((5000, 5000, 3), np.uint8), "JPEG"))
    only_the_poison_fell(drop.pack(memory_bytes=64 * 2**20), "OUT_OF_MEMORY")


def test_a_crash_by_chance_costs_nothing(drop: Drop):
    neighbours(drop, inputs.many_scans(200))
    request = drop.prepare(workers=1, cpu_seconds=100)
    with drop.packing(request) as process:
        (worker,) = wait_for(lambda: busy_workers(process, 1.0), "no worker is busy")
        os.kill(worker, signal.SIGKILL)
        assert process.wait(timeout=120) == 0
    assert drop.packed(request.parent).result.counts["decoded"] == 21


def test_a_killed_pack_leaves_no_process_and_no_result(drop: Drop):
    neighbours(drop, inputs.many_scans(200))
    request = drop.prepare(cpu_seconds=100)
    with drop.packing(request) as process:
        workers = wait_for(lambda: busy_workers(process, 1.0), "no worker is busy")
        process.kill()
        process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "a worker outlived its parent")
    with pytest.raises(contract.NoResult):
        contract.read_result(request.parent, "pack")


@pytest.mark.parametrize("module", ["vision.pack", "vision.worker"])
def test_the_decoder_shares_no_process_with_mxnet(module: str):
    program = f"import sys, {module}; sys.exit(bool({{'mxnet', 'gluoncv', 'cv2'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False).returncode == 0


def test_decoding_starts_no_process_and_opens_no_connection(catalogue: Drop):
    """Every input, by the worker's own code, under an audit of what the interpreter is asked to do."""
    program = """
import json, sys
from pathlib import Path
from vision import contract, decode, files, worker
request, landing = contract.read_request("pack", Path(sys.argv[1])), Path(sys.argv[2])
import pyarrow.parquet as pq
table = pq.read_table(Path(sys.argv[1]).with_name("manifest.parquet"))
listed = list(zip(table["name"].to_pylist(), table["version"].to_pylist()))
events = set()
decode.configure(request.limits)
sys.addaudithook(lambda event, _: events.add(event))
outcomes, _ = worker.answer(files.Root.open(landing), request, listed)
print(json.dumps(sorted(events)))
assert len(outcomes) == len(listed)
"""
    request = catalogue.prepare(cpu_seconds=600)
    command = [sys.executable, "-c", program, str(request), str(catalogue.landing)]
    seen = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout)
    assert "open" in seen
    unwanted = re.compile(r"subprocess|socket|os\.(exec|fork|posix_spawn|system|remove|rename)|ctypes|shutil|urllib")
    assert not [event for event in seen if unwanted.match(event)]


@pytest.mark.parametrize("break_it", ["altered", "missing landing zone"])
def test_what_cannot_be_packed_says_so(drop: Drop, break_it: str):
    drop.add(b"x.png", inputs.png())
    request = drop.prepare()
    if break_it == "altered":
        with (request.parent / contract.MANIFEST_FILE).open("ab") as file:
            file.write(b"x")
    else:
        drop.landing.rename(drop.folder / "unmounted")
    with drop.packing(request) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (contract.EXIT_BAD_INPUT if break_it == "altered" else contract.EXIT_FAILED)
    assert "SHA-256" in errors if break_it == "altered" else "did not start" in errors


def test_docs_and_code_have_the_same_reasons():
    page = (PROJECT.parents[1] / "docs" / "reasons.md").read_text()
    for heading, table in [
        ("Quarantined", reasons.QUARANTINED),
        ("Rejected", reasons.REJECTED),
        ("Vanished", reasons.VANISHED),
        ("Notes", reasons.NOTES),
    ]:
        section = page.partition(f"## {heading}")[2].partition("\n## ")[0]
        assert dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \|", section, re.M)) == table


def test_no_code_means_two_things():
    tables = [reasons.QUARANTINED, reasons.REJECTED, reasons.VANISHED, reasons.NOTES]
    assert sum(map(len, tables)) == len(set().union(*tables))
