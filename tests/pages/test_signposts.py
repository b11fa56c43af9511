"""From Airflow's pages to those that are about the same run."""

import pytest
from fastapi import Request
from ledger_rows import File, Run, register

from strandline import ledger
from strandline.pages import signposts

RUN_ID = "manual__2026-11-21T08:00:00+00:00"
QUOTED = "manual__2026-11-21T08%3A00%3A00%2B00%3A00"


def led(dag_id, run_id=RUN_ID):
    request = Request({"type": "http", "root_path": "/strandline", "headers": []})
    return signposts.lead_from_run(request, dag_id, run_id).headers["location"]


def test_a_run_leads_to_what_the_ledger_has_of_it_and_before_that_to_the_page_of_its_dag(database):
    assert led("ingest_images") == "/strandline/runs"
    version = register()
    Run(RUN_ID, version, [File("1.jpg")]).ready()
    assert led("ingest_images") == f"/strandline/runs/{QUOTED}"
    assert led("report_drift") == "/strandline/drift"
    assert led("maintain_ledger") == "/strandline/"


def test_a_run_that_was_cleared_leads_to_its_last_try(database):
    version = register()
    for number, run_id in enumerate([RUN_ID, *(f"{RUN_ID}~{attempt}" for attempt in (2, 9, 10))]):
        Run(run_id, version, [File(f"{number}.jpg")]).ready()
    Run(f"{RUN_ID}9", version, [File("other.jpg")]).ready()
    assert led("ingest_images") == f"/strandline/runs/{QUOTED}~10"


@pytest.mark.parametrize("name", ["select_page_of_run"])
def test_no_place_has_every_run(database, name):
    Run(RUN_ID, register(), [File("1.jpg")]).ready()
    with ledger.connect("analyst") as connection:
        assert ledger.fetch(connection, name, {"place": "", "run_id": RUN_ID}) == []
