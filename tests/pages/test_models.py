"""The pages of model versions: what they find in a filled ledger, and that they show it whatever it says."""

import datetime
import json
from collections.abc import Iterator, Mapping
from typing import Any

import gates as promoting
import ledger_rows as seeding
import parities
import psycopg
import pytest
from conftest import new_ledger
from fastapi import HTTPException
from ledger_rows import CLASSES, File, Run, digest
from starlette.requests import Request

from strandline import ledger
from strandline.ingest import load as predictions
from strandline.pages import lineage, measurements, models, rooms
from strandline.promotion import promotion

METRICS = {
    "images": 30,
    "accuracy": 0.8,
    "accuracy_95": [0.63, 0.91],
    "calibration_error": 0.05,
    "log_loss": 0.5,
    "recall": {"cat": 0.9, "dog": 0.7, "frog": None},
    "confusion": [[9, 1, 0], [3, 7, 0], [0, 0, 0]],
    "robustness": {"images": 30, "accuracy": {"noise": 0.5, "as they are": 0.8}},
}
SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT}\u202e"


def page(path: str, template: str, facts: Mapping[str, Any]) -> str:
    scope = {"type": "http", "root_path": "/strandline", "path": f"/strandline{path}", "headers": []}
    return bytes(rooms.render(Request(scope), template, facts).body).decode()


def register(name: str, metrics: Any = METRICS) -> str:
    row = {
        "version": digest(name),
        "name": name,
        "network": HOSTILE,
        "classes": list(CLASSES),
        "registered_by": HOSTILE,
    }
    row |= {"bundle": f"models/{digest(name)}", "metrics": json.dumps(metrics)}
    with ledger.connect("training") as connection:
        ledger.execute(connection, "insert_model_version", row)
    return digest(name)


def trace(version: str, parent: str, **changes: Any) -> None:
    row: dict[str, Any] = {"version": version, "parent": parent, "asked_by": HOSTILE, "reason": HOSTILE, "report_id": 7}
    row |= {name: digest(name) for name in ("training_set", "holdout", "recent_set")}
    row |= {"run_id": HOSTILE, "code_revision": HOSTILE, "image_digest": None}
    row |= {"versions": json.dumps({"mxnet": HOSTILE}), "parameters": json.dumps({"epochs": 3})}
    with ledger.connect("training") as connection:
        ledger.execute(connection, "insert_model_lineage", row | changes)


def promote(first: str, second: str) -> None:
    promoting.hold("gate", second, first, sentence=HOSTILE)
    promotion.record_approval("gate", promoting.answer(reason=SCRIPT))
    back = {"run_id": "back", "to_version": first, "expected": second, "by": "op", "reason": HOSTILE}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "promote", {"gate_id": "gate", "expected": first})
        ledger.fetch(connection, "roll_back", back)


def predict(run_id: str, version: str, files: list[File], shift: float = 0.0) -> None:
    run = Run(run_id, version, files)
    predictions.load(run_id, run.ready(shift=shift))
    ledger.close_run(run_id)


def harmless(html: str) -> bool:
    return "<script>alert" not in html and "\u202e" not in html


FILES = [File(f"{number}.jpg") for number in range(40)]


@pytest.fixture(scope="module")
def versions(postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The champion, and the one that it made way for and replaced again. Both classified the same images, the second
    also some of its own; to it, each is a cat, as the paths say.
    """
    with new_ledger(postgres_port, tmp_path_factory.mktemp("home")) as database:
        first, second = seeding.register("first"), register(f"{HOSTILE} second")
        trace(second, first)
        promote(first, second)
        predict("run", first, FILES)
        predict("later", second, [*FILES, *(File(f"own {number}.jpg", shard="own") for number in range(5))])
        with psycopg.connect(database.superuser) as connection:
            connection.execute("UPDATE predictions SET label = 'cat' WHERE model_version = %s", [second])
        parities.record(second)
        yield first, second


def test_models_are_listed_with_history_and_lineage(versions):
    first, second = versions
    found = models.models()
    assert [row["version"] for row in found["versions"] if row["in_use"]] == [first]
    assert [(row["version"], row["accuracy"], row["classified"]) for row in found["versions"]] == [
        (second, 0.8, 45),
        (first, 0.9, 40),
    ]
    assert [row["cause"] for row in found["history"]] == ["rolled back", "promoted", "installed"]
    assert [row.version["version"] for row in found["rows"]] == [second, first]
    assert [(row["version"], len(row["bars"])) for row in found["timeline"]] == [(first, 2), (second, 1)]
    assert all(0 <= bar["start"] <= 100 >= bar["width"] >= 0 for row in found["timeline"] for bar in row["bars"])
    assert harmless(page("/models", "models.html", found))


def test_without_a_model_the_page_says_what_to_do(database):
    assert "make import-model" in page("/models", "models.html", models.models())
    assert "retrain_model" in page("/models/compare", "compare.html", models.compare())


def test_a_card_has_all_that_is_known_of_a_version(versions):
    first, second = versions
    found = models.model(second)
    assert found["model"]["measured"].robustness == [("as they are", 0.8), ("noise", 0.5)]
    assert (found["lineage"]["parent_model"], found["lineage"]["trained_here"]) == ("first", False)
    (gate,) = found["gates"]
    assert (gate["outcome"], gate["decision"], gate["approver"], gate["waits"]) == ("pass", "approved", "op", False)
    assert [row["precision"] for row in found["parity"]] == ["bf16"]
    assert [row["cause"] for row in found["periods"]] == ["promoted"]
    html = page(f"/models/{second}", "model.html", found)
    assert harmless(html)
    assert '<iframe class="report" sandbox="allow-scripts allow-downloads" src="/strandline/reports/gate/gate/"' in html
    assert "drift report 7 of another ledger" in html, "a bundle that was trained elsewhere names reports of there"
    html = page(f"/models/{first}", "model.html", models.model(first))
    assert "does not say" in html
    assert second[:12] in html, "what was made of it"


def test_a_version_is_known_by_its_first_digits(versions):
    first, _ = versions
    with pytest.raises(HTTPException) as raised:
        models.model(first[:8])
    assert (raised.value.status_code, raised.value.headers) == (307, {"location": first})
    with pytest.raises(HTTPException, match="there is no model version 00000000"):
        models.model("00000000")


def test_first_digits_of_two_versions_mean_neither(database):
    with psycopg.connect(database.superuser) as connection:
        for last in "12":
            connection.execute(
                "INSERT INTO model_versions (version, name, network, classes, bundle, registered_by)"
                " VALUES (%s, 'a', 'b', '{c}', 'd', 'e')",
                [last.rjust(64, "0")],
            )
    with pytest.raises(HTTPException, match="give more digits"):
        models.model("00000000")


@pytest.mark.parametrize("metrics", [None, [], {}, {"accuracy": "high"}, {"accuracy": True}, {"confusion": [[1]]}])
def test_metrics_that_say_nothing_are_none(metrics):
    measured = measurements.read(metrics, CLASSES)
    assert (measured.accuracy, measured.confusion) == (None, [])


def test_numbers_beyond_all_measure_are_none(database):
    version = register("odd", {"accuracy": 10**400, "calibration_error": -1})
    found = models.model(version)
    assert found["model"]["measured"].accuracy is None
    assert "make measure" in page(f"/models/{version}", "model.html", found)
    assert [row["accuracy"] for row in models.models()["versions"]] == [None]


def test_confusions_are_named_the_most_frequent_first():
    measured = measurements.read(METRICS, CLASSES)
    assert [(one.truth, one.predicted, one.images) for one in measured.confused(CLASSES)] == [
        ("dog", "cat", 3),
        ("cat", "dog", 1),
    ]
    assert measured.shares() == [[0.9, 0.1, 0], [0.3, 0.7, 0], [0, 0, 0]]


# Two versions


def test_versions_are_compared_on_the_images_of_both(versions):
    found = models.compare(*versions)
    same = found["same"]
    assert (same["images"], same["all"]) == (40, True)
    assert 0 < same["agree"] < 40
    assert sum(row["images"] for row in same["disagreements"]) == 40 - same["agree"] == same["looked_up"]
    # The folder of each is `cat`, which the shift makes likelier.
    assert (same["known"], same["one_right"]) == (same["looked_up"], 0)
    assert all(image["other_label"] == "cat" != image["one_label"] for image in same["sample"])
    html = page("/models/compare", "compare.html", found)
    assert f'src="/strandline/images/{same["sample"][0]["image_id"]}.png" loading="lazy"' in html


def test_a_comparison_the_other_way_round_says_the_same(versions):
    there, back = models.compare(*versions)["same"], models.compare(*reversed(versions))["same"]
    assert (there["agree"], there["one_right"], there["other_right"]) == (
        back["agree"],
        back["other_right"],
        back["one_right"],
    )
    assert [image["one_label"] for image in there["sample"]] == [image["other_label"] for image in back["sample"]]


def test_versions_without_a_common_image_are_compared_by_what_they_measured(database):
    ids = [register(name, METRICS | {"recall": {"cat": cat}}) for name, cat in (("one", 0.9), (HOSTILE, 0.8))]
    found = models.compare(*ids)
    assert found["same"]["images"] == 0
    assert [row["difference"] and round(row["difference"], 3) for row in found["differences"]["recall"]] == [
        -0.1,
        None,
        None,
    ]
    assert found["differences"]["confusion"] == [[0] * 3] * 3
    html = page("/models/compare", "compare.html", found)
    assert "No image was classified by both" in html
    assert harmless(html)
    plain = register("plain", {"accuracy": 0.9})
    assert models.compare(ids[0], plain)["differences"]["confusion"] == [], "of one there is no matrix"


def test_pairs_are_found_by_run_and_image(versions):
    """Not by reading all predictions of a version, of which there are millions."""
    query = ledger.query_files()["count_prediction_pairs"].read_text()
    with ledger.connect("ingest") as connection:
        connection.execute("SET enable_seqscan = off")  # of a few rows, a scan is quicker
        asked = {"runs": ["run"], "one": versions[0], "other": versions[1]}
        plan = "\n".join(row["QUERY PLAN"] for row in connection.execute(f"EXPLAIN {query}".encode(), asked))
    assert "predictions_run" in plan
    assert "predictions_pkey" in plan


# Lineage


def row(version: str, parent: str | None, day: int) -> dict[str, Any]:
    moment = datetime.datetime(2026, 11, day, tzinfo=datetime.UTC)
    return {"version": version, "parent": parent, "registered_at": moment}


def test_a_chain_stays_in_its_lane_and_a_branch_gets_one():
    rows = lineage.arrange([row("a", None, 1), row("b", "a", 2), row("c", "a", 3), row("d", "b", 4)])
    assert [(one.version["version"], one.lane, one.passing, one.children, one.parent) for one in rows] == [
        ("d", 0, [], [], True),
        ("c", 1, [0], [], True),
        ("b", 0, [1], [0], True),
        ("a", 0, [], [0, 1], False),
    ]


def test_a_child_stands_above_its_parent_also_if_that_was_registered_later():
    rows = lineage.arrange([row("child", "parent", 1), row("parent", "elsewhere", 2)])
    assert [(one.version["version"], one.parent) for one in rows] == [("child", True), ("parent", False)]


def test_thirty_versions_need_few_lanes():
    chain = [row("v0", None, 1), *(row(f"v{number}", f"v{number - 1}", number + 1) for number in range(1, 30))]
    assert {one.lane for one in lineage.arrange(chain)} == {0}
