"""
## Every period (hour by default): a drop of images in, one accounted row for every file out

`list -> pack -> validate -> classify -> load -> close_books -> alert`

| task | does |
|---|---|
| **list** | lists the period's files (a scheduled run: late ones too), pins the champion, freezes the shards |
| **pack** | one task a shard: decodes every file under limits; broken files get a reason |
| **validate** | Great Expectations on all entries: quarantines rows, sets bad folders aside, or warns |
| **classify** | one task a shard: the pinned model's label and probabilities for every image |
| **load** | one transaction: outcomes, images, predictions |
| **close_books** | proves that every entry has one end and every image one outcome; else red |
| **alert** | red if a person has to look: folders were set aside, or many files vanished |

### Trigger and backfill
*Trigger* takes a period (`period`, or that of the logical date), else the last complete one. *Backfill* takes each one
of a range; *All runs* repeats those that have one. Known files stay as they are, what is missing is added. To score
history with another model, backfill with `model_version`; to list refused files again, give `release`,
and perhaps other limits.

### When it is red
| red task | means, and what to do |
|---|---|
| list | no champion, no such period, a ledger of another STRANDLINE_PERIOD, or a model that was not proved in \
STRANDLINE_PRECISION: the log's last line says what to do |
| pack, classify | a vision process failed three times: fix what its log names, clear it; other shards are kept |
| classify, at once | a shard rotted on the disk: clear `pack` of that shard with all after it, to pack it again |
| validate | a shard disagrees with its listing: clear `pack`, and report it if that does not help |
| load | results disagree with the ledger: the log names the image; do not clear, report it |
| close_books | an invariant has rows: the log names it and them; nothing was lost, nothing was closed |
| alert | too many broken files: their folders were set aside, all others are classified; or many files vanished. \
The log names them and the page. Fix the source; trigger the period with `release` |

Clearing any task is safe: the listing of a run is frozen, and loading twice changes nothing.
"""

import datetime

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from strandline import ledger
from strandline.assets import PREDICTIONS
from strandline.ingest import tasks
from strandline.operators.defaults import DEFAULT_ARGS
from strandline.operators.params import model_version, period
from strandline.operators.report import report_task
from strandline.operators.timetable import PeriodTimetable, cron
from strandline.operators.vision import vision_tasks


def _limit(title: str, setting: str, most: int) -> Param:
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=most,
        title=title,
        description=f"Instead of {setting}, for this run; empty for the setting.",
    )


@dag(
    schedule=PeriodTimetable(cron(), timezone="UTC"),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=4,
    doc_md=__doc__,
    tags=["strandline"],
    default_args=DEFAULT_ARGS,
    params={
        "period": period(),
        "model_version": model_version(
            "Classify with this registered version instead of the champion, by the first digits of its id."
        ),
        "shard_size": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=100_000,
            title="Shard size",
            description="Entries a shard, at the most; empty for the setting. Never more than 200 shards.",
        ),
        "quarantine_limit": Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=1,
            title="Quarantine limit",
            description="Share of quarantined files (0 to 1) above which a folder is set aside; empty for the setting.",
        ),
        "release": Param(
            None,
            type=["null", "string", "array"],
            items={"type": "string"},
            title="Release",
            description="List refused files again: a reason such as SET_ASIDE, a file or folder as it landed, or all."
            " A program may give a list.",
        ),
        "max_pixels": _limit("Most pixels", "STRANDLINE_MAX_PIXELS", 1_000_000_000),
        "max_side": _limit("Longest side", "STRANDLINE_MAX_SIDE", 100_000),
        "max_file_bytes": _limit("Most bytes of a file", "STRANDLINE_MAX_FILE_BYTES", 2**30),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="List and validate only: no row is written."
        ),
    },
)
def ingest_images():
    @task(task_id="list")
    def list_entries(*, ti) -> list[dict]:
        listing = tasks.list_entries(get_current_context())
        ti.xcom_push("run", listing["run"])  # its id is the ledger's: Airflow's, numbered if a backfill repeats it
        return listing["pack"]

    @report_task(trigger_rule=TriggerRule.NONE_FAILED)
    def validate(run: dict, packed: list[dict]) -> list[dict]:
        return tasks.validate(run, packed)

    # A dict alone would be stored a second time, each of its numbers by a request of its own.
    @task(trigger_rule=TriggerRule.NONE_FAILED, multiple_outputs=False)
    def load(run: dict, classified: list[dict], *, params: dict) -> dict:
        if params["dry_run"]:
            raise AirflowSkipException("a dry run ends with the validation")
        return tasks.load(run["run_id"], classified)

    @task(outlets=[PREDICTIONS], multiple_outputs=False)
    def close_books(run: dict, *, outlet_events) -> dict:
        counts = ledger.close_run(run["run_id"])
        outlet_events[PREDICTIONS].extra = counts
        return counts

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def alert(run: dict) -> None:
        tasks.alert(run["run_id"])

    listed = list_entries()
    run = listed["run"]
    packed = vision_tasks("pack", "pack").expand(request=listed)
    classified = vision_tasks("classify", "classify").expand(request=validate(run, packed.output))
    load(run, classified.output) >> close_books(run) >> alert(run)


ingest_images()
