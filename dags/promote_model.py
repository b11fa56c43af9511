"""
## By hand or for a new challenger: gate, approval, and another champion; or the way back

`choose -> plan -> infra_validate -> plan_packing -> pack -> plan_evaluations -> evaluate -> evaluate_gate ->
check_outcome -> request_approval -> check_approval -> promote`, or `choose -> roll_back`

| task | does |
|---|---|
| **choose** | whether to promote or to roll back |
| **plan** | pins champion, challenger, the holdout and the newest labelled images, in the ledger; a run \
that a new challenger woke looks there for the one that waits, and is skipped if none does |
| **infra_validate** | in the real runner: does the challenger load and answer, and how fast are both, in turns |
| **pack** | the images of the sets again, from their files, for a model that wants other pixels of them than \
their shards have; skipped if neither does |
| **evaluate** | one task a model and set: answers to every image of a class that the model has |
| **evaluate_gate** | all checks, the report, the rows in `gates` and `gate_results` |
| **check_outcome** | ends the run here if the gate was not passed: that is an answer, and no failure |
| **request_approval** | waits for one of the approvers (page *Required Actions*): *Approve* or *Reject*, with a \
reason; records the answer, and refuses that of who asked or trained |
| **check_approval** | reads the recorded answer; ends the run here if it is *Reject* |
| **promote** | one SQL function: the challenger is champion, if the champion is still the one it was compared with |
| **roll_back** | one SQL function: a version that was champion before is champion again |

Runs of `ingest_images` that have begun keep the version that they pinned.

### Trigger
To promote, give the challenger's version. To roll back, choose that action and give a reason; without a version it goes
to the one that the champion replaced. Nobody approves what they asked for or trained.

### When it is red
| red task | means, and what to do |
|---|---|
| plan | no such challenger, the champion is not the expected one, or one of the two was not proved in \
STRANDLINE_PRECISION: the log's last line says which, and what to trigger before it is cleared |
| infra_validate, pack, evaluate | the champion's bundle or the sets' files are gone or altered, or the host \
cannot classify |
| evaluate_gate | results contradict the plan: the log says which; clear `plan` and all after it |
| request_approval | nobody answered in time: trigger a new run. Or the answer was late, without a reason, by \
somebody who may not, or the second one to this gate, as the log's last line says: clear it to be asked again. \
Nothing was promoted |
| check_approval | no answer is recorded: clear `request_approval` to be asked again |
| promote | the champion changed meanwhile, or the challenger's bundle is not whole: the champion stays |
| roll_back | by no approver, no reason, never champion, or its bundle is gone or altered: the champion stays |
"""

import datetime

from airflow.sdk import Param, TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from strandline.assets import CHALLENGERS
from strandline.operators.approval import request_approval
from strandline.operators.defaults import DEFAULT_ARGS, GOVERNANCE
from strandline.operators.params import action, reason, version
from strandline.operators.report import report_task
from strandline.operators.vision import vision_task, vision_tasks
from strandline.promotion import promotion, tasks


@dag(
    schedule=[CHALLENGERS],
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=8,  # one waits for its answer as long as it takes
    doc_md=__doc__,
    tags=["strandline", "models"],
    default_args=DEFAULT_ARGS | {"queue": GOVERNANCE},  # of workers that may change the champion
    params={
        "action": action(
            ["promote", "roll back"],
            "Promote a challenger through the gate, or roll back to a former champion in one step.",
        ),
        "version": version("First digits of the challenger, or of the version to go back to (empty: the last)."),
        "expected_champion": Param(
            None,
            type=["null", "string"],
            title="Expected champion",
            description="Do nothing unless this version is champion; empty for whichever is.",
        ),
        "reason": reason("Why to roll back: it stays in the record. Not needed to promote."),
    },
)
def promote_model():
    @task.branch
    def choose(*, params: dict) -> str:
        return "roll_back" if params["action"] == "roll back" else "plan"

    @task
    def plan(*, run_id: str, params: dict, dag_run) -> dict:
        woken, asked_by = dag_run.run_type == "asset_triggered", dag_run.triggering_user_name or "airflow"
        if not (request := tasks.plan(run_id, asked_by, params["version"], params["expected_champion"], woken)):
            raise AirflowSkipException("no trained challenger waits for its gate")
        return request

    @task
    def plan_packing(validated: dict, *, run_id: str) -> list[dict]:
        return tasks.plan_packing(run_id, validated)

    # Mostly nothing has to be packed again, and nothing is asked of a challenger that did not load; these run then, but
    # not if no promotion was asked for.
    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def plan_evaluations(validated: dict, packed: list[dict] | None, *, run_id: str) -> list[dict]:
        return tasks.plan_evaluations(run_id, validated, packed or [])

    @report_task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def evaluate_gate(validated: dict, packed: list[dict] | None, evaluated: list[dict] | None, *, run_id: str) -> dict:
        return tasks.evaluate_gate(run_id, validated, packed or [], evaluated or [])

    @task.short_circuit
    def check_outcome(*, run_id: str) -> bool:
        return tasks.passed(run_id)

    @task.short_circuit
    def check_approval(*, run_id: str) -> bool:
        return promotion.approved(run_id)

    @task
    def promote(*, run_id: str) -> dict:
        return tasks.promote(run_id)

    @task
    def roll_back(*, run_id: str, params: dict, dag_run) -> dict:
        return tasks.roll_back(
            run_id, dag_run.triggering_user_name, params["reason"], params["version"], params["expected_champion"]
        )

    approval = request_approval(
        "request_approval", tasks.gate_approval_request, list(promotion.DECISIONS), promotion.record_approval
    )
    planned = plan()
    choose() >> [planned, roll_back()]
    validated = vision_task("infra_validate", "infra_validate", planned)
    packed = vision_tasks("pack", "pack").expand(request=plan_packing(validated.output))
    requests = plan_evaluations(validated.output, packed.output)
    evaluated = vision_tasks("evaluate", "evaluate").expand(request=requests)
    (
        evaluate_gate(validated.output, packed.output, evaluated.output)
        >> check_outcome()
        >> approval
        >> check_approval()
        >> promote()
    )


promote_model()
