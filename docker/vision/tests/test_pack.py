"""`vision pack` over drops of hostile files: every entry has its one outcome, and nothing else suffers."""

import ctypes
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import inputs
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT, Drop, Packed
from inputs import Input
from PIL import features

import strandline_contract as contract
from strandline_contract import reasons


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Drop:
    drop = Drop(tmp_path_factory.mktemp("catalogue"))
    drop.add(b"plain.png", inputs.png())
    for given in inputs.ALL:
        given.put(drop)
    return drop


@pytest.fixture(scope="module")
def packed(catalogue: Drop) -> Packed:
    return catalogue.pack()


@pytest.mark.parametrize("given", inputs.ALL, ids=lambda given: given.id)
def test_input(packed: Packed, given: Input):
    row = packed.by_name[given.listed_name]
    if given.either:
        assert row["status"] in ("decoded", "quarantined")
        assert row["reason"] not in ("DECODER_CRASHED", "TIMEOUT", "OUT_OF_MEMORY")
        return
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


def test_the_same_bytes_are_one_image(tmp_path: Path):
    drop = Drop(tmp_path)
    for number in range(1000):
        drop.add(b"%d/same.png" % number, inputs.png())
    packed = drop.pack()
    assert packed.result.counts["decoded"] == 1000
    assert packed.result.counts["images"] == 1
    assert packed.images[0]["image_id"] == hashlib.sha256(inputs.png()).hexdigest()


def test_files_of_the_store_are_packed_as_those_that_landed(drop: Drop):
    """Those of a holdout, which are called by their hash alone."""
    drop.add(b"landed.png", inputs.png())
    landed = drop.pack()
    name = landed.images[0]["image_id"]
    kept = drop.folder / "store" / "originals" / name
    kept.parent.mkdir()
    kept.write_bytes(inputs.png())
    drop.path(b"landed.png").unlink()
    drop.listed = [(f"originals/{name}".encode(), f"{kept.stat().st_size}-{kept.stat().st_mtime_ns}")]
    assert drop.pack(root="store").images == landed.images
    assert drop.pack().outcomes[0]["status"] == "vanished"


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


def test_decoding_starts_no_process_and_opens_no_connection(catalogue: Drop):
    """Every input, by the worker's own code, under an audit of what the interpreter is asked to do."""
    program = """
import json, sys
from pathlib import Path
import strandline_contract as contract
from vision.decoding import decode, files, worker
request, landing = contract.read_request("pack", Path(sys.argv[1])), Path(sys.argv[2])
import pyarrow.parquet as pq
table = pq.read_table(Path(sys.argv[1]).with_name("manifest.parquet"))
names, versions = table["name"].to_pylist(), table["version"].to_pylist()
listed = [files.File(name, version, "") for name, version in zip(names, versions)]
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


def test_libwebp_is_newer_than_its_overflow():
    """CVE-2023-4863, of which a file could be made that no list of inputs should hold."""
    assert tuple(map(int, features.version("webp").split("."))) >= (1, 3, 2)
