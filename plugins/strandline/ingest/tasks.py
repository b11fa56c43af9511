"""The tasks of `ingest_images`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def list_entries(context: Mapping[str, Any]) -> dict[str, Any]:
    """As `listing.list_entries`, of the run of an Airflow task's context."""
    from strandline.ingest import listing

    return listing.list_entries(listing.Run.from_context(context))


def validate(run: Any, packed: Sequence[Any]) -> list[dict[str, Any]]:
    """Validate what was packed; the requests to classify what was accepted.

    Args:
        run, packed: as `validation.validate` takes them.
    """
    from strandline.ingest import load, validation

    return load.plan(run, validation.validate(run, packed)["shards"])


def load(run_id: str, classified: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """As `load.load`."""
    from strandline.ingest import load

    return load.load(run_id, classified)


def alert(run_id: str) -> None:
    """As `alert.alert`."""
    from strandline.ingest import alert

    alert.alert(run_id)
