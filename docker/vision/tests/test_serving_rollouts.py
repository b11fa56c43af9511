"""What callers get while a version is compared with the champion: as a canary, or as a shadow that nobody hears of."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import inputs
import pytest
from served import CHAMPION, MODELS, Answer, Served, consumer, serving, wait_for
from test_serving_ends import Load

import strandline_contract as contract

PHOTOS = [inputs.encoded(inputs.photo(seed=seed), "PNG") for seed in range(8)]
REFUSED = inputs.encoded(inputs.photo(1, 1), "PNG")
PINNED = consumer("lab", "l", version=CHAMPION.version)
KEYS = [f"user {number}" for number in range(400)]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """With the champion, a bundle that differs from it by its name, and one whose network is none."""
    store = tmp_path_factory.mktemp("rollouts") / "store"
    for name in ("next", "broken"):
        folder = store / name
        folder.mkdir(parents=True)
        manifest = json.loads((MODELS / CHAMPION.path / contract.BUNDLE_MANIFEST).read_bytes())
        for path in (MODELS / CHAMPION.path).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        contract.write_json(folder / contract.BUNDLE_MANIFEST, manifest | {"name": name})
    (store / "broken" / contract.GRAPH_FILE).write_bytes(b"")
    (store / CHAMPION.path).symlink_to(MODELS / CHAMPION.path)
    return store


@pytest.fixture(scope="module")
def served(store: Path) -> Iterator[Served]:
    with serving(store, store.parent / "serving") as served:
        yield served


def rollout(served: Served, mode, share: float = 1.0, name: str = "next", rollout_id: str = "r1") -> contract.Rollout:
    bundle = contract.BundleRef(name, contract.sha256_file(served.store / name / contract.BUNDLE_MANIFEST))
    return contract.Rollout(rollout_id, bundle, mode, share)


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
    canary: set[str] = set()
    for share in (0.0, 0.2, 0.5, 1.0):
        wanted = begin(served, "canary", share)
        keys = KEYS if share == 0.2 else KEYS[:40]
        now = {key for key in keys if version(ask(served, key)) == wanted.bundle.version}
        assert canary & set(keys) <= now
        assert now == {key for key in keys if version(ask(served, key)) == wanted.bundle.version}
        assert is_likely(len(now), len(keys), share)
        canary = now
    end(served)
    assert {version(ask(served, key)) for key in KEYS[:40]} == {CHAMPION.version}


def test_both_arms_of_a_canary_are_on_record(served: Served):
    wanted = begin(served, "canary", 0.5)
    answers = [ask(served, key) for key in KEYS[:40]]
    seen = set()
    for answer in answers:
        line = line_of(served, answer)
        seen.add((line["version"], line["role"], line["rollout_id"]))
        assert line["version"] == version(answer)
    assert seen == {(CHAMPION.version, "champion", "r1"), (wanted.bundle.version, "canary", "r1")}
    assert {version(ask(served, token="s")) for _ in range(4)} < {CHAMPION.version, wanted.bundle.version}
    assert wanted.bundle.version in served.ask("GET", "/v2/models/champion").json["versions"]
    assert served.metric('strandline_predictions_total{role="canary"') > 0
    end(served)
    assert line_of(served, ask(served))["rollout_id"] is None


def test_who_names_a_version_gets_it(served: Served):
    begin(served, "canary")
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [0, 0, 0]}
    body = json.dumps({"inputs": [tensor]}).encode()
    for path, status in ((CHAMPION.version, 400), ("0" * 64, 404)):  # it is found, and takes no such pixels
        assert served.ask("POST", f"/v2/models/champion/versions/{path}/infer", body).status == status
    end(served)


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_who_is_pinned_takes_no_part(served: Served, mode: str):
    begin(served, mode)
    before = len(shadows(served))
    answer = ask(served, "user 1", token="l")
    assert version(answer) == CHAMPION.version
    line = line_of(served, answer)
    assert (line["role"], line["rollout_id"]) == ("pinned", None)
    end(served)
    wait_for(lambda: len(served.children("network_worker")) == 1, "the other network stays")
    assert len(shadows(served)) == before


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


def test_a_shadow_answers_nobody(served: Served):
    wanted = begin(served, "shadow")
    answers = [ask(served, photo=photo) for photo in PHOTOS]
    assert {version(answer) for answer in answers} == {CHAMPION.version}
    assert ask(served, photo=REFUSED).status == 422
    given = {answer.json["prediction_id"]: answer.json for answer in answers}
    found = wait_for(lambda: _all_of(served, given), "shadows are missing")
    assert len(found) == len(given)
    for line in found:
        answer = given[line["shadow_of"]]
        assert contract.ServedPrediction.from_dict(line).version == wanted.bundle.version
        assert line["prediction_id"] not in given
        assert (line["image_id"], line["label"]) == (answer["image_id"], answer["label"])
        assert line["probabilities"] == list(answer["probabilities"].values())
        answered = next(line for line in served.lines() if line["prediction_id"] == answer["prediction_id"])
        assert answered["rollout_id"] == line["rollout_id"] == "r1"
        assert answered["sequence"] < line["sequence"]
    refused = next(line for line in reversed(served.lines()) if line["status"] != "decoded")
    assert refused["rollout_id"] is None
    end(served)
    before = len(shadows(served))
    assert line_of(served, ask(served))["rollout_id"] is None
    wait_for(lambda: len(served.children("network_worker")) == 1, "the shadow's network stays")
    assert len(shadows(served)) == before


def _all_of(served: Served, given: dict) -> list[dict]:
    found = [line for line in shadows(served) if line["shadow_of"] in given]
    return found if len(found) >= len(given) else []


def test_a_shadow_has_its_share(served: Served):
    begin(served, "shadow", 0.5, rollout_id="half")
    for _ in range(2):
        for photo in PHOTOS:
            ask(served, photo=photo)
    meant = Counter(
        line["image_id"] for line in served.lines() if line["rollout_id"] == "half" and not line["shadow_of"]
    )
    assert 0 < len(meant) < len(PHOTOS)
    assert set(meant.values()) == {2}
    end(served)


def test_a_shadow_that_is_killed_costs_no_answer(served: Served):
    begin(served, "shadow", rollout_id="killed")
    [shadow] = set(served.children("network_worker")) - {champion_network(served)}
    load = Load(served, 2)
    with load.running():
        load.wait_for(20)
        served.end(shadow)
        load.wait_for(40)
        wait_for(lambda: len(served.children("network_worker")) == 2, "no other network is started")
    assert {version(answer) for answer in load.answers} == {CHAMPION.version}
    given = {
        line["prediction_id"] for line in served.lines() if line["rollout_id"] == "killed" and not line["shadow_of"]
    }
    paired = [line["shadow_of"] for line in shadows(served) if line["rollout_id"] == "killed"]
    assert len(paired) == len(set(paired))
    assert set(paired) <= given
    end(served)


def champion_network(served: Served) -> int:
    """Its process is as nice as the service's."""
    return next(pid for pid in served.children("network_worker") if _nice(pid) == _nice(served.process.pid))


def _nice(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[16])


def test_rollouts_change_under_load(served: Served):
    load = Load(served, 2)
    with load.running():
        for mode, share in (("shadow", 1.0), ("canary", 0.5), ("canary", 1.0)):
            begin(served, mode, share, rollout_id="changing")
            load.wait_for(20)
        after = rollout(served, "canary").bundle
        served.deploy(after)  # promoted: the rollout ends
        served.wait_ready(after.version)
        load.wait_for(20)
    assert {answer.status for answer in load.answers} == {200}
    assert {version(answer) for answer in load.answers[-5:]} == {after.version}
    lines = served.lines()
    recorded = {line["prediction_id"]: line["version"] for line in lines}
    assert all(recorded[answer.json["prediction_id"]] == version(answer) for answer in load.answers)
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert not {line["shadow_of"] for line in shadows(served)} - recorded.keys()
    served.deploy()
    served.wait_ready()
