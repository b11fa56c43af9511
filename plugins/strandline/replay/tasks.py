"""The tasks of `replay_window`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Mapping, Sequence
from typing import Any


def plan(run_id: str, **window: Any) -> list[dict[str, Any]]:
    """As `replay.plan`."""
    from strandline.replay import replay

    return replay.plan(run_id, **window)


def compare(run_id: str, classified: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """As `replay.compare`."""
    from strandline.replay import replay

    return replay.compare(run_id, classified)


def prove(compared: Mapping[str, Any]) -> None:
    """As `replay.prove`."""
    from strandline.replay import replay

    replay.prove(compared)
