"""When the shards of a run were packed and classified: every try, on one axis of time."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from strandline.pages.parameters import TextInPath

DAG = "ingest_images"
PHASES = ("pack", "classify")
REPEATED = re.compile(r"~[0-9]+$")  # of the ledger's runs: another one of the same run of Airflow's

Row = Mapping[str, Any]


def tries(run_id: TextInPath, session: SessionDep) -> list[dict[str, Any]]:
    """Each try at packing or classifying a shard of a run of Airflow's: `task`, `shard` (the first digits of its id),
    `number`, `state`, `start`, `end` (None while it goes on) and `host`. None once Airflow has forgotten the run.
    """
    found = []
    for columns in (TaskInstanceHistory.__table__.c, TaskInstance.__table__.c):  # earlier tries, and the last one
        query = select(
            columns.task_id.label("task"),
            columns.rendered_map_index.label("shard"),
            columns.try_number.label("number"),
            columns.state,
            columns.start_date.label("start"),
            columns.end_date.label("end"),
            columns.hostname.label("host"),
        ).where(
            columns.dag_id == DAG,
            columns.run_id.in_({run_id, REPEATED.sub("", run_id)}),
            columns.task_id.in_(PHASES),
            columns.start_date.is_not(None),
            columns.rendered_map_index.is_not(None),
        )
        found += [dict(row) for row in session.execute(query).mappings()]
    return found


def over_time(run: Row, batches: Sequence[Row], tries: Sequence[Row], most: int) -> dict[str, Any] | None:
    """The tries of a run by shard, in the order in which these began: of the `most` shards that took longest. None if
    nothing is known of any.

    Args:
        batches: all shards that are loaded, with `shard_id`, `entries` and `images`.
    """
    now = datetime.datetime.now(datetime.UTC)
    until = run["closed_at"] or now  # a run that was repeated has the tries of both in Airflow
    own = [
        {**one, "end": one["end"] or now, "goes_on": one["end"] is None}
        for one in tries
        if run["started_at"] <= one["start"] <= until
    ]
    lanes: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(own, key=lambda one: one["start"]):
        lanes.setdefault(one["shard"], []).append(_described(one, batches))
    slowest = sorted(lanes, key=lambda shard: -sum(one["seconds"] for one in lanes[shard]))[:most]
    shown = [lanes[shard] for shard in lanes if shard in slowest]
    if not shown:
        return None
    return {
        "lanes": shown,
        "begin": min(one["start"] for lane in shown for one in lane),
        "end": max(one["end"] for lane in shown for one in lane),
        "shards": len(lanes),
    }


def _described(one: Row, batches: Sequence[Row]) -> dict[str, Any]:
    """With its seconds, and the rows that it had: entries to pack, images to classify. And all of it in a sentence."""
    batch = next((row for row in batches if row["shard_id"].startswith(one["shard"])), None)
    rows = batch and batch["entries" if one["task"] == "pack" else "images"]
    seconds = max((one["end"] - one["start"]).total_seconds(), 1e-3)
    failed = one["state"] not in (None, TaskInstanceState.RUNNING, TaskInstanceState.SUCCESS)
    speed = rows / seconds if rows and not failed and not one["goes_on"] else None
    parts = [
        f"{one['task']} {one['shard']}",
        f"{one['state']} in try {one['number']}" if failed or one["number"] > 1 else "",
        f"{seconds:,.1f} s so far" if one["goes_on"] else f"{seconds:,.1f} s",
        f"{rows:,} rows" if rows else "",
        f"{speed:,.0f} images/s" if speed else "",
        one["host"] and f"on {one['host']}",
        f"from {one['start'].astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
    ]
    kind = f"{one['task']}{' bad' if failed else ''}"
    return {
        **one,
        "seconds": seconds,
        "rows": rows,
        "images_per_second": speed,
        "kind": kind,
        "says": ", ".join(filter(None, parts)),
    }
