"""Hands the pages to Airflow's API server. Airflow finds this file by its place in the plugins folder."""

from airflow.plugins_manager import AirflowPlugin

from strandline.pages import Pages


class PagesPlugin(AirflowPlugin):
    """Reports, at /strandline."""

    name = "strandline_pages"
    fastapi_apps = [{"app": Pages(), "url_prefix": "/strandline", "name": "Strandline"}]  # noqa: RUF012 - as Airflow declares it
