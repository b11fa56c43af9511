"""Hands the pages to Airflow's API server. Airflow finds this file by its place in the plugins folder."""

from airflow.plugins_manager import AirflowPlugin

from strandline.pages import Pages


class PagesPlugin(AirflowPlugin):
    """Pages at /strandline, in Airflow's menu, and as a tab of its DAGs and runs."""

    name = "strandline_pages"
    fastapi_apps = [{"app": Pages(), "url_prefix": "/strandline", "name": "Strandline"}]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012
        {"name": "Strandline", "href": f"/strandline/{href}", "destination": destination, "url_route": route}
        for destination, href, route in (
            ("nav", "", "strandline"),
            ("dag", "of/{DAG_ID}", "strandline-dag"),
            ("dag_run", "of/{DAG_ID}/{RUN_ID}", "strandline-run"),
        )
    ]
