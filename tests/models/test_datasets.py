"""Frozen datasets in a real ledger and store."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pyarrow.parquet as pq
import pytest
from ledger_rows import digest

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models import datasets

pytestmark = pytest.mark.usefixtures("database")
SHARD = contract.FileRef("runs/r/shard.parquet", digest("shard"))
RULE = {"images": "some"}


def rows(*names: str) -> list[tuple[str, str]]:
    return [(digest(name), "cat") for name in names]


def freeze(kind: datasets.Kind, frozen: list[tuple[str, str]], **changes) -> datasets.Dataset:
    with ledger.connect("training") as connection:
        shards = changes.pop("shards", [SHARD])
        return datasets.freeze(connection, settings.get(), kind, frozen, shards, RULE, "tester")


def test_a_set_is_a_file_known_by_its_hash_and_rows_in_the_ledger():
    frozen = freeze("holdout", [*rows("b", "a"), (digest("c"), "dog")])
    store = settings.get().store
    path = contract.verified(store, frozen.labels)
    assert (frozen.dataset_id, frozen.labels.path) == (
        contract.sha256_file(path),
        f"datasets/{frozen.dataset_id}.parquet",
    )
    table = pq.read_table(path)
    assert [(field.name, str(field.type)) for field in table.schema] == list(contract.LABEL_COLUMNS)
    assert table["image_id"].to_pylist() == sorted(digest(name) for name in "abc")
    assert datasets.labels(store, frozen) == {digest("a"): "cat", digest("b"): "cat", digest("c"): "dog"}
    assert (frozen.kind, frozen.images, frozen.shards, frozen.rule) == ("holdout", 3, (SHARD,), RULE)
    with ledger.connect("training") as connection:
        assert datasets.read(connection, frozen.dataset_id) == frozen
        assert datasets.latest(connection, "holdout") == frozen
        assert datasets.latest(connection, "original") is None
        counted = connection.execute("SELECT count(*) AS images FROM dataset_images").fetchone()
    assert counted == {"images": 3}


def test_freezing_again_changes_nothing():
    first = freeze("training", rows("a", "b"))
    again = freeze("training", rows("b", "a"), shards=[contract.FileRef("elsewhere", digest("elsewhere"))])
    assert again == first
    assert len(list((settings.get().store / "datasets").iterdir())) == 1


def test_two_at_once_freeze_one_set():
    with ThreadPoolExecutor() as other, ledger.connect("training") as connection:
        first = datasets.freeze(connection, settings.get(), "recent", rows("a"), [SHARD], RULE, "tester")
        waiting = other.submit(freeze, "recent", rows("a"))
        connection.commit()
        assert waiting.result() == first


@pytest.mark.parametrize(
    ("first", "second"), [("original", "holdout"), ("recent", "training"), ("holdout", "training")]
)
def test_what_is_learnt_is_never_tested_and_the_other_way_round(first, second):
    freeze(first, rows("a", "b"))
    with pytest.raises(datasets.DatasetError, match=f"1 images of this {second} set are in {first} set"):
        freeze(second, rows("b", "c"))
    with ledger.connect("training") as connection:
        assert datasets.latest(connection, second) is None


@pytest.mark.parametrize(
    ("first", "second"), [("original", "training"), ("training", "training"), ("recent", "recent")]
)
def test_sets_of_the_same_side_may_overlap(first, second):
    freeze(first, rows("a", "b"))
    assert freeze(second, rows("b", "c")).images == 2


@pytest.mark.parametrize(
    ("kind", "frozen", "says"),
    [
        ("training", [], "no image"),
        ("training", [*rows("a"), (digest("a"), "dog")], "twice"),
        ("training", rows("x"), "as original set"),
    ],
)
def test_what_cannot_be_frozen(kind, frozen, says):
    freeze("original", rows("x"))
    with pytest.raises(datasets.DatasetError, match=says):
        freeze(kind, frozen)


def test_an_unknown_set_is_named():
    with ledger.connect("training") as connection, pytest.raises(datasets.DatasetError, match="no dataset aa"):
        datasets.read(connection, "aa")


@pytest.mark.parametrize("statement", ["UPDATE datasets SET kind = 'training'", "DELETE FROM dataset_images"])
def test_facts_cannot_be_changed(statement):
    freeze("holdout", rows("a"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege), ledger.connect("training") as connection:
        connection.execute(statement)
