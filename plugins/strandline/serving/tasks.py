"""The tasks of `serve_canary`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Mapping
from typing import Any

APPROVE, STEP_BACK = "Approve", "Step back"


def start(run_id: str, by: str, params: Mapping[str, Any]) -> str:
    """As `rollouts.start`."""
    from strandline.serving import rollouts

    return rollouts.start(run_id, by, params["version"], rollouts.planned(params))


def watch(run_id: str, params: Mapping[str, Any], number: int) -> bool:
    """As `rollouts.watch`."""
    from strandline.serving import rollouts

    return rollouts.watch(run_id, number, rollouts.planned(params))


def keep_watching(run_id: str, params: Mapping[str, Any]) -> bool:
    """As `rollouts.keep_watching`: whatever the parameters were."""
    from strandline.serving import rollouts

    return rollouts.keep_watching(run_id)


def step_back(run_id: str) -> None:
    """As `rollouts.give_up`."""
    from strandline.serving import rollouts

    rollouts.give_up(run_id)


def end(by: str | None, why: str | None) -> str:
    """As `rollouts.end`."""
    from strandline.serving import rollouts

    return rollouts.end(by, why)


def ask(run_id: str) -> tuple[str, str]:
    """As `rollouts.ask`."""
    from strandline.serving import rollouts

    return rollouts.ask(run_id)


def take_answer(run_id: str, option: str, person: str, why: str) -> None:
    """As `rollouts.take_answer`."""
    from strandline.serving import rollouts

    rollouts.take_answer(run_id, option, person, why)
