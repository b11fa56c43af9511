"""The tasks of `ingest_images`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Iterable, Mapping
from typing import Any


def list_entries(context: Mapping[str, Any]) -> dict[str, Any]:
    """As `listing.list_entries`, of the run of an Airflow task's context."""
    from strandline.ingest import listing

    listed = listing.list_entries(listing.Run.from_context(context))
    return {"run": listed.run.to_dict(), "pack": [request.to_dict() for request in listed.pack]}


def validate(run: Any, packed: Iterable[Any]) -> list[dict[str, Any]]:
    """Validate what was packed; the requests to classify what was accepted."""
    from strandline.attempts import SealedAttempt
    from strandline.ingest import listing, load, validation

    run = listing.ListedRun.from_dict(run)
    validated = validation.validate(run, [SealedAttempt.from_dict(one) for one in packed])
    return [request.to_dict() for request in load.plan(run, validated.shards)]


def load(run_id: str, classified: Iterable[Any]) -> dict[str, int]:
    """As `load.load`."""
    from strandline.attempts import SealedAttempt
    from strandline.ingest import load

    return load.load(run_id, [SealedAttempt.from_dict(one) for one in classified])


def alert(run_id: str) -> None:
    """As `alert.alert`."""
    from strandline.ingest import alert

    alert.alert(run_id)
