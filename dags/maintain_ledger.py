"""
## Every night: prove the ledger, forget what is old, and remove what dead tasks left

| task | does |
|---|---|
| **check_invariants** | proves every invariant of the whole ledger, not only of the last run |
| **check_approvals** | red if a challenger passed its gate and nobody answered in time, in the last day |
| **forget_answers** | forgets answers over HTTP that are older than STRANDLINE_SERVE_RETENTION_DAYS, if that is set; \
what they counted stays |
| **remove_orphans** | removes containers and pods that outlived their deadline, as each vision task does, too |
| **remove_leftovers** | removes files of the store that were begun over a day ago and never finished |

### When it is red
| red task | means, and what to do |
|---|---|
| check_invariants | the log names the invariant and its rows: facts were changed by hand, or half a backup restored |
| check_approvals | the log names the challenger: trigger `promote_model` with it again, and tell an approver |
| forget_answers | the ledger does not answer: what was forgotten until then is, and the next night goes on |
| remove_orphans | the Docker Engine or the cluster does not answer, or does not remove: the log says what |
| remove_leftovers | the store cannot be written to: the log says where |
"""

import datetime

from airflow.sdk import CronTriggerTimetable, dag, task

from strandline import ledger, leftovers, settings
from strandline.operators import vision
from strandline.operators.defaults import DEFAULT_ARGS
from strandline.promotion import promotion
from strandline.serving import retention


@dag(
    schedule=CronTriggerTimetable("17 3 * * *", timezone="UTC"),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["strandline", "daily"],
    default_args=DEFAULT_ARGS | {"retry_delay": datetime.timedelta(seconds=30)},
)
def maintain_ledger():
    @task
    def check_invariants() -> int:
        return ledger.prove()

    @task
    def check_approvals() -> None:
        promotion.check_lapsed()

    @task
    def forget_answers() -> int:
        return retention.forget()

    @task
    def remove_orphans() -> list[str]:
        return vision.remove_orphans()

    @task
    def remove_leftovers() -> list[str]:
        return leftovers.remove(settings.get().store)

    check_invariants()
    check_approvals()
    forget_answers()
    remove_orphans()
    remove_leftovers()


maintain_ledger()
