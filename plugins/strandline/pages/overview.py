"""What needs a person now, whether the books balance, and which model speaks."""

import datetime
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models import DagRun
from airflow.utils.state import DagRunState
from fastapi import Depends
from sqlalchemy import select
from sqlalchemy.orm import Session

from strandline import ledger
from strandline.pages.rooms import Facts, Room, reading

HOURS = 48
LATEST_RUNS = {"kind": "", "books": "", "before": None, "limit": 8}
RED_RUNS = 20
SPOOL_MINUTES = 10  # an agent that runs looks every second
DAGS = (
    "ingest_images",
    "ingest_labels",
    "report_drift",
    "retrain_model",
    "promote_model",
    "monitor_champion",
    "serve_canary",
    "replay_window",
    "check_parity",
    "maintain_ledger",
    "check_host",
)
room = Room("ingest_images")


def readable_dags(user: GetUserDep) -> set[str]:
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


@room.show("/", "overview.html")
def overview(session: SessionDep, readable: Annotated[set[str], Depends(readable_dags)]) -> Facts:
    """The last two days in one look.

    Raises:
        HTTPException: the ledger does not answer.
    """
    with reading() as connection:
        (balance,) = ledger.fetch(connection, "select_balance", {"hours": HOURS})
        (unanswered,) = ledger.fetch(connection, "count_unanswered")
        (refused,) = ledger.fetch(connection, "count_refused", {"hours": HOURS})
        return {
            "hours": HOURS,
            "balance": balance,
            "classified_by_hour": ledger.fetch(connection, "select_classified_by_hour", {"hours": HOURS}),
            "questions": ledger.fetch(connection, "select_open_questions"),
            "rollouts": ledger.fetch(connection, "select_open_rollouts"),
            "unserved": ledger.fetch(connection, "select_unserved_versions"),
            "spools": ledger.fetch(connection, "select_waiting_spools", {"minutes": SPOOL_MINUTES}),
            "unanswered": unanswered["images"],
            "refused": refused["files"],
            "red_runs": _red_runs(session, readable),
            "runs": ledger.fetch(connection, "select_runs_page", LATEST_RUNS),
            "champion": next(iter(ledger.fetch(connection, "select_champion_in_use")), None),
            "verdict": next(iter(ledger.fetch(connection, "select_latest_verdicts", {"limit": 1})), None),
        }


def _red_runs(session: Session, readable: set[str]) -> list[dict[str, Any]]:
    """Airflow's failed runs of our DAGs, as far as the reader may see them, the latest first."""
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=HOURS)
    query = (
        select(DagRun.dag_id, DagRun.run_id, DagRun.end_date)
        .where(
            DagRun.dag_id.in_(readable.intersection(DAGS)), DagRun.state == DagRunState.FAILED, DagRun.end_date > since
        )
        .order_by(DagRun.end_date.desc())
        .limit(RED_RUNS)
    )
    return [dict(row) for row in session.execute(query).mappings()]
