"""The parameters that more than one DAG has: a form asks for the same thing by the same name."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Param

from strandline import periods, settings


def period() -> Param:
    return _text("Period", f"As {periods.get().example}, UTC. Not for a backfill.")


def first_period(empty: str = "") -> Param:
    """Where a window begins: needed, unless `empty` says what an empty one stands for."""
    asks = f"Of the window, UTC, as {periods.get().example}"
    if not empty:
        return Param(type="string", title="First period", description=f"{asks}.")
    return _text("First period", f"{asks}; empty for {empty}.")


def end_period() -> Param:
    return _text("End", "The period before which the window ends; empty for a window of one.")


def action(choices: Sequence[str], description: str) -> Param:
    """The first choice unless somebody says otherwise."""
    return Param(choices[0], type="string", enum=list(choices), title="Action", description=description)


def version(description: str) -> Param:
    """That an action is about, by its first digits."""
    return _text("Version", description)


def model_version(description: str) -> Param:
    return _text("Model version", description)


def reason(description: str, most: int = settings.REASON_LENGTH) -> Param:
    """Of `most` characters; whoever needs one refuses an empty one, and says why."""
    return _text("Reason", description, maxLength=most)


def _text(title: str, description: str, **limits: Any) -> Param:
    """That may be left empty."""
    return Param(None, type=["null", "string"], title=title, description=description, **limits)
