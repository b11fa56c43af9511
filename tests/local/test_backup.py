"""Ledger and store kept together, and restored elsewhere, with a real Postgres on either side."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import straight_run as straight
from stack_settings import stack_settings

import strandline_contract as contract
from local.stack import backup, databases
from strandline import ledger, settings
from strandline.operators.process import vision_environment


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's own folder, which only its user may enter: run by root, Postgres may belong to nobody.
    with tempfile.TemporaryDirectory(prefix="strandline-backup-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def kept(folder) -> Iterator[tuple[Path, settings.Settings, dict]]:
    """A backup of a stack that has ingested an hour; the stack, and what its ledger held."""
    source = stack_settings(folder / "source")
    databases.start(source)
    try:
        with straight.settled(source.home, databases.ledger_url(source)):
            straight.install_champion()
            straight.drop(source.landing)
            straight.Ingestion().run()
            (source.store / "runs" / "torn.partial").write_bytes(b"half")
            before = straight.facts()
        done = backup.backup(source, folder / "kept")
        assert done["faults"] == []
        yield folder / "kept", source, before
    finally:
        databases.stop(source)


def test_a_backup_is_restored_elsewhere_and_classifies_the_same(folder, kept):
    path, _, before = kept
    assert not list((path / backup.STORE).rglob("*.partial"))
    target = stack_settings(folder / "target")
    try:
        done = backup.restore(target, path)
        assert done["invariants"] > 20
        url = databases.ledger_url(target)
        assert straight.facts(url) == before
        assert straight.broken_invariants(url) == {}
        again = classified_again(target, url)
        assert again.keys() == {row["image_id"] for row in before["predictions"]}
        for row in before["predictions"]:
            np.testing.assert_array_equal(np.float32(row["probabilities"]), np.float32(again[row["image_id"]]))
        with pytest.raises(backup.BackupError, match="is not empty"):
            backup.restore(target, path)
    finally:
        databases.stop(target)


def classified_again(target: settings.Settings, url: str) -> dict[str, list[float]]:
    """What the restored model says of the restored shards, by image."""
    with ledger.connect("ingest", url) as connection:
        folders = [row["path"] for row in ledger.fetch(connection, "select_named_files") if row["kind"] == "batch"]
    found: dict[str, list[float]] = {}
    for number, folder in enumerate(folders):
        again = target.store / "again" / str(number)
        again.mkdir(parents=True)
        shutil.copy(target.store / folder / contract.REQUEST_FILE, again)
        command = [target.vision.python, "-m", "vision", "classify", "--request", again / contract.REQUEST_FILE]
        subprocess.run(command, env=vision_environment(target, again), check=True)
        rows = pq.read_table(again / contract.PREDICTIONS_FILE).to_pylist()
        found |= {row["image_id"]: row["probabilities"] for row in rows}
    return found


def test_a_backup_with_a_flipped_byte_is_not_restored(folder, kept):
    path = folder / "flipped"
    shutil.copytree(kept[0], path)
    shard = next((path / backup.STORE).rglob(contract.SHARD_FILE))
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    target = stack_settings(folder / "never")
    with pytest.raises(backup.BackupError, match=contract.SHARD_FILE):
        backup.restore(target, path)
    assert not target.store.exists()


def test_a_backup_says_what_has_rotted_in_the_store(folder, kept):
    _, source, _ = kept
    with ledger.connect("ingest", databases.ledger_url(source)) as connection:
        (bundle,) = (row for row in ledger.fetch(connection, "select_named_files") if row["kind"] == "bundle")
    weights = (source.store / bundle["path"]).with_name("weights.params")
    whole = weights.read_bytes()
    weights.chmod(0o644)
    weights.write_bytes(whole[:-1])
    try:
        done = backup.backup(source, folder / "rotten")
    finally:
        weights.write_bytes(whole)
    assert len(done["faults"]) == 1
    assert "weights.params" in done["faults"][0]
    with pytest.raises(backup.BackupError, match="exists"):
        backup.backup(source, folder / "rotten")
