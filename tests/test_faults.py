"""Faults that cost little to inject, in a run of real processes on a real ledger; `tests/drills` has the others."""

import os
import re
import stat
from pathlib import Path

import pytest
import straight_run as straight

import strandline_contract as contract
from strandline import settings
from strandline.errors import PermanentError

VISION_TESTS = settings.REPOSITORY / "docker" / "vision" / "tests"
POISON = 5  # the seed of an image, whose first pixel has a colour that no other's has


@pytest.fixture
def place(database, tmp_path):
    with straight.settled(tmp_path, database.address) as chosen:
        straight.install_champion()
        straight.drop(chosen.landing)
        yield chosen


def flip_a_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def test_a_shard_that_rotted_is_packed_again_when_pack_is_cleared(place):
    """A cleared `pack`, with all after it, takes the same listing to a new attempt."""
    rotted: list[Path] = []

    def rot(point: str, number: int) -> None:
        if point == "classify" and not rotted:
            rotted.append(next((place.run_folder(straight.RUN) / "pack").glob(f"*/*/{contract.SHARD_FILE}")))
            flip_a_byte(rotted[0])

    with pytest.raises(PermanentError, match="clear this shard's task pack, and all after it") as refused:
        straight.Ingestion(before=rot).run()
    assert str(rotted[0]) in str(refused.value)
    counts = straight.Ingestion().run()
    assert (counts["ingested"], counts["duplicates"], counts["quarantined"]) == (30, 1, 2)
    assert (counts["classified"], counts["failed"]) == (30, 0)
    assert straight.broken_invariants() == {}


def test_an_image_that_crashes_the_network_is_one_failed_row_of_a_run_that_closes(place, database, tmp_path):
    """By a real crash, in the classifying process, on the pixels of one image."""
    hook = tmp_path / "hook"
    hook.mkdir()
    worker = VISION_TESTS / "poisoned_worker.py"
    (hook / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'classify' in sys.orig_argv:\n"
        "    from vision.models import guard\n"
        f"    guard.WORKER = ({str(worker)!r},)\n"
    )
    python = hook / "python"
    colour = ",".join([str(POISON * 7)] * 3)
    python.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPATH={hook}:$PYTHONPATH POISON=SIGSEGV POISON_NETWORK=light\n"
        f"export POISON_MARK={colour} POISON_LOG={tmp_path / 'asked'}\n"
        f'exec {place.vision.python} "$@"\n'
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    with straight.settled(tmp_path, database.address, vision_python=python):
        counts = straight.Ingestion().run()
    assert (counts["ingested"], counts["classified"], counts["failed"]) == (30, 29, 1)
    (failure,) = straight.facts()["failures"]
    poisoned = next(path for path in place.landing.rglob("*.png") if path.name == f"{POISON:03d}.png")
    assert (failure["image_id"], failure["reason"]) == (contract.sha256_file(poisoned), "CLASSIFIER_CRASHED")
    assert straight.broken_invariants() == {}
    asked = sum(int(line) > 0 for line in (tmp_path / "asked").read_text().split())
    assert asked <= 2 + 2 * 5 + 2, os.linesep.join((tmp_path / "asked").read_text().split())


def test_the_page_of_faults_names_each_of_them_and_tests_that_exist():
    text = (settings.REPOSITORY / "docs" / "faults.md").read_text()
    rows = re.findall(r"^\| (F\d\d) \|(.*)\|(.*)\|(.*)\|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == [f"F{number:02}" for number in range(1, 43)]
    sources = [*Path(settings.REPOSITORY / "tests").rglob("*.py"), *VISION_TESTS.glob("*.py")]
    code = "\n".join(path.read_text() for path in sources)
    for number, *_, tried in rows:
        for name in re.findall(r"`([a-z_0-9]{12,})`", tried):
            assert f"def test_{name}(" in code, f"{number} names {name}"
        for name in re.findall(r"`((?:[a-z0-9_]+/)*)?(test_[a-z0-9_]+\.py)`", tried):
            assert any(path.name == name[1] for path in sources), f"{number} names {name[1]}"
