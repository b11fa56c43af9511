"""What Airflow's processes have to know by name."""

from airflow.plugins_manager import AirflowPlugin

from strandline.operators.timetable import PeriodTimetable


class StrandlinePlugin(AirflowPlugin):
    name = "strandline"
    timetables = [PeriodTimetable]  # noqa: RUF012
