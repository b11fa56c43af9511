"""Hands the door to Airflow's API server. Airflow finds this file by its place in the plugins folder."""

from airflow.plugins_manager import AirflowPlugin

from strandline.door import Door


class DoorPlugin(AirflowPlugin):
    """Wrong passwords wait, and pages about the API are closed."""

    name = "strandline_door"
    fastapi_root_middlewares = [{"name": "door", "middleware": Door}]  # noqa: RUF012 - as Airflow declares it
