"""What callers get while a version is compared with the champion: as a canary, or as a shadow that nobody hears of."""

import json
import math
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import inputs
import pytest
from served import CHAMPION, Answer, Served, consumer, named_bundles, ref, serving, wait_for
from test_serving_ends import Load

import strandline_contract as contract

PHOTOS = [inputs.encoded(inputs.photo(seed=seed), "PNG") for seed in range(8)]
REFUSED = inputs.encoded(inputs.photo(1, 1), "PNG")
PINNED = consumer("lab", "l", version=CHAMPION.version)
KEYS = [f"user {number}" for number in range(400)]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """With the champion, a bundle that differs from it by its name, and one whose network is none."""
    store = named_bundles(tmp_path_factory.mktemp("rollouts") / "store", "next", "broken")
    (store / "broken" / contract.GRAPH_FILE).write_bytes(b"")
    return store


@pytest.fixture(scope="module")
def served(store: Path) -> Iterator[Served]:
    with serving(store, store.parent / "serving") as served:
        yield served


def rollout(served: Served, mode, share: float = 1.0, name: str = "next", rollout_id: str = "r1") -> contract.Rollout:
    return contract.Rollout(rollout_id, ref(served.store, name), mode, share)


def begin(served: Served, *arguments, **fields) -> contract.Rollout:
    """Deploy it, and wait until it is ready."""
    wanted = rollout(served, *arguments, **fields)
    served.deploy(rollout=wanted, consumers=(PINNED, consumer("shop", "s")))
    said = {"rollout_id": wanted.rollout_id, "mode": wanted.mode, "share": wanted.share, "ready": True}
    wait_for(lambda: said.items() <= (served.ready()["rollout"] or {}).items(), "the rollout is not ready")
    return wanted


def end(served: Served) -> None:
    served.deploy()
    wait_for(lambda: served.ready()["rollout"] is None, "the rollout does not end")


def ask(served: Served, key: str = "", token: str = "", photo: bytes = PHOTOS[0]) -> Answer:
    headers = {"strandline_key": key} if key else {}
    return served.ask("POST", "/classify", photo, **headers, **({"authorization": f"Bearer {token}"} if token else {}))


def version(answer: Answer) -> str:
    assert answer.status == 200
    return answer.json["model_version"]


def line_of(served: Served, answer: Answer) -> dict:
    return next(line for line in served.lines() if line.get("prediction_id") == answer.json["prediction_id"])


def shadows(served: Served) -> list[dict]:
    return [line for line in served.lines() if line.get("role") == "shadow"]


def is_likely(count: int, trials: int, share: float) -> bool:
    """Whether neither tail of the binomial distribution from `count` on has less than one in a million."""
    chances = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
    return min(sum(chances[: count + 1]), sum(chances[count:])) > 1e-6


def test_a_share_is_0_to_1():
    bundle = contract.BundleRef("next", "0" * 64)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(contract.BadRequest, match="share"):
            contract.Rollout("r", bundle, "canary", share)


def test_a_caller_sees_one_version_as_the_share_grows(served: Served):
    wanted = begin(served, "canary", 0.2)
    canary = [key for key in KEYS if version(ask(served, key)) == wanted.bundle.version]
    assert is_likely(len(canary), len(KEYS), 0.2)
    for key in (canary[0], *sorted({*KEYS[:20]} - {*canary})[:1]):
        assert len({version(ask(served, key)) for _ in range(40)}) == 1
    begin(served, "canary", 0.6)
    assert {version(ask(served, key)) for key in canary} == {wanted.bundle.version}
    rest = [key for key in KEYS[:60] if key not in canary]
    assert 0 < sum(version(ask(served, key)) == wanted.bundle.version for key in rest) < len(rest)


def test_both_arms_of_a_canary_are_on_record(served: Served):
    wanted = begin(served, "canary", 0.5)
    answers = [ask(served, key) for key in KEYS[:30]]
    lines = [line_of(served, answer) for answer in answers]
    assert [line["version"] for line in lines] == [version(answer) for answer in answers]
    arms = {(line["version"], line["role"], line["rollout_id"]) for line in lines}
    assert arms == {(CHAMPION.version, "champion", "r1"), (wanted.bundle.version, "canary", "r1")}
    assert len({version(ask(served, token="s")) for _ in range(4)}) == 1  # by the consumer's name
    assert len({version(ask(served)) for _ in range(4)}) == 1  # by the client's address
    assert wanted.bundle.version in served.ask("GET", "/v2/models/champion").json["versions"]
    assert served.metric('strandline_predictions_total{role="canary"') > 0
    assert served.metric('strandline_version{role="canary"') == 1


def test_who_names_a_version_or_is_pinned_takes_no_part(served: Served):
    begin(served, "canary")
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 0, 0]}
    body = json.dumps({"inputs": [tensor]}).encode()
    for path, status in ((CHAMPION.version, 400), ("0" * 64, 404)):  # it is found, and takes no such pixels
        assert served.ask("POST", f"/v2/models/champion/versions/{path}/infer", body).status == status
    assert_pinned(served)
    end(served)
    line = line_of(served, ask(served))
    assert (line["version"], line["role"], line["rollout_id"]) == (CHAMPION.version, "champion", None)


def assert_pinned(served: Served) -> None:
    answer = ask(served, KEYS[0], token="l")
    line = line_of(served, answer)
    assert (version(answer), line["role"], line["rollout_id"]) == (CHAMPION.version, "pinned", None)


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_a_broken_version_leaves_the_champion(served: Served, mode: str):
    served.deploy(rollout=rollout(served, mode, name="broken"))
    told = f"of the {mode} r1 cannot be served"
    wait_for(lambda: told in str(served.ready()["problems"]), "it is not told")
    assert served.ready()["rollout"]["ready"] is False
    assert served.metric("strandline_rollout_broken") == 1
    assert served.metric("strandline_deployment_broken") == 0
    line = line_of(served, ask(served))
    assert (line["version"], line["role"], line["rollout_id"]) == (CHAMPION.version, "champion", None)
    end(served)
    assert served.ready()["problems"] == []
    assert served.metric("strandline_rollout_broken") == 0


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_nothing_is_compared_while_another_champion_answers(served: Served, mode: str):
    begin(served, mode)
    served.deploy(ref(served.store, "broken"), rollout=rollout(served, mode))
    wait_for(lambda: served.ready()["rollout"] is None, "the rollout goes on")
    line = line_of(served, ask(served))
    assert (line["version"], line["role"], line["rollout_id"]) == (CHAMPION.version, "champion", None)
    begin(served, mode)


def test_a_shadow_answers_nobody(served: Served):
    wanted = begin(served, "shadow", rollout_id="whole")
    answers = [ask(served, photo=photo) for photo in PHOTOS]
    assert {version(answer) for answer in answers} == {CHAMPION.version}
    assert ask(served, photo=REFUSED).status == 422
    assert_pinned(served)
    assert_paired(served, "whole", [answer.json["prediction_id"] for answer in answers])
    given = {answer.json["prediction_id"]: answer.json for answer in answers}
    for line in (line for line in shadows(served) if line["rollout_id"] == "whole"):
        answer = given[line["shadow_of"]]
        assert contract.ServedPrediction.from_dict(line).version == wanted.bundle.version
        assert (line["image_id"], line["label"]) == (answer["image_id"], answer["label"])
        assert line["probabilities"] == list(answer["probabilities"].values())
    assert wanted.bundle.version in served.ask("GET", "/v2/models/champion").json["versions"]
    assert served.metric('strandline_predictions_total{role="shadow"') >= len(PHOTOS)


def assert_paired(served: Served, rollout_id: str, answers: list[str]) -> None:
    """Each of these answers, and no other one, has one shadow, which comes after it."""

    def lines() -> list[dict]:
        return [line for line in served.lines() if line.get("rollout_id") == rollout_id]

    wait_for(lambda: sum(line["role"] == "shadow" for line in lines()) >= len(answers), "shadows are missing")
    given = {line["prediction_id"]: line["sequence"] for line in lines() if line["role"] == "champion"}
    paired = {line["shadow_of"]: line["sequence"] for line in lines() if line["role"] == "shadow"}
    assert sorted(given) == sorted(paired) == sorted(answers)
    assert len(lines()) == 2 * len(answers)
    assert all(given[answer] < paired[answer] for answer in answers)


def test_a_shadow_has_its_share_of_pictures(served: Served):
    begin(served, "shadow", 0.5, rollout_id="half")
    for photo in PHOTOS * 2:
        ask(served, photo=photo)
    answered = [line for line in served.lines() if line["rollout_id"] == "half" and line["role"] == "champion"]
    chosen = Counter(line["image_id"] for line in answered)
    assert 0 < len(chosen) < len(PHOTOS)
    assert set(chosen.values()) == {2}
    assert_paired(served, "half", [line["prediction_id"] for line in answered])


def test_a_shadow_that_hangs_and_is_killed_costs_no_answer(served: Served):
    """What does not fit while it hangs is skipped, and counted; the rest is computed by its next process."""
    begin(served, "shadow", rollout_id="killed")
    [shadow] = [pid for pid in served.children("network_worker") if nice(pid) > nice(served.process.pid)]
    os.kill(shadow, signal.SIGSTOP)
    results = []
    for _ in range(2):
        answer = served.classify(*[("a.png", photo) for photo in PHOTOS * 18])
        results += answer.json["results"]
    assert {result["model_version"] for result in results} == {CHAMPION.version}
    chosen = [line["prediction_id"] for line in served.lines() if line["rollout_id"] == "killed"]
    assert len(chosen) == 256
    assert served.metric('strandline_skipped_shadows_total{reason="BUSY"}') == len(results) - len(chosen)
    served.end(shadow)
    assert {version(ask(served, photo=photo)) for photo in PHOTOS} == {CHAMPION.version}
    chosen = [
        line["prediction_id"]
        for line in served.lines()
        if line["rollout_id"] == "killed" and line["role"] == "champion"
    ]
    assert_paired(served, "killed", chosen)


def nice(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[16])


def test_a_shadow_ends_with_its_rollout(served: Served):
    begin(served, "shadow", rollout_id="last")
    end(served)
    answer = ask(served)
    assert line_of(served, answer)["rollout_id"] is None
    wait_for(lambda: len(served.children("network_worker")) == 1, "the shadow's network stays")
    assert answer.json["prediction_id"] not in {line["shadow_of"] for line in shadows(served)}


def test_rollouts_change_under_load(served: Served):
    load = Load(served, 4, pause=0.02)
    with load.running():
        for mode, share in (("shadow", 1.0), ("canary", 0.5), ("canary", 1.0)):
            begin(served, mode, share, rollout_id="changing")
            load.wait_for(20)
        after = rollout(served, "canary").bundle
        served.deploy(after)  # promoted: the rollout ends
        served.wait_ready(after.version)
        load.wait_for(20)
    assert {answer.status for answer in load.answers} == {200}
    assert len(load.answers) == load.asked
    assert {version(answer) for answer in load.answers[-5:]} == {after.version}
    lines = served.lines()
    recorded = {line["prediction_id"]: line["version"] for line in lines}
    assert all(recorded[answer.json["prediction_id"]] == version(answer) for answer in load.answers)
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
