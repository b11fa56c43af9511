"""When the DAGs of a period run, and which period a run takes that a person starts."""

import datetime

from airflow.timetables.base import DataInterval
from airflow.timetables.interval import CronDataIntervalTimetable
from pendulum import DateTime, instance

from strandline import periods


def cron(halfway: bool = False) -> str:
    """Where each period begins, UTC, as a cron expression; or halfway through it, in whole minutes."""
    length = periods.get().length // datetime.timedelta(minutes=1)
    start = length // 2 if halfway else 0
    if length < 60:
        return f"{f'{start}-59' if start else '*'}/{length} * * * *"
    return f"{start} * * * *" if length == 60 else f"0 {start // 60} * * *"


class PeriodTimetable(CronDataIntervalTimetable):
    """At the end of every period, for it; by hand, for the period that the logical date names.

    Airflow's own takes the period before that one. Then a backfill, which finds the logical date of the named period
    taken, would pass over that period.
    """

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Of the logical date, which is what Airflow gives here."""
        period = periods.get()
        start = period.named(run_after, datetime.datetime.now(datetime.UTC))
        return DataInterval(instance(start), instance(start + period.length))
