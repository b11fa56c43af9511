"""The tasks of `replay_window`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Iterable
from typing import Any


def plan(run_id: str, **window: Any) -> list[dict[str, Any]]:
    """As `replay.plan`."""
    from strandline.replay import replay

    return [request.to_dict() for request in replay.plan(run_id, **window)]


def compare(run_id: str, classified: Iterable[Any]) -> dict[str, Any]:
    """As `replay.compare`."""
    from strandline.attempts import SealedAttempt
    from strandline.replay import replay

    return replay.compare(run_id, [SealedAttempt.from_dict(one) for one in classified]).to_dict()


def prove(compared: Any) -> None:
    """As `replay.prove`."""
    from strandline.replay import replay

    replay.prove(replay.Compared.from_dict(compared))
