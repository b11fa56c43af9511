"""
## After every period's predictions, and as labels come: what changed, for people to read and machines to act on

`list -> report -> request_retraining`

| task | does |
|---|---|
| **list** | the windows to report: of the runs of `ingest_images` that closed their books; those that have enough \
labels by now to judge their accuracy; or the one you ask for |
| **report** | one task a window: Evidently's report, the verdict, a row in `drift_reports` |
| **request_retraining** | updates the asset `retraining` if a verdict asks for it; else it is skipped |

### The verdict
**none**: nothing found. **warn**: something changed; a person should look. **retrain**: accuracy fell, and kept \
falling; `retrain_model` is started, but for cool-down, weekly budget, or too few labels.
The mix of classes alone never starts a retraining. Windows that are backfilled, triggered by hand here, or reported \
again never do either, but for one: a window that gets enough labels after its report is judged once more, by them.

### Trigger
`start` (and `end`, for more than one period) reports any window again; the new report says which one it replaces.

### When it is red
| red task | means, and what to do |
|---|---|
| list | the database does not answer: the log says which |
| report | no such model, a bundle or files of predictions that are gone, or settings that contradict each other: the \
log's last line names it. Classification is not touched by it; fix it and clear the task |
| request_retraining | the database of Airflow does not answer: clear it |
"""

import datetime

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from strandline import periods
from strandline.assets import LABELS, PREDICTIONS, RETRAINING
from strandline.drift import tasks
from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.params import end_period, first_period, model_version
from strandline.operators.report import report_task


@dag(
    schedule=(PREDICTIONS | LABELS),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,  # verdicts look at those before them
    doc_md=__doc__,
    tags=["strandline"],
    default_args=DEFAULT_ARGS,
    params={
        "start": first_period(empty="the last complete one"),
        "end": end_period(),
        "model_version": model_version(
            "Report this version's predictions instead of the champion's, by the first digits of its id."
        ),
    },
)
def report_drift():
    @task(task_id="list")
    def list_windows(*, params: dict, triggering_asset_events) -> list[dict]:
        closed, labelled = (triggering_asset_events.get(asset, []) for asset in (PREDICTIONS, LABELS))
        runs = [event.source_run_id for event in closed if event.source_run_id]
        return tasks.list_windows(runs if closed or labelled else None, **params)

    @report_task(map_index_template="{{ window }}", max_active_tis_per_dagrun=1)
    def report(asked: dict, *, run_id: str) -> dict:
        get_current_context()["window"] = periods.get().write(datetime.datetime.fromisoformat(asked["start"]))
        return tasks.report(run_id, asked)

    @task(outlets=[RETRAINING])
    def request_retraining(reports: list[dict], *, outlet_events) -> list[dict]:
        requests = [report for report in reports if report["requests_retraining"]]
        if not requests:
            raise AirflowSkipException("no window asks for a retraining, or it is held back")
        outlet_events[RETRAINING].extra = requests[-1]  # for people: `retrain_model` looks into the ledger
        return requests

    request_retraining(report.expand(asked=list_windows()))


report_drift()
