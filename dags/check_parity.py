"""
## By hand: does a model version answer the same, or as well, whatever computes it?

`plan -> measure -> record`

Every backend, in each precision that it has, is compared with the reference (MXNet in f32; of an imported model, ONNX
Runtime) on the version's golden images and on the labelled images of the holdout. Trigger it before
STRANDLINE_PRECISION is set to bf16, for the champion and for each challenger that was not trained here since; and
again after an update of what computes.

| task | does |
|---|---|
| **plan** | pins the version and the newest holdout |
| **measure** | in the real runner, one backend after the other: answers to every image, and images/s |
| **record** | decides, logs a table, and inserts a row for each into `model_parity`: from now on a run in what did \
not pass is refused, before it touches an image |

f32 passes if 99.99 % of the labels are the reference's and no probability is more than 0.0001 off; bf16, if 99.5 % are,
and accuracy is shown to be at most 0.2 points lower, by the gate's test of pairs. With too few images the outcome is
*not enough evidence*: the sentence says how many it takes.

### When it is red
A backend that is not there, or does not pass, is an answer, and no failure.

| red task | means, and what to do |
|---|---|
| plan | no such version, or no holdout is frozen: docs/retraining.md says how |
| measure | the reference does not compute the version on this host, or files of the store are gone or altered: the \
log's last line says which |
| record | the files of **measure** are not in the store that the other hosts see, or were altered: clear **measure** |
"""

import datetime

from airflow.sdk import dag, task

from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.params import model_version
from strandline.operators.vision import vision_task
from strandline.parity import tasks


@dag(
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=4,
    doc_md=__doc__,
    tags=["strandline", "models", "manual"],
    default_args=DEFAULT_ARGS,
    params={"model_version": model_version("First digits of the version to compare; empty for the champion.")},
)
def check_parity():
    @task
    def plan(*, params: dict) -> dict:
        return tasks.plan(params["model_version"])

    @task
    def record(measured: dict, *, run_id: str) -> dict:
        return tasks.record(run_id, measured)

    record(vision_task("measure", "parity", plan()).output)


check_parity()
