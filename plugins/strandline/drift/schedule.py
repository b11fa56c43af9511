"""Which windows are reported: those of runs that closed their books, those that got labels, or the one asked for."""

import dataclasses
import datetime
import logging
from collections.abc import Sequence
from typing import Any

import strandline_contract as contract
from strandline import ledger, periods, settings
from strandline.drift.windows import COMPARED

log = logging.getLogger(__name__)

LATE_WINDOWS = 24  # periods that one run's late files make a new report of


@dataclasses.dataclass(frozen=True)
class AskedWindow(contract.Message):
    """A window to report: `start` and `end` with a time zone, in ISO format; `model_version` None stands for the
    champion; whether it may raise an alarm, if its standing in the ledger allows it.
    """

    start: str
    end: str
    model_version: str | None
    alarms: bool


def list_windows(
    run_ids: Sequence[str] | None,
    start: str | None = None,
    end: str | None = None,
    model_version: str | None = None,
) -> list[AskedWindow]:
    """The windows to report, in the order of time.

    Those of runs of `ingest_images`, and of runs that closed since the first of them and were not reported since: each
    run's own interval, and the periods to which it added late files. And those that have enough labels by now to judge
    their accuracy, and had not when they were reported.

    Args:
        run_ids: None if a person asks: for one window, from period `start` to before period `end` (without it:
            one period), as 2026-11-21T08 in UTC; without any, for the last complete one.

    Raises:
        PeriodError: `start` or `end` is none.
    """
    period = periods.get()
    if start or run_ids is None:
        first = period.parse(start) if start else period.last_complete()
        last = period.parse(end) if end else first + period.length
        return [_asked(first, last, model_version, alarms=False)]
    config = settings.get()
    query = {"labels": config.drift.min_labels, "days": config.drift.label_days, "rows": COMPARED}
    with ledger.connect("ingest") as connection:
        rows = ledger.fetch(connection, "select_run_windows", {"run_ids": list(run_ids)})
        labelled = ledger.fetch(connection, "select_labelled_windows", query)
    late = [row for row in rows if row["late"]]
    left_out = late[: max(len(late) - LATE_WINDOWS, 0)]
    if left_out:
        span = f"{left_out[0]['window_start']} to {left_out[-1]['window_end']}"
        what = f"{len(left_out)} {period.noun}s from {span}"
        log.warning("%s got late files, too: trigger them to have them reported", what)
    alarms: dict[tuple[Any, ...], bool] = {}
    for row in [*(row for row in rows if row not in left_out), *({**row, "alarms": True} for row in labelled)]:
        window = row["window_end"], row["window_start"], row["model_version"]
        alarms[window] = alarms.get(window, False) or row["alarms"]  # a run reports a window once
    return [_asked(start, end, version, may) for (end, start, version), may in sorted(alarms.items())]


def _asked(start: datetime.datetime, end: datetime.datetime, version: str | None, alarms: bool) -> AskedWindow:
    return AskedWindow(start.isoformat(), end.isoformat(), version, alarms)
