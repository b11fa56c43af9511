"""
## By hand: classify a past window again, and compare it with what is recorded

`plan -> classify -> compare -> prove`

| task | does |
|---|---|
| **plan** | freezes what the ledger says of each image that landed in the window; verifies shards and bundles |
| **classify** | one task a shard: the frozen shard again, with the threads and the size of batches of then |
| **compare** | row by row: a page, `rows.parquet`, and a row in `replays`; the log names the page |
| **prove** | red if the same version on the same runtime did not give the same bits |

### Trigger
`start` (and `end`, for more than one period). Without `model_version`, each image is classified with the version that \
its own run had pinned: an exact replay, also if several versions made a window's predictions. With one, its own \
recorded predictions are compared if there are any, and the page says how it agrees with the version that made \
the window's.

A replay changes no prediction and raises no alarm. A run has one replay: clearing it repeats what it found, so \
trigger a new run for another.

### When it is red
| red task | means, and what to do |
|---|---|
| plan | nothing landed in the window, no such version, or one that did not pass `check_parity`: the log's last line \
says which |
| classify | a vision process failed three times: fix what its log names, clear it |
| compare | an attempt's files are not what was planned, or gone: trigger a new run |
| prove | predictions came out otherwise than recorded, or none could be replayed since shards are gone: the page that \
the log names says which, why, and what to do |
"""

import datetime

from airflow.sdk import TriggerRule, dag, task

from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.params import end_period, first_period, model_version
from strandline.operators.report import report_task
from strandline.operators.vision import vision_tasks
from strandline.replay import tasks


@dag(
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=4,
    doc_md=__doc__,
    tags=["strandline", "manual"],
    default_args=DEFAULT_ARGS,
    params={
        "start": first_period(),
        "end": end_period(),
        "model_version": model_version("By the first digits of its id; empty for the one that made each prediction."),
    },
)
def replay_window():
    @task
    def plan(*, run_id: str, params: dict) -> list[dict]:
        return tasks.plan(run_id, **params)

    @report_task(trigger_rule=TriggerRule.NONE_FAILED)
    def compare(classified: list[dict], *, run_id: str) -> dict:
        return tasks.compare(run_id, list(classified))

    @task
    def prove(compared: dict) -> None:
        tasks.prove(compared)

    classified = vision_tasks("classify", "classify").expand(request=plan())
    prove(compare(classified.output))


replay_window()
