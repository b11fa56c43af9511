"""
## By hand: a version answers over HTTP beside the champion, for ever more callers

`choose -> plan -> shadow -> canary_1 -> canary_2 -> canary_3 -> canary_4 -> request_approval`, with `keep_watching`
beside the last one, and `step_back` if one of these fails; or `choose -> end`

| task | does |
|---|---|
| **choose** | whether to start, or to end the rollout that is on |
| **plan** | begins with the version as a shadow: it computes half of what the champion is asked, and nobody is told \
what it says. One rollout at a time |
| **shadow** | waits until there are enough pictures, and the version is shown to be as good: on those with a label, \
in pairs |
| **canary_1** to **canary_4** | gives the version the next share of the callers, and waits in the same way: failures \
and latency have to be as good, and accuracy must not be shown to be worse. A step that was not asked for passes |
| **request_approval** | waits for one of the approvers: *Approve* gives the version all callers, *Step back* none |
| **keep_watching** | looks on while an approver is asked, and after the last step, until the rollout is over: the run \
lasts as long, 90 days at the most |
| **step_back** | if a task failed: all callers go back to the champion, unless they have already, and the run is red |
| **end** | ends the rollout that is on, with a reason |

A version that is worse beyond chance loses all callers at once. It looks every minute, and no task waits in a worker.
Making it champion stays with `promote_model`: its gate, and its approval. Until then the last step lasts, and this run
with it; with another champion, or with *end*, it ends.

### Trigger
To start, give the version, and perhaps other shares, pictures and hours. To end, choose that action and give a reason.

### When it is red
| red task | means, and what to do |
|---|---|
| plan | another rollout is on, no such version, its bundle is gone or altered, it has other classes or \
wants other pixels, or the shares do not grow: the log's last line says which |
| shadow, canary | the version is worse beyond chance, or was not shown to be as good in time, as the log's last line \
says: nothing has to be done, the champion answers everybody. Or the rollout was ended, by whom stands there. It does \
not go on if cleared: trigger a new run, for more labels with more hours |
| request_approval | nobody answered in time, or somebody who may not, or without a reason: the version has stepped \
back. Trigger a new run. Or the rollout was over before the answer came: nothing came of that |
| keep_watching | the version became worse beyond chance, as the log's last line says, and has stepped back: nothing \
has to be done. If a question is open still, an answer changes nothing, and ends the run |
| step_back | always, if it runs: its last line says by whom and why the rollout is over. If it says that the ledger \
does not answer, end the rollout with *end* as soon as it does |
| end | no rollout is on, or no reason was given |
"""

import datetime
import functools
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param, TriggerRule, chain, dag, task

from strandline.operators.approval import request_approval
from strandline.operators.defaults import DEFAULT_ARGS, GOVERNANCE
from strandline.operators.params import action, reason, version
from strandline.operators.watch import watch
from strandline.promotion import promotion
from strandline.serving import tasks

STEPS = ("shadow", "canary_1", "canary_2", "canary_3", "canary_4")
MOST_HOURS, MOST_DAYS = 7 * 24, 90  # of a step; of a rollout, from its approval on


def take_answer(run_id: str, answer: Mapping[str, Any]) -> None:
    said = promotion.read_answer(answer, (tasks.APPROVE, tasks.STEP_BACK))
    tasks.take_answer(run_id, said.option, said.person, said.reason)


@dag(
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=4,  # one that ends another, beside it
    doc_md=__doc__,
    tags=["strandline", "models", "manual"],
    default_args=DEFAULT_ARGS | {"queue": GOVERNANCE},  # of workers that may change who answers
    params={
        "action": action(["start", "end"], "Start a rollout, or end the one that is on."),
        "version": version("First digits of the version that shall answer. Not needed to end."),
        "steps": Param(
            [0.05, 0.25, 0.5],
            type="array",
            items={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            minItems=1,
            maxItems=len(STEPS) - 1,
            title="Steps",
            description="Shares of the callers, each larger than the one before; all of them come by approval alone.",
        ),
        "pictures": Param(
            1_000,
            type="integer",
            minimum=1,
            maximum=10_000,
            title="Pictures a step",
            description="That the version answers at each step, at the least.",
        ),
        "wait_hours": Param(
            24,
            type="number",
            exclusiveMinimum=0,
            maximum=MOST_HOURS,
            title="Hours a step",
            description="To wait at the most, until it is shown to be as good; then it steps back.",
        ),
        "reason": reason("Why to end: it stays in the record. Not needed to start."),
    },
)
def serve_canary():
    @task.branch
    def choose(*, params: dict) -> str:
        return "end" if params["action"] == "end" else "plan"

    @task
    def plan(*, run_id: str, params: dict, dag_run) -> str:
        return tasks.start(run_id, dag_run.triggering_user_name or "airflow", params)

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def step_back(*, run_id: str) -> None:
        tasks.step_back(run_id)

    @task
    def end(*, params: dict, dag_run) -> str:
        return tasks.end(dag_run.triggering_user_name, params["reason"])

    approval = request_approval("request_approval", tasks.ask, [tasks.APPROVE, tasks.STEP_BACK], take_answer)
    planned = plan()
    watched = [
        watch(name, functools.partial(tasks.watch, number=number), MOST_HOURS + 1)
        for number, name in enumerate(STEPS, start=1)
    ]
    kept = watch("keep_watching", tasks.keep_watching, MOST_DAYS * 24)
    choose() >> [planned, end()]
    chain(planned, *watched, [approval, kept])
    [planned, *watched, approval, kept] >> step_back()


serve_canary()
