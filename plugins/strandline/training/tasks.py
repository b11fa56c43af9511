"""The tasks of `retrain_model`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Mapping
from typing import Any


def plan(context: Mapping[str, Any]) -> dict[str, Any] | None:
    """As `plan.plan`, for what an Airflow task's context asks; None if nobody asks for a retraining."""
    from strandline.training import plan

    asked = plan.RetrainingRequest.from_context(context)
    return plan.plan(asked).to_dict() if asked else None


def evaluation(planned: Any, holdout: Any, trained: Any) -> dict[str, Any]:
    """As `plan.evaluation`."""
    from strandline.attempts import SealedAttempt
    from strandline.training import plan

    planned, holdout = plan.TrainingPlan.from_dict(planned), plan.Holdout.from_dict(holdout)
    return plan.evaluation(planned, holdout, SealedAttempt.from_dict(trained)).to_dict()


def packaging(planned: Any, trained: Any, evaluated: Any) -> dict[str, Any]:
    """As `plan.packaging`."""
    from strandline.attempts import SealedAttempt
    from strandline.training import plan

    trained, evaluated = map(SealedAttempt.from_dict, (trained, evaluated))
    return plan.packaging(plan.TrainingPlan.from_dict(planned), trained, evaluated).to_dict()


def parity(holdout: Any, packaged: Any) -> dict[str, Any] | None:
    """As `plan.parity`."""
    from strandline.attempts import SealedAttempt
    from strandline.training import plan

    request = plan.parity(plan.Holdout.from_dict(holdout), SealedAttempt.from_dict(packaged))
    return request.to_dict() if request else None


def register(run_id: str, trained: Any, evaluated: Any, packaged: Any) -> str:
    """Register the finished bundle; the version that it is now."""
    from strandline.attempts import SealedAttempt
    from strandline.models import registry
    from strandline.training import plan

    planned = plan.planned(run_id)
    bundle = plan.packaged_bundle(planned, *map(SealedAttempt.from_dict, (trained, evaluated, packaged)))
    return registry.register(bundle, planned.asked_by, planned.to_dict())
