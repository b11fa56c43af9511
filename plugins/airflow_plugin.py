"""What Airflow's processes have to know by name."""

from airflow.plugins_manager import AirflowPlugin

from strandline.operators.notes import RunNotes
from strandline.operators.timetable import PeriodTimetable


class StrandlinePlugin(AirflowPlugin):
    name = "strandline"
    timetables = [PeriodTimetable]  # noqa: RUF012
    listeners = [RunNotes()]  # noqa: RUF012
