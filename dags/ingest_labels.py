"""
## Every period (hour by default): what files say that images show, and which images people are asked about

| task | does |
|---|---|
| **load** | loads each label file that is new or has changed (CSV, TSV, JSON); bad rows are rejected, one by one |
| **check_files** | says of which files nothing could be used |
| **choose_audit** | of each run of `ingest_images` that closed its books: some images at random, and those that the \
model is least sure of |

Halfway through a period, when the one before is ingested. A row that names an image which is not ingested waits for
it (`STRANDLINE_LABEL_PATIENCE_HOURS`); the other rows of its file count at once. The same file again changes nothing.

### Trigger
*Trigger* loads what lies there now. With `at_once` it does not wait for images that are not ingested: rows of \
such are rejected, those that wait already too.

### Where to look
`reporting.label_files` has each file with its rows counted, `reporting.label_rejections` each rejected row with its \
reason, `reporting.label_waits` each row that waits for its image, `reporting.labelling` how far labelling has come.

### When it is red
| red task | means, and what to do |
|---|---|
| load | no folder for label files, no champion, or the database does not answer: the log's last line says which. \
A file never makes it red, whatever is in it |
| check_files | a file was refused, or not one of its rows counts: the log names the file and why, \
`docs/labels.md` has the codes. All other files are loaded. Correct it and drop it again under its name; cleared \
after that, this is green |
| choose_audit | the database does not answer: clear it |
"""

import datetime

from airflow.sdk import CronTriggerTimetable, Param, dag, task

from strandline.assets import LABELS
from strandline.labels import tasks
from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.timetable import cron


@dag(
    schedule=CronTriggerTimetable(cron(halfway=True), timezone="UTC"),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["strandline"],
    default_args=DEFAULT_ARGS,
    params={
        "at_once": Param(
            False,
            type="boolean",
            title="At once",
            description="Do not wait for images that are not ingested: reject the rows that name them.",
        ),
    },
)
def ingest_labels():
    @task(outlets=[LABELS])
    def load(*, run_id: str, params: dict, outlet_events) -> dict:
        counts = tasks.load(run_id, params["at_once"])
        outlet_events[LABELS].extra = counts
        return counts

    @task
    def check_files(*, run_id: str) -> None:
        tasks.check_files(run_id)

    @task
    def choose_audit() -> dict:
        return tasks.choose_audit()

    load() >> check_files()
    choose_audit()


ingest_labels()
