"""The tasks of `promote_model` and `monitor_champion`.

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

    if woken:
        if not (waits := evaluation.waiting()):
            return None
        challenger, asked_by = waits
    return evaluation.infra_validate_request(evaluation.plan(run_id, asked_by, challenger, expected)).to_dict()


def plan_packing(run_id: str, validated: Any) -> list[dict[str, Any]]:
    """As `evaluation.packings`, of what the run pinned."""
    from strandline.attempts import SealedAttempt
    from strandline.promotion import evaluation

    requests = evaluation.packings(evaluation.pinned(run_id), SealedAttempt.from_dict(validated))
    return [request.to_dict() for request in requests]


def plan_evaluations(run_id: str, validated: Any, packed: Iterable[Any]) -> list[dict[str, Any]]:
    """As `evaluation.evaluations`, of what the run pinned."""
    from strandline.attempts import SealedAttempt
    from strandline.promotion import evaluation

    validated, *packed = map(SealedAttempt.from_dict, (validated, *packed))
    return [request.to_dict() for request in evaluation.evaluations(evaluation.pinned(run_id), validated, packed)]


def evaluate_gate(run_id: str, validated: Any, packed: Iterable[Any], evaluated: Iterable[Any]) -> dict[str, Any]:
    """As `evaluation.evaluate_gate`, of what the run pinned."""
    from strandline.attempts import SealedAttempt
    from strandline.promotion import evaluation

    packed, evaluated = (list(map(SealedAttempt.from_dict, done)) for done in (packed, evaluated))
    validated = SealedAttempt.from_dict(validated)
    return evaluation.evaluate_gate(evaluation.pinned(run_id), validated, evaluated, packed).to_dict()


def passed(run_id: str) -> bool:
    """Whether the run's gate passed, as the ledger has it."""
    from strandline.promotion import evaluation

    return evaluation.gate_result(run_id).outcome == "pass"


def gate_approval_request(run_id: str) -> tuple[str, str]:
    """As `evaluation.approval_request`."""
    from strandline.promotion import evaluation

    return evaluation.approval_request(run_id)


def promote(gate_id: str) -> dict[str, Any]:
    """As `promotion.promote`."""
    from strandline.promotion import promotion

    return promotion.promote(gate_id).to_dict()


def roll_back(run_id: str, by: str | None, why: Any, to_version: str | None, expected: str | None) -> dict[str, Any]:
    """As `promotion.roll_back`."""
    from strandline.promotion import promotion

    return promotion.roll_back(run_id, by, why, to_version, expected).to_dict()


def plan_monitoring(run_id: str) -> dict[str, Any] | None:
    """As `monitoring.plan`."""
    from strandline.promotion import monitoring

    request = monitoring.plan(run_id)
    return request.to_dict() if request else None


def compare_champions(run_id: str, evaluated: Any) -> dict[str, Any]:
    """As `monitoring.compare`."""
    from strandline.attempts import SealedAttempt
    from strandline.promotion import monitoring

    return monitoring.compare(run_id, SealedAttempt.from_dict(evaluated)).to_dict()


def is_worse(run_id: str) -> bool:
    """As `monitoring.worse`."""
    from strandline.promotion import monitoring

    return monitoring.worse(run_id)


def roll_back_request(run_id: str) -> tuple[str, str]:
    """As `monitoring.approval_request`."""
    from strandline.promotion import monitoring

    return monitoring.approval_request(run_id)


def take_answer(run_id: str, answer: Mapping[str, Any]) -> None:
    """Roll back, if a person answered so."""
    from strandline.promotion import monitoring, promotion

    said = promotion.read_answer(answer, (ROLL_BACK, KEEP))
    if said.option == ROLL_BACK:
        check = monitoring.check_of(run_id)
        promotion.roll_back(run_id, said.person, said.reason, check.predecessor, expected=check.version)
