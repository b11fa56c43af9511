"""
## On a drift verdict, or by hand: a challenger, trained from the champion's weights

`plan -> train -> evaluate -> package -> parity -> register`

| task | does |
|---|---|
| **plan** | finds the drift report that asks, unless a person does, or is skipped; keeps the newest labelled drops \
apart for the gate; freezes the training set: the labelled images before them, balanced, and a part of what the \
champion first learnt from |
| **train** | from the champion's weights, within its time; a try that was stopped goes on from its last epoch |
| **evaluate** | measures the challenger on the holdout |
| **package** | seals weights, metrics, learning curves and lineage into a bundle |
| **parity** | unless STRANDLINE_PRECISION is f32, compares the bundle in it with the reference, on the holdout; in \
f32 it is skipped |
| **register** | proves that the bundle is what was planned, puts it into the store and the ledger, with what came of \
the comparison, and updates the asset `challengers` |

Nothing changes which model is in use: that takes `promote_model`, and a person.

### Trigger
Give a `reason`: it stays in the model's lineage, beside your name. `epochs` and `minutes` are the settings' if \
they are empty. Two runs never train at once: the second one waits.

### When it is red
| red task | means, and what to do |
|---|---|
| plan | too few labels, or no holdout: the log's last line says how many are missing, and of which drops. A champion \
that was imported cannot be trained on: train its successor where it was made, and import that |
| train | three tries failed: fix what the log names and clear it, it goes on from the last epoch. A loss that is not \
finite asks for a lower STRANDLINE_RETRAIN_PEAK_LR |
| evaluate, package, parity | files of the store are gone or altered: the log names them |
| register | the bundle is of another plan, as the log says, or cannot be copied into the store, or the database does \
not answer: clear it |

Clearing any task but `plan` is safe at any time; a cleared `plan` freezes its sets again, with the labels of now.
"""

import datetime

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from strandline.assets import CHALLENGERS, RETRAINING
from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.params import reason
from strandline.operators.vision import vision_task
from strandline.parity import tasks as parity_tasks
from strandline.training import tasks


@dag(
    schedule=[RETRAINING],
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["strandline", "models"],
    default_args=DEFAULT_ARGS,
    params={
        "reason": reason(
            "Why there should be another model; needed if a person asks. It stays in the lineage.", most=500
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            title="Epochs",
            description="Passes over the training set, at the most; empty for the setting.",
        ),
        "minutes": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            title="Minutes",
            description="Time for training: no epoch begins that would probably end later; empty for the setting.",
        ),
        "seed": Param(
            0,
            type="integer",
            minimum=0,
            title="Seed",
            description="Decides the order of images and which are rehearsed: another seed, another challenger.",
        ),
    },
)
def retrain_model():
    @task(multiple_outputs=True)
    def plan() -> dict:
        if not (planned := tasks.plan(get_current_context())):
            raise AirflowSkipException("no drift report asks for a retraining")
        return planned

    @task(outlets=[CHALLENGERS], trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def register(
        trained: dict, evaluated: dict, packaged: dict, measured: dict | None, *, run_id: str, outlet_events
    ) -> dict:
        version = tasks.register(run_id, trained, evaluated, packaged)
        if measured:
            parity_tasks.record(run_id, measured)
        outlet_events[CHALLENGERS].extra = {"version": version}  # for people: what it says, nobody acts on
        return {"version": version}

    planned = plan()
    trained = vision_task("train", "train", planned["train"]).output
    evaluated = vision_task(
        "evaluate", "evaluate", tasks.evaluation, planned["plan"], planned["holdout"], trained
    ).output
    packaged = vision_task("package", "package", tasks.packaging, planned["plan"], trained, evaluated).output
    measured = vision_task("parity", "parity", tasks.parity, planned["holdout"], packaged).output
    register(trained, evaluated, packaged, measured)


retrain_model()
