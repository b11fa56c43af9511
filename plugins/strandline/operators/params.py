"""The parameters that more than one DAG has: a form asks for the same thing by the same name."""

from typing import Any

from airflow.sdk import Param

from strandline import settings


def first_hour(empty: str = "") -> Param:
    """Where a window begins: needed, unless `empty` says what an empty one stands for."""
    asks = "Of the window, UTC, as 2026-11-21T08"
    if not empty:
        return Param(type="string", title="First hour", description=f"{asks}.")
    return _text("First hour", f"{asks}; empty for {empty}.")


def end_hour() -> Param:
    return _text("End", "The hour before which the window ends; empty for a window of one hour.")


def model_version(description: str) -> Param:
    return _text("Model version", description)


def reason(description: str, most: int = settings.REASON_LENGTH) -> Param:
    """Of `most` characters; whoever needs one refuses an empty one, and says why."""
    return _text("Reason", description, maxLength=most)


def _text(title: str, description: str, **limits: Any) -> Param:
    """That may be left empty."""
    return Param(None, type=["null", "string"], title=title, description=description, **limits)
