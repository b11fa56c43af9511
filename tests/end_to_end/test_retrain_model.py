"""A challenger, from labelled drops to the ledger, on a real Airflow; one epoch, so that it is quick."""

import dataclasses
import json

import pytest
from running_stack import archive

from local.demo import training_sets
from strandline import ledger

DAG = "retrain_model"


@pytest.fixture
def sets(strandline) -> list[str]:
    """CIFAR-10's holdout and original set, of the archive that the drops have fetched."""
    chosen = strandline.stack.settings
    return training_sets.make(
        dataclasses.replace(chosen, local=dataclasses.replace(chosen.local, cifar_archive=archive()))
    )


def test_a_person_gets_a_challenger_with_its_lineage(strandline, hours, sets):
    assert [line.split(",")[0] for line in sets] == ["holdout: 5", "original: 10"]
    drops = [next(hours), next(hours)]
    for hour in drops:
        strandline.drop(hour, 300)
        strandline.ingest(hour)
    champion = strandline.rows("SELECT version FROM champions WHERE period @> now()")
    api = strandline.stack.api("op")
    run_id = api.trigger(DAG, conf={"reason": "to see that it works", "epochs": 1, "minutes": 5, "seed": 3})
    state = api.wait(DAG, run_id, timeout=600)
    failed = [row for row in api.task_instances(DAG, run_id) if row["state"] == "failed"]
    assert state == "success", [(row["task_id"], api.log(DAG, run_id, row)[-25:]) for row in failed]

    [lineage] = strandline.rows("SELECT * FROM model_lineage WHERE run_id = %(run_id)s", run_id=run_id)
    assert (lineage["asked_by"], lineage["reason"], lineage["report_id"]) == ("op", "to see that it works", None)
    assert [lineage["parent"]] == [row["version"] for row in champion]
    assert (lineage["parameters"]["epochs_done"], lineage["parameters"]["seed"]) == (1, 3)
    [model] = strandline.rows("SELECT * FROM model_versions WHERE version = %(version)s", version=lineage["version"])
    assert model["metrics"]["images"] == 5000
    assert model["metrics"]["accuracy"] > 0.8
    bundle = strandline.stack.settings.store / model["bundle"]
    assert json.loads((bundle / "lineage.json").read_bytes())["training_set"] == lineage["training_set"]
    assert strandline.rows("SELECT version FROM champions WHERE period @> now()") == champion
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def test_the_champion_is_compared_by_every_backend_on_the_holdout(strandline, sets):
    api = strandline.api
    run_id = api.trigger("check_parity")
    state = api.wait("check_parity", run_id, timeout=300)
    logs = {
        row["task_id"]: "\n".join(api.log("check_parity", run_id, row))
        for row in api.task_instances("check_parity", run_id)
    }
    assert state == "success", logs
    rows = strandline.rows("SELECT * FROM model_parity WHERE run_id = %(run_id)s", run_id=run_id)
    found = {(row["backend"], row["precision"]): row for row in rows}
    assert {row["images"] for row in rows} == {5000}
    for backend in ("openvino", "onnxruntime"):
        assert found[backend, "f32"]["outcome"] == "pass"
        assert found[backend, "f32"]["sentence"] in logs["record"]
    for row in found.values():  # bf16 takes a processor that has it
        assert row["both_right"] > 4500
        assert row["sentence"] in logs["record"]


def test_without_a_reason_a_person_gets_none(strandline):
    api = strandline.api
    run_id = api.trigger(DAG)
    assert api.wait(DAG, run_id, timeout=300) == "failed"
    [plan] = [row for row in api.task_instances(DAG, run_id) if row["task_id"] == "plan"]
    assert any("Trigger this DAG again with a reason" in line for line in api.log(DAG, run_id, plan))
    assert plan["try_number"] == 1  # another try cannot help
