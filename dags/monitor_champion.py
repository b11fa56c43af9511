"""
## After a promotion: is the new champion worse than the one before it?

`plan -> evaluate -> compare -> check_outcome -> request_approval`

| task | does |
|---|---|
| **plan** | the images that were labelled since the promotion; skipped until there are enough new ones |
| **evaluate** | has the champion before classify them, too |
| **compare** | compares both on the same images, and records the check in `champion_checks` |
| **request_approval** | if the new one is worse beyond chance, once: *Roll back* or *Keep*, with a reason; if \
so answered, the champion before is champion again |

It checks a promotion a few times (STRANDLINE_WATCH_LOOKS), and nothing if the champion did not come by one.

### When it is red
| red task | means, and what to do |
|---|---|
| plan | the champion before was not proved in STRANDLINE_PRECISION: trigger `check_parity` with it |
| plan, evaluate, compare | files of the store are gone or altered: the log names them. Ingestion is not touched by it |
| request_approval | nobody answered in time, no reason was given, the champion changed, or the bundle is gone or \
altered: the champion stays. Clear it to be asked again, or roll back with `promote_model` |
"""

import datetime

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException

from strandline.assets import LABELS, PREDICTIONS
from strandline.operators.approval import request_approval
from strandline.operators.defaults import DEFAULT_ARGS, GOVERNANCE
from strandline.operators.vision import vision_task
from strandline.promotion import tasks


@dag(
    schedule=(PREDICTIONS | LABELS),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=4,  # one may wait for its answer
    doc_md=__doc__,
    tags=["strandline", "models"],
    default_args=DEFAULT_ARGS | {"queue": GOVERNANCE},  # of workers that may change the champion
)
def monitor_champion():
    @task
    def plan(*, run_id: str) -> dict:
        if not (request := tasks.plan_monitoring(run_id)):
            raise AirflowSkipException("there is nothing to look at, or not enough yet")
        return request

    @task
    def compare(evaluated: dict, *, run_id: str) -> dict:
        return tasks.compare_champions(run_id, evaluated)

    @task.short_circuit
    def check_outcome(*, run_id: str) -> bool:
        return tasks.is_worse(run_id)

    (
        compare(vision_task("evaluate", "evaluate", plan()).output)
        >> check_outcome()
        >> request_approval(
            "request_approval", tasks.roll_back_request, [tasks.ROLL_BACK, tasks.KEEP], tasks.take_answer
        )
    )


monitor_champion()
