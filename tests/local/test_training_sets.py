"""`make training-sets`: into the store of the stack that it is for, and again when that store has lost files."""

import dataclasses
import shutil
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import digest

import strandline_contract as contract
from local.demo import training_sets
from local.stack import dotenv
from strandline import ledger, settings
from strandline.models import datasets

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def config(monkeypatch) -> settings.Settings:
    """Small sets in the place of CIFAR-10's, packed by nothing: what is tested is where they go."""
    monkeypatch.setattr(training_sets, "_pack", lambda chosen: pack(chosen.store, b"pixels"))
    return settings.get()


def pack(store: Path, pixels: bytes) -> None:
    for kind in training_sets.RULES:
        shard = store / training_sets.FOLDER / f"pack-{kind}" / contract.SHARD_FILE
        shard.parent.mkdir(parents=True, exist_ok=True)
        shard.write_bytes(pixels + kind.encode())
        table = pa.table({"image_id": [digest(f"{kind}{n}") for n in range(3)], "label": ["cat"] * 3})
        pq.write_table(table, store / training_sets.FOLDER / f"{kind}.parquet")


def missing(store: Path) -> list[str]:
    """Files of frozen sets that the store has not, or has otherwise."""
    with ledger.connect("training") as connection:
        found = [datasets.latest(connection, kind) for kind in ("holdout", "original")]
    files = [file for one in found if one for file in (one.labels, *one.shards)]
    assert len(files) == 4
    lost = []
    for file in files:
        try:
            contract.verified(store, file)
        except contract.BadInput:
            lost.append(file.path)
    return lost


@pytest.mark.parametrize("lost", [training_sets.FOLDER, datasets.FOLDER, ""])
def test_a_second_run_packs_what_the_store_has_lost(config, lost):
    first = training_sets.make(config)
    shutil.rmtree(config.store / lost)
    assert missing(config.store) != []
    assert training_sets.make(config) == first
    assert missing(config.store) == []


def test_sets_that_were_made_for_another_store_get_their_files(config, tmp_path):
    training_sets.make(dataclasses.replace(config, home=tmp_path / "elsewhere"))
    assert len(missing(config.store)) == 4
    training_sets.make(config)
    assert missing(config.store) == []


def test_other_files_than_are_frozen_are_not_passed_off_as_them(config, monkeypatch):
    training_sets.make(config)
    shutil.rmtree(config.store)
    monkeypatch.setattr(training_sets, "_pack", lambda chosen: pack(chosen.store, b"others"))
    with pytest.raises(datasets.DatasetError, match="restore cifar10/pack-holdout"):
        training_sets.make(config)


def test_for_compose_ledger_and_store_are_those_of_its_env_file(tmp_path):
    made = settings.load({"STRANDLINE_HOME": str(tmp_path)})
    env = tmp_path / "env"
    with pytest.raises(training_sets.PackError, match="run make secrets"):
        training_sets.of_compose(made, env)
    values = dotenv.make(
        env, made, STRANDLINE_POSTGRES_PORT="6543", STRANDLINE_STORE_ON_HOST=str(tmp_path / "a" / "store")
    )
    found = training_sets.of_compose(made, env)
    assert found.store == tmp_path / "a" / "store"
    passfile = Path(values[dotenv.FOLDER]) / "pgpass-worker"
    assert found.database_url == f"postgresql://127.0.0.1:6543/strandline?passfile={quote(str(passfile), safe='')}"
    dotenv.make(env, made, STRANDLINE_STORE_ON_HOST=str(tmp_path / "other"))
    with pytest.raises(training_sets.PackError, match="called store"):
        training_sets.of_compose(made, env)
