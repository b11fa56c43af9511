"""
## By hand: can a host of the kind that classifies do so, and how fast?

`plan -> check -> report`

The kind is that of the setting `STRANDLINE_DEVICE`: with `gpu`, the check goes to queue `gpu`, as classification does,
and one of its workers takes it; the details of **check** name which. Trigger it after a host was added, or its driver
changed.

| task | does |
|---|---|
| **plan** | pins the champion |
| **check** | on the host, in the real runner: `nvidia-smi` (GPU), the model bundle's hashes, made images \
classified on the device in the largest batches that fit into its memory, the golden images' probabilities against \
those in the bundle, then the speed |
| **report** | logs hardware, images/s, the size of batches and the largest difference, and returns the report |

### When it is red
| red task | means, and what to do |
|---|---|
| plan | no champion is installed: `make up`. Or it was not proved in STRANDLINE_PRECISION: `check_parity` |
| check | the host cannot classify, or classifies wrongly: the log's last line names the driver, the container \
toolkit or the bundle. Stop the worker of that host until it is fixed; nothing falls back to the CPU |
| report | the host's files are not in the store that the other hosts see: look at the store's mount on both |
"""

import datetime

from airflow.sdk import dag, task

from strandline.models import tasks
from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.vision import vision_task


@dag(
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=4,
    doc_md=__doc__,
    tags=["strandline", "manual"],
    default_args=DEFAULT_ARGS,
)
def check_host():
    @task
    def plan() -> dict:
        return tasks.plan_preflight()

    @task
    def report(checked: dict) -> dict:
        return tasks.report_preflight(checked)

    report(vision_task("check", "preflight", plan()).output)


check_host()
