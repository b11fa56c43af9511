"""When the hourly run runs, and which hour a run takes that a person starts."""

import datetime

from airflow.timetables.base import DataInterval
from airflow.timetables.interval import CronDataIntervalTimetable
from pendulum import DateTime, instance

from strandline import hours
from strandline.hours import HOUR


class HourlyTimetable(CronDataIntervalTimetable):
    """At every full hour for the hour before; by hand, for the hour that the logical date names.

    Airflow's own takes the hour before that one. Then a backfill, which finds the logical date of the named hour taken,
    would pass over that hour.
    """

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Of the logical date, which is what Airflow gives here."""
        start = hours.named(run_after, datetime.datetime.now(datetime.UTC))
        return DataInterval(instance(start), instance(start + HOUR))
