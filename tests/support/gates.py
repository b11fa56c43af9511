"""Gates as promote_model leaves them, for tests of what comes after."""

import datetime
from typing import Any

from strandline import ledger

REQUESTER, APPROVER = "user", "op"
CHECKS = ("accuracy floor", "holdout", "recent")


def hold(gate_id: str, challenger: str, champion: str, outcome: str = "pass", **changes: Any) -> str:
    """Record a gate; its last check has its outcome, the others pass."""
    row = {"gate_id": gate_id, "challenger": challenger, "champion": champion, "holdout_set": None, "recent_set": None}
    row |= {"checks": len(CHECKS), "outcome": outcome, "sentence": f"It is a {outcome}.", "rules": "{}", "folder": "."}
    row |= {"html_sha256": "0" * 64, "requested_by": REQUESTER, "approvers": [APPROVER, "admin", REQUESTER]}
    row["answer_by"] = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    outcomes = dict.fromkeys(CHECKS, "pass") | {CHECKS[-1]: outcome}
    with ledger.connect("gate") as connection:
        ledger.execute(connection, "insert_gate", row | changes)
        columns = ("gate_id", "check_name", "outcome", "sentence", "allowed", "unit")
        results = [(gate_id, name, found, "", "above", "points") for name, found in outcomes.items()]
        ledger.copy_rows(connection, "gate_results", columns, results)
    return gate_id


def answer(person: str | None = APPROVER, option: str = "Approve", reason: Any = "looks good") -> dict[str, Any]:
    """As Airflow hands it on."""
    user = {"id": person, "name": person} if person else None
    at = datetime.datetime.now(datetime.UTC).isoformat()
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": at,
        "responded_by_user": user,
    }
