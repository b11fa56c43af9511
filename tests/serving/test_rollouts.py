"""Rollouts: their steps, who may take them, what ends them, what agents write, and how often the statistics err."""

import datetime
import types

import numpy as np
import psycopg
import pytest
from gate_evaluations import CLASSES, make_version
from gates import answer, hold
from ledger_rows import digest
from served import Server, rows

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models import registry
from strandline.promotion import promotion
from strandline.serving import comparison, rollouts, tasks
from strandline.serving.agent import Agent
from strandline.serving.rollouts import RolloutError
from strandline.stats import betting

PARAMS = {"steps": [0.2, 0.5], "pictures": 50, "wait_hours": 1}
PLAN = rollouts.planned(PARAMS)


def told() -> contract.Rollout | None:
    """What serving processes read."""
    Agent().round()
    raw = (settings.get().serving_folder / contract.DEPLOYMENT_FILE).read_bytes()
    return contract.Deployment.from_json(raw).rollout


@pytest.fixture
def two(database) -> types.SimpleNamespace:
    """A champion, and a version that asks to answer."""
    found = types.SimpleNamespace(champion=make_version("first"), version=make_version("second"))
    registry.install_first(found.champion, "tester")
    return found


def steps(rollout_id: str = "run") -> list[tuple]:
    query = "SELECT what, share, who FROM rollout_steps WHERE rollout_id = %s ORDER BY number"
    return rows(query, rollout_id)


def to_canary(two) -> None:
    """A rollout at its last share."""
    rollouts.start("run", "user", two.version, PLAN)
    for number, share in ((2, 0.2), (3, 0.5)):
        row = {"rollout_id": "run", "number": number, "share": share, "by": "serve_canary", "why": "as good"}
        with ledger.connect("promotion") as connection:
            ledger.fetch(connection, "call_step_rollout", row)


# Steps


def test_the_agent_tells_what_the_last_step_says(two):
    assert told() is None
    rollouts.start("run", "user", two.version[:12], PLAN)
    bundle = contract.BundleRef(f"models/{two.version}", two.version)
    assert told() == contract.Rollout("run", bundle, "shadow", rollouts.SHADOW_SHARE)
    with ledger.connect("promotion") as connection:
        row = {"rollout_id": "run", "number": 2, "share": 0.2, "by": "serve_canary", "why": "as good"}
        ledger.fetch(connection, "call_step_rollout", row)
    assert told() == contract.Rollout("run", bundle, "canary", 0.2)
    assert rollouts.step_back("run", "worse")
    assert not rollouts.step_back("run", "again")
    with pytest.raises(RolloutError, match="stepped back by serve_canary: worse"):
        rollouts.give_up("run")
    assert told() is None
    logged = rows("SELECT what, who FROM audit_log WHERE of_table = 'rollout_steps' ORDER BY audit_id")
    assert logged == [("shadow", "user"), ("canary", "serve_canary"), ("stepped back", "serve_canary")]


def test_a_version_without_a_whole_bundle_is_not_told(two):
    rollouts.start("run", "user", two.version, PLAN)
    bundle = settings.get().store / "models" / two.version
    bundle.rename(bundle.with_name("elsewhere"))
    assert told() is None
    with pytest.raises(RolloutError, match="it could answer nobody"):
        rollouts.start("other", "user", two.version, PLAN)


def test_one_rollout_is_on_at_a_time_and_never_of_the_champion(two):
    with pytest.raises(RolloutError, match="cannot be compared with the champion"):
        rollouts.start("run", "user", two.champion, PLAN)
    rollouts.start("run", "user", two.version, PLAN)
    rollouts.start("run", "user", two.version, PLAN)  # of a task that is tried again
    with pytest.raises(RolloutError, match=r"rollout run .* is on"):
        rollouts.start("other", "user", two.version, PLAN)
    assert rollouts.end("ann", "enough seen") == "run"
    rollouts.start("other", "user", two.version, PLAN)
    assert steps() == [("shadow", 0.5, "user"), ("ended", 0, "ann")]
    with pytest.raises(RolloutError, match="with a reason"):
        rollouts.end("ann", " ")


def test_what_cannot_answer_the_same_pictures_is_not_compared(two):
    other = make_version("other classes", classes=[*CLASSES, "lizard"])
    larger = make_version("larger", preprocessing={"width": 8, "height": 8})
    for version, what in ((other, "other classes"), (larger, "other pixels")):
        with pytest.raises(RolloutError, match=what):
            rollouts.start("run", "user", version, PLAN)
    with pytest.raises(RolloutError, match="no version was given"):
        rollouts.start("run", "user", None, PLAN)


def test_a_promotion_and_a_roll_back_end_it(two):
    rollouts.start("run", "user", two.version, PLAN)
    hold("gate", two.version, two.champion)
    promotion.record_approval("gate", answer())
    promotion.promote("gate")
    assert told() is None
    rollouts.start("other", "user", two.champion, PLAN)
    promotion.roll_back("back", "op", "worse")
    assert told() is None
    assert [steps(run)[-1] for run in ("run", "other")] == [("ended", 0, "op")] * 2
    with pytest.raises(RolloutError, match="is over: ended by op"):
        rollouts.watch("other", 1, PLAN)


@pytest.mark.parametrize("share", [0.2, 0.1, 1.0])
def test_a_share_grows_and_all_callers_take_an_approval(two, share):
    to_canary(two)
    row = {"rollout_id": "run", "number": 4, "share": share, "by": "serve_canary", "why": "as good"}
    with (
        ledger.connect("promotion") as connection,
        pytest.raises((psycopg.errors.RaiseException, psycopg.errors.CheckViolation)),
    ):
        ledger.fetch(connection, "call_step_rollout", row)


def test_nobody_is_asked_about_a_shadow(two):
    rollouts.start("run", "user", two.version, PLAN)
    with pytest.raises(RolloutError, match="has not come to its approval"):
        rollouts.take_answer("run", tasks.APPROVE, "op", "good")
    with pytest.raises(RolloutError, match="no canary"):
        rollouts.ask("run")
    rollouts.step_back("run", "again")


def test_whoever_asked_does_not_approve_and_a_stranger_says_nothing(two):
    to_canary(two)
    for _ in range(2):
        line, body = rollouts.ask("run")
    assert two.version[:12] in line
    assert "canary of 0.5" in body
    assert steps()[-1] == ("asked for approval", 0.5, "serve_canary")
    assert told().share == 0.5
    for person, why in (("user", "somebody else has to approve"), ("stranger", "none of those who may answer")):
        with pytest.raises(RolloutError, match=why):
            rollouts.take_answer("run", tasks.APPROVE, person, "good")
    for _ in range(2):
        rollouts.take_answer("run", tasks.APPROVE, "op", "good")
    assert steps()[-1] == ("approved last step", 1, "op")
    assert told().share == 1


def test_an_approver_steps_back(two):
    to_canary(two)
    rollouts.ask("run")
    rollouts.take_answer("run", tasks.STEP_BACK, "op", "complaints")
    assert steps()[-1] == ("stepped back", 0, "op")


@pytest.mark.parametrize(
    "wrong", [{"steps": []}, {"steps": [0.5, 0.2]}, {"steps": [0.5, 1]}, {"pictures": 0}, {"wait_hours": -1}]
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(RolloutError):
        rollouts.planned(PARAMS | wrong)


# Watches


def shadowed(two, server: Server, count: int, right: bool = True, failure: str | None = None) -> None:
    """Pictures that both answered, all labelled as cats."""
    at = datetime.datetime.now(datetime.UTC).isoformat()
    for _ in range(count):
        image = {"image_id": digest(f"picture {server.sequence}"), "at": at, "rollout_id": "run"}
        given = server.answer(**image)
        said = {"label": None, "confidence": None, "probabilities": None, "failure": failure} if failure else {}
        wrong = {} if right else {"label": "dog"}
        more = {"role": "shadow", "version": two.version, "shadow_of": given.prediction_id}
        server.answer(**image | said | wrong | more)


def answered(two, server: Server, count: int, failure: str | None = None) -> None:
    """Pictures of both arms of a canary, a half each."""
    at = datetime.datetime.now(datetime.UTC).isoformat()
    for _ in range(count):
        for arm in ({}, {"role": "canary", "version": two.version, "failure": failure}):
            image = digest(f"picture {server.sequence}")
            server.answer(image_id=image, at=at, rollout_id="run", seconds=0.01, **arm)


def test_a_shadow_without_labels_waits_and_steps_back_in_the_end(two):
    rollouts.start("run", "user", two.version, PLAN)
    server = Server("one", two.champion)
    shadowed(two, server, 60)
    Agent().round()
    assert not rollouts.watch("run", 1, PLAN)
    with pytest.raises(RolloutError, match=r"not shown yet .* on 60 pictures: .* disagree on 0.00%"):
        rollouts.watch("run", 1, rollouts.planned(PARAMS | {"wait_hours": 1e-9}))
    assert steps()[-1] == ("stepped back", 0, "serve_canary")
    server.die()


def test_a_task_that_somebody_marks_as_done_takes_no_step(two):
    rollouts.start("run", "user", two.version, PLAN)
    assert not rollouts.watch("run", 2, PLAN)
    assert steps() == [("shadow", 0.5, "user")]


def test_a_shadow_with_labels_goes_on_and_one_that_is_wrong_does_not():
    pairs = [{"answer": "cat", "shadow": "cat", "shadow_failed": False, "truth": "cat"}] * 700
    wrong = [pair | {"shadow": "dog"} for pair in pairs[:70]]
    failed = [pair | {"shadow": None, "shadow_failed": True, "truth": None} for pair in pairs[:3]]
    assert comparison.shadow(pairs, 700).outcome == "as good"
    assert comparison.shadow(pairs, 701).outcome == "not enough yet"
    assert comparison.shadow(pairs + failed, 600).outcome != "worse"
    found = comparison.shadow(pairs + wrong, 600)
    assert found.outcome == "worse"
    assert "disagree on 9.09% (" in found.sentence


def test_a_shadow_that_fails_steps_back(two):
    rollouts.start("run", "user", two.version, PLAN)
    server = Server("one", two.champion)
    shadowed(two, server, 40, failure="NOT_FINITE")
    Agent().round()
    with pytest.raises(RolloutError, match=r"worse beyond chance, .* The champion answers all callers again"):
        rollouts.watch("run", 1, PLAN)
    with pytest.raises(RolloutError, match="is over: stepped back by serve_canary"):
        rollouts.watch("run", 2, PLAN)
    assert not rollouts.step_back("run", "once is enough")
    assert told() is None
    server.die()


def test_a_canary_that_is_as_good_goes_on(two):
    to_canary(two)
    server = Server("one", two.champion)
    assert not rollouts.watch("run", 3, PLAN)
    answered(two, server, 700)
    Agent().round()
    assert rollouts.watch("run", 3, PLAN)
    assert rollouts.watch("run", 2, PLAN)  # is past
    assert rollouts.watch("run", 4, PLAN)  # was not asked for
    with ledger.connect("ingest") as connection:
        assert not any(ledger.check_invariants(connection).values())
    assert rows("SELECT sum(predictions) FROM reporting.served_versions") == [(1_400,)]
    server.die()


# From the approval on


def approved(two) -> None:
    rollouts.ask("run")
    rollouts.take_answer("run", tasks.APPROVE, "op", "good")


def test_a_version_that_fails_while_an_approver_is_asked_steps_back(two):
    to_canary(two)
    server = Server("one", two.champion)
    answered(two, server, 100)
    Agent().round()
    rollouts.ask("run")
    assert not rollouts.keep_watching("run")
    answered(two, server, 100)
    Agent().round()
    assert not rollouts.keep_watching("run")
    answered(two, server, 40, failure="NOT_FINITE")
    Agent().round()
    with pytest.raises(RolloutError, match=r"Asked for approval, and then: The version is worse .* failures -"):
        rollouts.keep_watching("run")
    with pytest.raises(RolloutError, match="is over: stepped back by serve_canary: Asked for approval, and then"):
        rollouts.keep_watching("run")
    with pytest.raises(RolloutError, match="asks nobody"):
        rollouts.take_answer("run", tasks.APPROVE, "op", "good")
    assert told() is None
    server.die()


def test_a_version_that_answers_all_steps_back_when_it_fails(two):
    to_canary(two)
    server = Server("one", two.champion)
    answered(two, server, 200)
    Agent().round()
    approved(two)
    assert not rollouts.keep_watching("run")
    for failure in (None, "NOT_FINITE"):
        at = datetime.datetime.now(datetime.UTC).isoformat()
        for _ in range(60):
            image = digest(f"picture {server.sequence}")
            server.answer(
                image_id=image, at=at, rollout_id="run", role="canary", version=two.version, failure=failure, seconds=9
            )
        Agent().round()
        if failure is None:  # slower by far: the hour may be another one
            assert not rollouts.keep_watching("run")
    with pytest.raises(RolloutError, match=r"Approved last step, and then: The version is worse .* failures -"):
        rollouts.keep_watching("run")
    assert steps()[-1] == ("stepped back", 0, "serve_canary")
    server.die()


def test_what_goes_wrong_late_is_not_outweighed_by_all_that_went_well(two, monkeypatch):
    monkeypatch.setattr(rollouts, "ROWS", 400)
    to_canary(two)
    rollouts.ask("run")
    server = Server("one", two.champion)
    answered(two, server, 800)
    Agent().round()
    assert not rollouts.keep_watching("run")
    answered(two, server, 60, failure="NOT_FINITE")
    Agent().round()
    with pytest.raises(RolloutError, match=r"worse beyond chance, on 60 pictures"):
        rollouts.keep_watching("run")
    server.die()


@pytest.mark.parametrize("ends", ["a person says no", "a person ends it", "another champion"])
def test_watching_ends_with_the_rollout(two, ends):
    to_canary(two)
    rollouts.ask("run")
    assert not rollouts.keep_watching("run")
    if ends == "a person says no":
        rollouts.take_answer("run", tasks.STEP_BACK, "op", "complaints")
    elif ends == "a person ends it":
        rollouts.end("ann", "enough seen")
    else:
        promotion.record_approval(hold("gate", two.version, two.champion), answer())
        promotion.promote("gate")
    assert rollouts.keep_watching("run")


def test_all_blocks_together_have_the_level_of_one_test():
    assert sum(map(comparison.level_of, range(10_000))) <= comparison.LEVEL


# Statistics


def looks(values: np.ndarray) -> list[int]:
    return list(range(50, len(values) + 1, 50))


def error_rate(draw, found, runs: int = 200, n: int = 1_000) -> float:
    """How often something is found at one look at least."""
    random = np.random.default_rng(20261130)
    hits = 0
    for _ in range(runs):
        values = draw(random, n)
        hits += any(found(values[:rows]) for rows in looks(values))
    return hits / runs


def pairs(gained: float, lost: float):
    return lambda random, n: random.choice([1.0, -1.0, 0.0], n, p=[gained, lost, 1 - gained - lost])


def worse(values: np.ndarray) -> bool:
    return betting.p_below(values, 0) <= comparison.ALPHA


def as_good(values: np.ndarray) -> bool:
    return betting.p_above(values, -comparison.ACCURACY_MARGIN) <= comparison.ALPHA


def test_looking_again_and_again_keeps_the_level():
    assert error_rate(pairs(0.05, 0.05), worse) <= comparison.ALPHA
    assert error_rate(pairs(0.04, 0.06), as_good) <= comparison.ALPHA  # just what is not allowed


def test_a_real_difference_is_found():
    assert error_rate(pairs(0.02, 0.08), worse) > 0.95
    assert error_rate(pairs(0.01, 0.01), as_good, n=2_000) > 0.9


def arms(accuracy: float, slower: float = 1.0, failures: float = 0.0):
    def draw(random, n: int) -> tuple[list[dict], list[dict]]:
        return _arm(random, n, accuracy, slower, failures), _arm(random, 4 * n, 0.9, 1.0, 0.0)

    return draw


def _arm(random, n: int, accuracy: float, slower: float, failures: float) -> list[dict]:
    seconds = slower * random.lognormal(-4, 0.5, n)
    right, failed = random.random(n) < accuracy, random.random(n) < failures
    return [
        {"answer": "cat" if hit else "dog", "truth": "cat", "failed": fails, "seconds": took}
        for hit, fails, took in zip(right, failed, seconds, strict=True)
    ]


def outcomes(draw, runs: int = 40, n: int = 900) -> dict[str, float]:
    """How often each outcome comes first, of looks at every 150 pictures."""
    random = np.random.default_rng(20261130)
    found: dict[str, float] = dict.fromkeys(("worse", "as good", "not enough yet"), 0)
    for _ in range(runs):
        version, champion = draw(random, n)
        for seen in range(150, n + 1, 150):
            outcome = comparison.canary(version[:seen], champion[: 4 * seen], 0.2, 300).outcome
            if outcome != "not enough yet":
                break
        found[outcome] += 1 / runs
    return found


def test_a_canary_is_called_what_it_is():
    same = outcomes(arms(0.9))
    assert same["worse"] <= comparison.ALPHA
    assert same["as good"] > 0.9
    assert outcomes(arms(0.7))["worse"] > 0.9
    assert outcomes(arms(0.9, slower=2.0))["worse"] > 0.95
    assert outcomes(arms(0.9, failures=0.1))["worse"] > 0.9


def test_bets_are_on_values_that_have_bounds():
    with pytest.raises(ValueError, match="-1 to 1"):
        betting.p_below(np.array([2.0]), 0)
    assert betting.p_below(np.array([]), 0) == 1
