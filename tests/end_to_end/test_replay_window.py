"""An hour is classified again by a real Airflow and a real network: bit for bit, or red."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

DAG = "replay_window"


def test_an_hour_is_replayed_bit_for_bit_and_a_changed_record_is_found(strandline, hour):
    strandline.drop(hour, 90)
    run_id = strandline.ingest(hour, shard_size=40)
    images = len(strandline.facts(hour)["predictions"])
    before = strandline.facts(hour)

    row = replay(strandline, hour)
    assert (row["status"], row["images"], row["equal"]) == ("equal", images, images), row["sentence"]
    page = strandline.stack.settings.store / row["folder"] / "index.html"
    assert f"All {images} predictions came out as they are recorded, bit for bit." in page.read_text()
    said = json.loads(page.with_name("replay.json").read_text())
    # One after another where a test before this one promoted a version and rolled it back.
    (champion,) = strandline.rows("SELECT version FROM champions WHERE period @> now()")
    assert {period["version"] for period in said["champions"]} == {champion["version"]}
    assert said["champions"][-1]["until"] is None
    assert [runtime["must_be_equal"] for runtime in said["runtimes"]] == [True]
    assert "processor" in said["runtimes"][0]["recorded"]
    # Photographs that another test's hour had before have been predicted there.
    assert run_id in {run["run_id"] for run in said["runs"]}

    with another_probability(strandline, hour) as image:
        row = replay(strandline, hour, expect="failed", red="prove")
        assert (row["status"], row["equal"], row["unequal"]) == ("unequal", images - 1, 1)
        table = pq.read_table(strandline.stack.settings.store / row["folder"] / "rows.parquet").to_pylist()
        assert [one["image_id"] for one in table if one["status"] != "equal"] == [image]

    with a_shard_gone(strandline, run_id) as expected:
        row = replay(strandline, hour)
        assert (row["status"], row["missing"], row["equal"]) == ("equal", expected, images - expected)
    assert strandline.facts(hour) == before


def replay(strandline, hour, expect: str = "success", red: str | None = None) -> dict:
    """The row of a new replay of an hour, which ends as expected."""
    api = strandline.api
    run_id = api.trigger(DAG, conf={"start": f"{hour:%Y-%m-%dT%H}"})
    state = api.wait(DAG, run_id, timeout=300)
    instances = api.task_instances(DAG, run_id)
    logs = {row["task_id"]: "\n".join(api.log(DAG, run_id, row)[-25:]) for row in instances}
    assert state == expect, logs
    assert [row["task_id"] for row in instances if row["state"] == "failed"] == ([red] if red else [])
    (row,) = strandline.rows("SELECT * FROM replays WHERE run_id = %(run_id)s", run_id=run_id)
    assert row["sentence"] in logs["compare"]
    return row


@contextmanager
def another_probability(strandline, hour) -> Iterator[str]:
    """An image of the hour whose record somebody changes by the smallest step, behind the ledger's back."""
    image, *_ = strandline.facts(hour)["predictions"]
    change = "UPDATE predictions SET probabilities = %(values)s WHERE image_id = %(image)s RETURNING image_id"
    values = image["probabilities"]
    altered = [values[0] + 1e-7, *values[1:]]
    assert len(strandline.rows(change, image=image["image_id"], values=altered)) == 1
    yield image["image_id"]
    strandline.rows(change, image=image["image_id"], values=values)


@contextmanager
def a_shard_gone(strandline, run_id) -> Iterator[int]:
    """One of the run's shards is away; how many images it alone has a prediction of."""
    counted = "SELECT shard_id, count(*) AS images FROM predictions WHERE run_id = %(run_id)s GROUP BY 1 ORDER BY 2"
    shard = strandline.rows(counted, run_id=run_id)[-1]
    packed = strandline.stack.settings.run_folder(run_id) / "pack" / shard["shard_id"]
    packed.rename(packed.with_name("away"))
    yield shard["images"]
    packed.with_name("away").rename(packed)
