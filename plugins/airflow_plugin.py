"""What Airflow's processes have to know by name."""

from airflow.plugins_manager import AirflowPlugin

from strandline.timetable import HourlyTimetable


class StrandlinePlugin(AirflowPlugin):
    name = "strandline"
    timetables = [HourlyTimetable]  # noqa: RUF012
