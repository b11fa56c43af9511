"""The way from a DAG or a run in Airflow to the page that is about it: a tab of Airflow's own page opens it."""

from urllib.parse import quote

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from strandline import ledger
from strandline.pages.parameters import TextInPath
from strandline.pages.rooms import base, reading

PLACES = {
    "ingest_images": "runs",
    "ingest_labels": "labels",
    "report_drift": "drift",
    "serve_canary": "serving",
    **dict.fromkeys(("retrain_model", "promote_model", "monitor_champion", "check_parity"), "models"),
}
router = APIRouter(prefix="/of", dependencies=[Depends(requires_access_dag("GET"))], include_in_schema=False)


@router.get("/{dag_id}")
def lead_from_dag(request: Request, dag_id: TextInPath) -> RedirectResponse:
    return RedirectResponse(f"{base(request)}/{PLACES.get(dag_id, '')}")


@router.get("/{dag_id}/{run_id:path}")
def lead_from_run(request: Request, dag_id: TextInPath, run_id: TextInPath) -> RedirectResponse:
    """To what the ledger has of the run; while it has nothing, to the page of its DAG.

    Raises:
        HTTPException: the ledger does not answer.
    """
    place = PLACES.get(dag_id, "")
    with reading() as connection:
        found = ledger.fetch(connection, "select_page_of_run", {"place": place, "run_id": run_id})
    return RedirectResponse("/".join([base(request), place, *(quote(row["id"], safe="") for row in found)]))
