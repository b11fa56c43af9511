"""The second half of the demo: another model is trained, tested, approved, put to use, and rolled back."""

import contextlib
import dataclasses
import datetime
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local.demo.runs import DemoError, failure, finish, follow
from local.stack.api import Api
from local.stack.stack import Stack
from local.stack.summary import Summary
from strandline import ledger, periods, reports
from strandline.stats import estimates

RETRAIN, PROMOTE = "retrain_model", "promote_model"
ASK = "request_approval"  # the task that waits for a person
APPROVER = "op"


@dataclasses.dataclass(frozen=True)
class Runs:
    """How many runs the DAGs of models have had."""

    retrain: int
    promote: int

    @classmethod
    def count(cls, api: Api) -> Self:
        return cls(len(api.runs(RETRAIN)), len(api.runs(PROMOTE)))


def told(stack: Stack) -> bool:
    """Whether a challenger was trained before."""
    with ledger.connect("ingest", stack.settings.database_url) as connection:
        return bool(ledger.fetch(connection, "select_challenger"))


def asked_for(stack: Stack, start: datetime.datetime) -> bool:
    """Whether the drift report of a period asks for a retraining."""
    with ledger.connect("ingest", stack.settings.database_url) as connection:
        window = {"window_start": start, "window_end": start + periods.get().length}
        (row,) = ledger.fetch(connection, "select_window_report", window)
    return row["action"] == "retrain" and not row["held_back"]


def promote(stack: Stack, api: Api, before: Runs) -> bool:
    """Follow the retraining that Airflow starts, and the gate; approve what passes it, as another user than who asked.

    Returns:
        Whether there is another champion.

    Raises:
        DemoError: a run failed.
    """
    print("\n  The report asks for another model: it is trained from the champion's weights.\n", flush=True)
    follow(stack, api, RETRAIN, before.retrain)
    with ledger.connect("ingest", stack.settings.database_url) as connection:
        (challenger,) = ledger.fetch(connection, "select_challenger")
    print(f"\n  Challenger {challenger['version'][:12]}, trained on {challenger['images']:,} images,")
    print(
        f"  has {challenger['accuracy']:.1%} of the holdout right. The gate compares it with the champion.\n",
        flush=True,
    )
    run_id = follow(stack, api, PROMOTE, before.promote)
    with ledger.connect("ingest", stack.settings.database_url) as connection:
        (gate,) = ledger.fetch(connection, "select_gate", {"gate_id": run_id})
        checks = ledger.fetch(connection, "select_gate_results", {"gate_id": run_id})
    print(f"\n  The gate: {gate['outcome']}. {gate['sentence']}")
    for check in checks:
        said = textwrap.wrap(check["sentence"], 100)
        print(f"    {check['outcome']:20} {said[0]}", *(f"    {'':20} {line}" for line in said[1:]), sep="\n")
    print(f"    {stack.url}{reports.path('gate', Path(gate['folder']).name)}")
    if gate["outcome"] != "pass":
        print("\n  The gate was not passed: nobody is asked, and the champion stays.")
        return False
    print(f"\n  Airflow waits for a person. {APPROVER} approves over the REST API.\n", flush=True)
    with contextlib.closing(stack.api(APPROVER)) as approver:
        approver.wait_approval_request(PROMOTE, run_id, ASK)
        approver.answer(PROMOTE, run_id, ASK, "Approve", "The demo: the gate's report was read.")
    if api.wait(PROMOTE, run_id) != "success":
        raise DemoError(failure(stack, api, PROMOTE, run_id))
    return True


def roll_back(stack: Stack, api: Api) -> None:
    """Go back to the champion before, in one step.

    Raises:
        DemoError: the run failed.
    """
    print("\n  And back, in one step:\n", flush=True)
    asked = {"action": "roll back", "reason": "The demo ends with the model that it began with."}
    finish(stack, api, PROMOTE, api.trigger(PROMOTE, conf=asked))


def accuracies(stack: Stack, runs: Mapping[datetime.datetime, str]) -> list[str]:
    """How each period's model did on it, a line each; the periods with the ids of their runs."""
    period = periods.get()
    lines = [f"  How many images the champion of each {period.noun} had right, against the folder names:"]
    for start, run_id in runs.items():
        summary = Summary.read(str(stack.settings.database_url), start, run_id)
        low, high = estimates.wilson(summary.correct, summary.labelled)
        share = f"{summary.correct / summary.labelled:.1%} (95 % interval {low:.1%} to {high:.1%})"
        lines.append(f"    {period.write(start)}  {share}, version {summary.model_version[:12]}")
    return lines


def history(stack: Stack) -> list[str]:
    """Who was champion, from when on and why, a line each."""
    with ledger.connect("ingest", stack.settings.database_url) as connection:
        rows = ledger.fetch(connection, "select_champions")
    return ["  Champions so far:"] + [
        f"    {row['since']:%H:%M:%S}  {row['version'][:12]}  {row['cause']} by {row['promoted_by']}: {row['reason']}"
        for row in rows
    ]
