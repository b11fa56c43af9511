"""Hands the pages to Airflow's API server. Airflow finds this file by its place in the plugins folder."""

from airflow.plugins_manager import AirflowPlugin

from strandline.pages import Pages


class PagesPlugin(AirflowPlugin):
    """Pages at /strandline, and in Airflow's menu."""

    name = "strandline_pages"
    fastapi_apps = [{"app": Pages(), "url_prefix": "/strandline", "name": "Strandline"}]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012
        {"name": "Strandline", "href": "/strandline/", "destination": "nav", "url_route": "strandline"}
    ]
