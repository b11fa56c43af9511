"""A gate is planned, held and recorded: on a real Postgres, with files as the vision commands write them."""

import dataclasses
import hashlib
import json

import gate_evaluations
import parities
import pyarrow.parquet as pq
import pytest
from conftest import Database
from ledger_rows import CLASSES, File, Run

import strandline_contract as contract
from strandline import ledger, settings
from strandline.ingest import load
from strandline.models import packing, registry, versions
from strandline.models.versions import VersionError
from strandline.promotion import evaluation, promotion
from strandline.promotion.evaluation import EvaluationError

HOLDOUT, RECENT = 3000, 1500


@dataclasses.dataclass
class Scene:
    """A champion that has 10 % wrong on both sets, and a challenger; `truth` by set."""

    champion: str
    challenger: str
    truth: dict[str, dict[str, int]]

    def pinned(self, run_id: str = "run 1") -> evaluation.GatePlan:
        return evaluation.plan(run_id, "user", self.challenger)

    def hold(
        self, holdout: float = 0.1, recent: float = 0.05, run_id: str = "run 1", loaded: bool = True, **slow
    ) -> evaluation.EvaluatedGate:
        """Hold a gate on a challenger that has these shares wrong."""
        pinned = self.pinned(run_id)
        validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned), loaded, run_id=run_id, **slow)
        shares = {"holdout-champion": 0.1, "recent-champion": 0.1}
        shares |= {"holdout-challenger": holdout, "recent-challenger": recent}
        evaluated = []
        for request in evaluation.evaluations(pinned, validated):
            truth = self.truth[request.shard_id.split("-")[0]]
            answers = gate_evaluations.wrong(truth, shares[request.shard_id])
            evaluated.append(gate_evaluations.evaluated(request, answers, run_id))
        return evaluation.evaluate_gate(pinned, validated, evaluated)


@pytest.fixture
def scene(database: Database) -> Scene:
    truth = {
        kind: gate_evaluations.freeze(kind, count)[1] for kind, count in (("holdout", HOLDOUT), ("recent", RECENT))
    }
    champion = gate_evaluations.make_version("champion")
    registry.install_first(champion, "tester")
    reference = dict(list(gate_evaluations.wrong(truth["holdout"], 0.1).items())[:100])
    return Scene(champion, gate_evaluations.make_version("challenger", reference), truth)


def rows(statement: str) -> list[tuple]:
    with ledger.connect("ingest") as connection:
        return [tuple(row.values()) for row in connection.execute(statement)]


def outcomes() -> dict[str, str]:
    return dict(rows("SELECT check_name, outcome FROM gate_results"))


def test_a_better_challenger_passes_is_approved_and_promoted(scene):
    held = scene.hold()
    assert (held.outcome, held.gate_id) == ("pass", "run 1")
    assert set(outcomes().values()) == {"pass"}
    assert rows("SELECT outcome, requested_by, approvers, checks FROM gates") == [
        ("pass", "user", ["op", "admin", "user"], len(outcomes()))
    ]
    assert rows("SELECT answer_by - made_at BETWEEN interval '24 h' AND interval '26 h' FROM gates") == [(True,)]
    user = {"id": "op", "name": "op"}
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": "good"}, "responded_by_user": user}
    assert promotion.record_approval("run 1", answer | {"responded_at": "2026-11-21T08:00:00+00:00"})
    assert promotion.promote("run 1").version == scene.challenger


def test_in_bf16_a_challenger_may_differ_from_its_bundle_as_far_as_that_rounds(scene, monkeypatch):
    monkeypatch.setenv("STRANDLINE_PRECISION", "bf16")
    settings.get.cache_clear()
    for version in (scene.champion, scene.challenger):
        parities.record(version)
    assert scene.hold().outcome == "pass"
    assert rows("SELECT bound FROM gate_results WHERE check_name = 'golden images'") == [(contract.TOLERANCES["bf16"],)]
    assert rows("SELECT rules ->> 'golden_tolerance' FROM gates") == [("0.1",)]


def test_the_report_is_what_was_recorded(scene):
    held = scene.hold()
    page = (settings.get().store / "gates").glob("*/index.html")
    text = next(page).read_bytes()
    assert rows("SELECT html_sha256 FROM gates") == [(hashlib.sha256(text).hexdigest(),)]
    assert held.sentence in text.decode()
    report = json.loads(next((settings.get().store / "gates").glob("*/gate.json")).read_bytes())
    assert {check["name"]: check["outcome"] for check in report["checks"]} == outcomes()
    assert [check["sentence"] in held.body for check in report["checks"]] == [True] * len(report["checks"])
    numbers = dict(rows("SELECT check_name, found FROM gate_results WHERE found IS NOT NULL"))
    assert numbers["accuracy floor"] == pytest.approx(0.9)
    assert numbers["recent"] == pytest.approx(0.05)


def test_the_report_shows_the_images_that_only_the_champion_has_right(scene):
    scene.hold(holdout=0.15)
    [folder] = (settings.get().store / "gates").iterdir()
    lost = json.loads((folder / "gate.json").read_bytes())["holdout"]["lost"]
    assert (folder / "index.html").read_text().count('<img src="data:image/png;base64,') == len(lost) > 0


def test_sources_are_slices_where_there_are_several(scene):
    """Of the images that landed: one of no source is of none only if it did."""
    landed = {"": 100, "shop1": 200, "camera-7": 300}
    sources = [source for source, count in landed.items() for _ in range(count)]
    files = [File(f"{n}.jpg", content=f"recent {n}", source=source) for n, source in enumerate(sources)]
    run = Run("landed", scene.champion, files)
    load.load(run.run_id, run.ready())
    held = scene.hold()
    (path,) = (settings.get().store / "gates").glob("*/gate.json")
    report = json.loads(path.read_bytes())
    found = {slice_["name"]: slice_["rows"] for slice_ in report["recent"]["slices"]}
    expected = {"no source": 100, "source shop1": 200, "source camera-7": 300}
    assert {name: rows for name, rows in found.items() if "source" in name} == expected
    assert not [one["name"] for one in report["holdout"]["slices"] if "source" in one["name"]]
    assert held.outcome == "pass"


def test_one_source_is_no_slice(scene):
    run = Run("landed", scene.champion, [File("1.jpg", content="recent 1", source="shop1")])
    load.load(run.run_id, run.ready())
    scene.hold()
    (path,) = (settings.get().store / "gates").glob("*/gate.json")
    assert not [slice_ for slice_ in json.loads(path.read_bytes())["recent"]["slices"] if "source" in slice_["name"]]


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"holdout": 0.15}, "holdout"),
        ({"holdout": 0.3}, "accuracy floor"),
        ({"recent": 0.2}, "recent"),
        ({"slower": 2.0}, "latency"),
        ({"loaded": False}, "loads"),
    ],
)
def test_a_worse_challenger_fails(scene, changes, check):
    assert scene.hold(**changes).outcome == "fail"
    assert outcomes()[check] == "fail"
    assert rows("SELECT outcome FROM gates") == [("fail",)]


def test_an_equal_challenger_is_no_reason_to_change(scene, monkeypatch):
    assert scene.hold(recent=0.1).outcome == "fail"
    monkeypatch.setenv("STRANDLINE_GATE_RECENT_RULE", "non-inferior")
    settings.get.cache_clear()
    assert scene.hold(recent=0.1, run_id="run 2").outcome == "pass"


def test_golden_images_tell_a_challenger_that_is_not_what_was_measured(scene):
    """F39: the weights answer otherwise than the bundle says."""
    other = dict(list(gate_evaluations.wrong(scene.truth["holdout"], 0.02, start=40).items())[:100])
    scene.challenger = gate_evaluations.make_version("other", other)
    assert scene.hold().outcome == "fail"
    assert outcomes()["golden images"] == "fail"


def test_swapped_classes_are_told(scene):
    """F39: the order of classes was changed after the bundle was measured."""
    swapped = [CLASSES[1], CLASSES[0], *CLASSES[2:]]
    reference = dict(list(scene.truth["holdout"].items())[:100])
    scene.challenger = gate_evaluations.make_version("swapped", reference, classes=swapped)
    held = scene.hold()
    assert held.outcome == "fail"
    assert "its classes are in another order" in held.body


def test_classes_in_another_order_are_compared_by_name(scene):
    scene.challenger = gate_evaluations.make_version("turned", classes=list(reversed(CLASSES)))
    pinned = scene.pinned()
    validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned))
    evaluated = []
    for request in evaluation.evaluations(pinned, validated):
        truth = scene.truth[request.shard_id.split("-")[0]]
        turned = {image: len(CLASSES) - 1 - label for image, label in truth.items()}
        evaluated.append(gate_evaluations.evaluated(request, turned if "challenger" in request.shard_id else truth))
    held = evaluation.evaluate_gate(pinned, validated, evaluated)
    assert "It alone has 0 right, the champion alone 0" in held.body


def test_without_a_recent_set_evidence_is_missing(database):
    truth = {"holdout": gate_evaluations.freeze("holdout", HOLDOUT)[1]}
    champion = gate_evaluations.make_version("champion")
    registry.install_first(champion, "tester")
    reference = dict(list(gate_evaluations.wrong(truth["holdout"], 0.1).items())[:10])
    scene = Scene(champion, gate_evaluations.make_version("challenger", reference), truth)
    assert scene.hold().outcome == "not enough evidence"
    assert rows("SELECT recent_set FROM gates") == [(None,)]


def test_a_run_holds_one_gate(scene):
    """A cleared task is no way to better luck."""
    assert scene.hold(recent=0.2).outcome == "fail"
    assert scene.hold(recent=0.0).outcome == "fail"
    assert rows("SELECT count(*) FROM gates") == [(1,)]
    assert rows("SELECT count(*) - (SELECT checks FROM gates) FROM gate_results") == [(0,)]


@pytest.mark.parametrize(
    ("challenger", "expected", "says"),
    [
        ("0" * 64, None, "is registered"),
        (None, None, "no challenger was named"),
        ("champion", None, "is the champion already"),
        ("challenger", "challenger", "look at what changed"),
        ("challenger", "0" * 64, "is registered"),
    ],
)
def test_a_plan_is_refused(scene, challenger, expected, says):
    asked, champion = getattr(scene, challenger or "", challenger), getattr(scene, expected or "", expected)
    with pytest.raises((EvaluationError, VersionError), match=says):
        evaluation.plan("run 1", "user", asked, champion)


def test_twelve_digits_of_a_version_will_do(scene):
    planned = evaluation.plan("run 1", "user", scene.challenger[:12], scene.champion[:12])
    assert (planned.challenger, planned.champion) == (scene.challenger, scene.champion)


def labels_of(request: contract.EvaluateRequest) -> dict[str, str]:
    table = pq.read_table(settings.get().store / request.labels.path)
    return dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_models_are_compared_on_images_of_the_classes_that_both_have(scene):
    """Of a class that the champion has not, the bounds of the challenger alone are asked."""
    classes = ("cat", "dog", "lizard")
    truth = gate_evaluations.freeze("holdout", HOLDOUT, classes)[1]
    reference = dict(list(truth.items())[:10])
    scene.challenger = gate_evaluations.make_version("lizards", reference, measured=classes, classes=list(classes))
    pinned = scene.pinned()
    validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned))
    asked = evaluation.evaluations(pinned, validated)
    assert {one.shard_id: len(labels_of(one)) for one in asked} == {
        "holdout-champion": HOLDOUT * 2 // 3,
        "holdout-challenger": HOLDOUT,
        "recent-champion": RECENT * 2 // 3,
        "recent-challenger": RECENT * 2 // 3,
    }
    assert set(labels_of(asked[0]).values()) == set(labels_of(asked[3]).values()) == {"cat", "dog"}
    cats = [image for image, label in truth.items() if label == 0]
    wrong = truth | dict.fromkeys(cats[:30], 1) | dict.fromkeys(cats[30:40], 2)
    done = [
        gate_evaluations.evaluated(asked[0], {image: truth[image] for image in labels_of(asked[0])}),
        gate_evaluations.evaluated(asked[1], wrong, classes=classes),
        gate_evaluations.evaluated(asked[2], {image: scene.truth["recent"][image] for image in labels_of(asked[2])}),
        gate_evaluations.evaluated(asked[3], {image: scene.truth["recent"][image] for image in labels_of(asked[3])}),
    ]
    held = evaluation.evaluate_gate(pinned, validated, done)
    assert "It alone has 0 right, the champion alone 40" in held.body
    assert "The champion has 2 of its 3 classes" in held.sentence
    assert "What the champion has and the challenger has not: frog." in held.sentence
    assert outcomes()["class floors"] == "pass"
    (path,) = (settings.get().store / "gates").glob("*/gate.json")
    report = json.loads(path.read_bytes())
    assert report["classes"] == ["cat", "dog", "frog", "lizard"]
    assert (report["holdout"]["rows"], report["recent"]["rows"]) == (HOLDOUT * 2 // 3, RECENT * 2 // 3)
    assert report["own"]["accuracy"]["value"] == pytest.approx(1 - 40 / HOLDOUT)


@pytest.mark.parametrize(("wrong", "outcome"), [(0.1, "pass"), (0.3, "fail")])
def test_a_first_gate_asks_for_the_bounds_of_the_challenger_alone(scene, wrong, outcome):
    classes = ("gull", "newt", "tern")
    truth = gate_evaluations.freeze("holdout", HOLDOUT, classes)[1]
    answers = gate_evaluations.wrong(truth, wrong)
    scene.challenger = gate_evaluations.make_version(
        "others", dict(list(answers.items())[:10]), measured=classes, classes=list(classes)
    )
    pinned = scene.pinned()
    validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned), slower=100)
    (request,) = evaluation.evaluations(pinned, validated)
    assert request.bundle.version == scene.challenger
    held = evaluation.evaluate_gate(pinned, validated, [gate_evaluations.evaluated(request, answers, classes=classes)])
    assert held.outcome == outcome
    assert set(outcomes()) == {"loads", "golden images", "accuracy floor", "class floors", "calibration bound"}
    assert "This is a first gate" in evaluation.approval_request("run 1")[1]
    assert "An image takes it 101 ms, and the champion 1.01 ms" in held.sentence


def test_a_first_gate_without_a_holdout_lacks_evidence(scene):
    scene.challenger = gate_evaluations.make_version("others", classes=["gull", "newt", "tern"])
    pinned = scene.pinned()
    validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned))
    assert evaluation.evaluations(pinned, validated) == []
    assert evaluation.evaluate_gate(pinned, validated, []).outcome == "not enough evidence"


def test_what_was_packed_for_something_else_is_refused(scene):
    scene.challenger = gate_evaluations.make_version("larger", preprocessing={"width": 8, "height": 8})
    pinned = scene.pinned()
    validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned))
    assert evaluation.packings(pinned, validated) == [], "no file is left of these images"
    store = settings.get().store
    image = next(iter(scene.truth["holdout"]))
    packing.keep(store, b"a picture", image)
    (request,) = evaluation.packings(pinned, validated)
    assert (request.height, request.root, request.shard_id) == (8, "store", "holdout-challenger-0")
    with pytest.raises(EvaluationError, match="holdout-challenger-0 was not packed"):
        evaluation.evaluations(pinned, validated, [])
    other = gate_evaluations.packed(dataclasses.replace(request, height=9), [image])
    with pytest.raises(EvaluationError, match="packed something else"):
        evaluation.evaluations(pinned, validated, [other])
    asked = evaluation.evaluations(pinned, validated, [gate_evaluations.packed(request, [image])])
    assert [one.shard_id for one in asked] == ["holdout-champion", "holdout-challenger", "recent-champion"]
    assert list(labels_of(asked[1])) == [image]


def test_without_a_champion_there_is_nothing_to_compare_with(database):
    with pytest.raises(versions.NoChampion, match="no champion"):
        evaluation.plan("run 1", "user", gate_evaluations.make_version("challenger"))


def test_an_evaluation_of_something_else_is_refused(scene):
    pinned = scene.pinned()
    validated = gate_evaluations.validated(evaluation.infra_validate_request(pinned))
    requests = evaluation.evaluations(pinned, validated)
    done = [gate_evaluations.evaluated(request, scene.truth[request.shard_id.split("-")[0]]) for request in requests]
    with pytest.raises(EvaluationError, match="is not what was asked for"):
        evaluation.evaluate_gate(pinned, validated, done[:-1])
    stranger = dataclasses.replace(requests[0], bundle=contract.BundleRef("models/x", "x"))
    with pytest.raises(EvaluationError, match="is not about"):
        evaluation.evaluate_gate(pinned, validated, [gate_evaluations.evaluated(stranger, scene.truth["holdout"])])
    folder = settings.get().store / done[0].folder
    (folder / contract.PREDICTIONS_FILE).write_bytes(b"")
    with pytest.raises(contract.NoResult):
        evaluation.evaluate_gate(pinned, validated, done)
    assert rows("SELECT * FROM gates") == []


def test_attempts_of_another_run_do_not_count(scene):
    """An XCom says where the files are: it cannot say that those of another gate are of this one."""
    pinned = scene.pinned()
    with pytest.raises(contract.NoResult, match="is no attempt of run run 1"):
        evaluation.evaluations(
            pinned, gate_evaluations.validated(evaluation.infra_validate_request(pinned), run_id="run 2")
        )


def test_an_infra_validation_of_other_versions_is_refused(scene):
    pinned = scene.pinned()
    faster = gate_evaluations.make_version("faster")
    request = dataclasses.replace(
        evaluation.infra_validate_request(pinned), challenger=contract.BundleRef(f"models/{faster}", faster)
    )
    with pytest.raises(EvaluationError, match="validated other versions"):
        evaluation.evaluations(pinned, gate_evaluations.validated(request))
