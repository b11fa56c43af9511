"""The tasks of `retrain_model`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Mapping
from typing import Any


def plan(context: Mapping[str, Any]) -> dict[str, Any] | None:
    """As `plan.plan`, for what an Airflow task's context asks; None if nobody asks for a retraining."""
    from strandline.training import plan

    asked = plan.RetrainingRequest.from_context(context)
    return plan.plan(asked) if asked else None


def evaluation(planned: Mapping[str, Any], holdout: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """As `plan.evaluation`."""
    from strandline.training import plan

    return plan.evaluation(planned, holdout, trained)


def packaging(planned: Mapping[str, Any], trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """As `plan.packaging`."""
    from strandline.training import plan

    return plan.packaging(planned, trained, evaluated)


def register(run_id: str, trained: Mapping[str, Any], evaluated: Mapping[str, Any], packaged: Mapping[str, Any]) -> str:
    """Register the finished bundle; the version that it is now."""
    from strandline.models import registry
    from strandline.training import plan

    planned = plan.planned(run_id)
    return registry.register(plan.packaged_bundle(planned, trained, evaluated, packaged), planned["asked_by"], planned)
