"""The tasks of `promote_model` and `watch_champion`.

Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Iterable, Mapping
from typing import Any

ROLL_BACK, KEEP = "Roll back", "Keep"


def plan(
    run_id: str, asked_by: str, challenger: str | None, expected: str | None, woken: bool
) -> dict[str, Any] | None:
    """Pin what the gate compares; the request to try both models.

    Args:
        woken: by a challenger that was registered: the ledger says which, and who asked. None if none waits.
    """
    from strandline.promotion import evaluation

    asked = evaluation.waiting() if woken else {"challenger": challenger, "asked_by": asked_by}
    if asked is None:
        return None
    return evaluation.trial_request(evaluation.plan(run_id, **asked, expected=expected))


def plan_evaluations(run_id: str, tried: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As `evaluation.evaluations`, of what the run pinned."""
    from strandline.promotion import evaluation

    return evaluation.evaluations(evaluation.pinned(run_id), tried)


def hold_gate(run_id: str, tried: Mapping[str, Any], evaluated: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """As `evaluation.hold`, of what the run pinned."""
    from strandline.promotion import evaluation

    return evaluation.hold(evaluation.pinned(run_id), tried, evaluated)


def passed(run_id: str) -> bool:
    """Whether the run's gate passed, as the ledger has it."""
    from strandline.promotion import evaluation

    return bool(evaluation.held(run_id)["outcome"] == "pass")


def ask_about_gate(run_id: str) -> tuple[str, str]:
    """As `evaluation.question`."""
    from strandline.promotion import evaluation

    return evaluation.question(run_id)


def plan_watch(run_id: str) -> dict[str, Any] | None:
    """As `monitoring.plan`."""
    from strandline.promotion import monitoring

    return monitoring.plan(run_id)


def judge_champion(run_id: str, evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """As `monitoring.judge`."""
    from strandline.promotion import monitoring

    return monitoring.judge(run_id, evaluated)


def is_worse(run_id: str) -> bool:
    """As `monitoring.worse`."""
    from strandline.promotion import monitoring

    return monitoring.worse(run_id)


def ask_about_champion(run_id: str) -> tuple[str, str]:
    """As `monitoring.question`."""
    from strandline.promotion import monitoring

    return monitoring.question(run_id)


def take_answer(run_id: str, answer: Mapping[str, Any]) -> None:
    """Roll back, if a person answered so."""
    from strandline.promotion import monitoring, promotion

    said = promotion.read_answer(answer, (ROLL_BACK, KEEP))
    if said.option == ROLL_BACK:
        look = monitoring.found(run_id)
        promotion.roll_back(run_id, said.person, said.reason, look["predecessor"], expected=look["version"])
