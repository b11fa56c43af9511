"""Planning and freezing: what a run takes up of the landing zone, and the shards that it is cut into."""

import concurrent.futures
import datetime
import enum
import hashlib
import json
import os
import shutil
import time
import types
from pathlib import Path
from typing import Any

import hypothesis
import parities
import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from psycopg.rows import namedtuple_row

import strandline_contract as contract
from strandline import ledger, periods, settings
from strandline.ingest import listing, load
from strandline.ingest.taken import Taken
from strandline.models import registry, runtimes, versions
from strandline.scan import Entry

UTC = datetime.UTC
HOUR = datetime.datetime(2026, 11, 21, 8, tzinfo=UTC)
AN_HOUR = datetime.timedelta(hours=1)


def entry(name: bytes, version: str = "1-1") -> Entry:
    return Entry(HOUR, name, version, 1, 1)


def plan(entries: list[Entry], *sizes: int) -> list[list[Entry]]:
    """The shards of entries that are found a few at a time, the last ones twice."""
    with Taken() as taken:
        for first in range(0, len(entries), 700):
            taken.add(entries[first : first + 700])
        taken.add(entries[-3:])
        taken.sort()
        assert len(taken) == len(entries)
        return list(listing.plan(taken, *sizes))


LISTS = st.lists(st.builds(entry, st.binary(min_size=1, max_size=8), st.from_regex(r"\A\d-\d\Z")), unique=True)


@hypothesis.settings(deadline=None)
@hypothesis.given(LISTS, st.integers(1, 20), st.integers(1, 20), st.integers(1, 8), st.randoms())
def test_shards_partition_the_list_whatever_its_order(entries, size, max_shards, cores, random):
    shards = plan(entries, size, max_shards, cores)
    assert sorted(e for shard in shards for e in shard) == sorted(entries)
    sizes = [len(shard) for shard in shards]
    assert len(sizes) <= max_shards
    assert not sizes or (min(sizes) > 0 and max(sizes) - min(sizes) <= 1)
    assert max(sizes, default=0) <= size or len(sizes) == max_shards
    assert plan(random.sample(entries, len(entries)), size, max_shards, cores) == shards


@pytest.mark.parametrize(
    ("entries", "size", "max_shards", "cores", "sizes"),
    [
        (0, 100, 9, 2, []),
        (1, 100, 9, 8, [1]),
        (3_999, 16_384, 200, 8, [3_999]),
        (4_000, 16_384, 200, 8, [2_000] * 2),
        (16_000, 16_384, 200, 4, [4_000] * 4),
        (60_000, 16_384, 200, 2, [15_000] * 4),
        (60_001, 20_000, 200, 2, [15_000] * 3 + [15_001]),
        (60_000, 29_000, 200, 2, [15_000] * 4),
        (25, 10, 200, 2, [8, 8, 9]),
        (1_000, 1, 200, 2, [5] * 200),
        (16_000, 16_384, 3, 8, [5_333, 5_333, 5_334]),
    ],
)
def test_small_drops_have_one_shard_and_large_ones_use_all_cores(entries, size, max_shards, cores, sizes):
    shards = plan([entry(b"%d" % i) for i in range(entries)], size, max_shards, cores)
    assert [len(shard) for shard in shards] == sizes


@pytest.mark.parametrize(
    ("vision", "entries", "shards"),
    [
        ({"cores": 8}, 10_000, 1),  # one host
        ({"cores": 8}, 16_385, 8),
        ({"cores": 8, "slots": 16}, 10_000, 16),  # two of them
        ({"cores": 8, "device": "gpu"}, 10_000, 8),
    ],
)
def test_one_shard_is_enough_for_a_host_that_is_alone(vision, entries, shards):
    assert listing.parallel(entries, 16_384, settings.Vision(**vision)) == shards


PARAMETERS = {"height": 32, "width": 32, "limits": contract.Limits().to_dict()}


def test_a_shard_id_is_a_hash_of_what_is_listed_and_how_it_is_packed():
    shard = [entry(b"a", "1-1"), entry(b"b", "1-1")]
    others = [
        listing.shard_id(shard[::-1], PARAMETERS),
        listing.shard_id(shard[:1], PARAMETERS),
        listing.shard_id([entry(b"a", "1-1b"), entry(b"", "1-1")], PARAMETERS),
        listing.shard_id([entry(b"a", "1-2"), entry(b"b", "1-1")], PARAMETERS),
        listing.shard_id(shard, PARAMETERS | {"height": 33}),
        listing.shard_id(shard, PARAMETERS | {"limits": contract.Limits(min_side=5).to_dict()}),
    ]
    found = listing.shard_id(list(shard), dict(reversed(PARAMETERS.items())))
    assert found == listing.shard_id(shard, PARAMETERS)
    assert len({found, *others}) == 1 + len(others)


def test_shard_ids_stay_the_same_in_later_versions():
    found = listing.shard_id([entry(b"a\xff\n", "1-1"), entry(b"b", "2-2-unreadable")], {"width": 32, "height": 32})
    assert found == "46c99d13e49793a0259b1bc6921d7520027d87b3dad81eef6d5fe18e88cded71"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (HOUR, HOUR),
        (HOUR, HOUR - AN_HOUR),
        (HOUR, HOUR + datetime.timedelta(minutes=30)),
        (HOUR - datetime.timedelta(minutes=30), HOUR),
        (HOUR.replace(tzinfo=None), HOUR.replace(tzinfo=None) + AN_HOUR),
    ],
    ids=["empty", "backwards", "half an hour", "half past", "no time zone"],
)
def test_intervals_are_full_hours(start, end):
    with pytest.raises(listing.ListingError, match="full hours"):
        listing.Run("r", "manual", start, end)


@pytest.mark.parametrize(
    ("kind", "taken"), [("scheduled", [True, True, True, False]), ("backfill", [False, True, True, False])]
)
def test_only_scheduled_runs_look_at_older_drops(kind, taken):
    run = listing.Run("r", kind, HOUR, HOUR + 2 * AN_HOUR)
    assert [run.takes(HOUR + i * AN_HOUR) for i in (-1, 0, 1, 2)] == taken


class RunType(enum.StrEnum):
    """As Airflow's DagRunType."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKFILL_JOB = "backfill"
    ASSET_TRIGGERED = "asset_triggered"


NOW = datetime.datetime(2026, 11, 21, 10, 7, 33, 5, tzinfo=UTC)
LAST = (HOUR + AN_HOUR, HOUR + 2 * AN_HOUR)  # the last complete hour
NAMED = datetime.datetime(2026, 11, 19, 6, tzinfo=UTC)


def context(run_type: str = "MANUAL", **changes) -> dict:
    """Of a task in Airflow; the run may begin at NOW."""
    after = {"dag_run": types.SimpleNamespace(run_type=RunType[run_type], run_after=NOW)}
    interval = changes.pop("interval", (None, None))
    ends = {"data_interval_start": interval[0], "data_interval_end": interval[1]}
    return {"run_id": "manual__1", "params": {}} | after | ends | changes


@pytest.mark.parametrize(
    ("period", "logical_date", "interval", "start"),
    [
        ("2026-01-02T03", None, (None, None), datetime.datetime(2026, 1, 2, 3, tzinfo=UTC)),
        ("2026-01-02T03", NOW, LAST, datetime.datetime(2026, 1, 2, 3, tzinfo=UTC)),
        (None, NOW, (NAMED, NAMED + AN_HOUR), NAMED),
        (None, NAMED, (NAMED, NAMED + AN_HOUR), NAMED),
        (None, NAMED, LAST, NAMED),
        (None, NAMED + AN_HOUR / 2, LAST, NAMED),
        (None, NOW, LAST, LAST[0]),
        (None, None, (None, None), LAST[0]),
    ],
    ids=[
        *("parameter", "parameter in Airflow's form", "data interval", "logical date"),
        *("logical date of the command line", "within the hour", "Airflow's form", "nothing"),
    ],
)
def test_the_hour_that_a_person_names_is_the_hour_that_is_taken(period, logical_date, interval, start):
    given = {"period": period, "shard_size": 9, "dry_run": True}
    found = listing.Run.from_context(context(logical_date=logical_date, interval=interval, params=given))
    assert found == listing.Run("manual__1", "manual", start, start + AN_HOUR, shard_size=9, dry_run=True)


def test_a_backfill_that_repeats_a_run_of_the_command_line_takes_the_hour_of_its_range():
    """Airflow keeps the interval, which was the last complete hour when the command line wrote it."""
    found = listing.Run.from_context(context("BACKFILL_JOB", logical_date=NAMED, interval=LAST))
    assert (found.start, found.end) == (NAMED, NAMED + AN_HOUR)


@pytest.mark.parametrize("run_type", ["SCHEDULED", "BACKFILL_JOB"])
def test_scheduled_and_backfilled_runs_take_their_interval(run_type):
    assert listing.Run.from_context(context(run_type, logical_date=LAST[0], interval=LAST)).start == LAST[0]


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-31T08", "2026-11-21T24", "2026-11-21T08\n", "٢٠٢٦-11-21T08", "2026-11-21 08", "2026-11-21"),
        *("20261121T08", "2026-11-21T08:00", " 2026-11-21T08", "last"),
    ],
)
def test_what_is_no_hour_is_refused_in_one_sentence(text):
    with pytest.raises(periods.PeriodError, match="is no hour: write one as 2026-11-21T08"):
        listing.Run.from_context(context(params={"period": text}))


@pytest.mark.parametrize(
    ("run_type", "period", "logical_date", "says"),
    [
        ("BACKFILL_JOB", "2026-11-19T06", NAMED, "a backfill takes each hour of its range"),
        (
            "MANUAL",
            "2026-11-19T03",
            NAMED,
            "names the hour 2026-11-19T06 and the parameter Period another, 2026-11-19T03",
        ),
        ("MANUAL", "2096-11-19T06", NOW, r"2096-11-19T06 \(UTC\) has not begun"),
        ("MANUAL", None, NAMED.replace(year=2096), r"2096-11-19T06 \(UTC\) has not begun"),
    ],
    ids=["backfill", "two hours", "to come", "logical date to come"],
)
def test_an_hour_that_cannot_be_meant_is_refused(run_type, period, logical_date, says):
    start = periods.get().floor(logical_date)
    with pytest.raises(listing.ListingError, match=says):
        listing.Run.from_context(
            context(run_type, logical_date=logical_date, interval=(start, start + AN_HOUR), params={"period": period})
        )


@pytest.mark.parametrize(
    ("run_type", "kind"), [("SCHEDULED", "scheduled"), ("BACKFILL_JOB", "backfill"), ("ASSET_TRIGGERED", "manual")]
)
def test_kinds_of_runs_are_those_of_airflow(run_type, kind):
    assert listing.Run.from_context(context(run_type)).kind == kind


@pytest.fixture
def zone(database, tmp_path, monkeypatch):
    """An empty landing zone, a fresh ledger, no champion."""
    zone = tmp_path / "landing"
    zone.mkdir()
    monkeypatch.setenv("STRANDLINE_LANDING", str(zone))
    monkeypatch.setenv("STRANDLINE_CORES", "4")
    monkeypatch.setenv("STRANDLINE_STABLE_SECONDS", "3600")
    settings.get.cache_clear()
    return zone


@pytest.fixture
def champion(zone, tmp_path):
    version = register(tmp_path, "first")
    registry.install_first(version, "tester")
    return version


def register(folder: Path, name: str, preprocessing: str = '{"height": 32, "width": 48}') -> str:
    bundle = folder / f"bundle {name}"
    bundle.mkdir()
    (bundle / contract.CLASSES_FILE).write_text('["cat", "dog"]')
    (bundle / contract.PREPROCESSING_FILE).write_text(preprocessing)
    files = {path.name: {"sha256": contract.sha256_file(path)} for path in bundle.iterdir()}
    contract.write_json(
        bundle / contract.BUNDLE_MANIFEST, {"name": name, "network": "cifar_resnet20_v1", "files": files}
    )
    return registry.register(bundle, "tester")


def land(zone: Path, *names: bytes, content: bytes = b"x", at: float = 1.5e9) -> None:
    for name in names:
        path = zone / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (0, at))


def tag(zone: Path, name: bytes) -> str:
    return contract.version_tag((zone / os.fsdecode(name)).stat(), ("ctime", "inode"))


def list_hour(run_id: str, kind: str = "manual", release: str | None = None, **parameters) -> listing.Listed:
    parameters["release"] = (release,) if release else ()
    return listing.list_entries(listing.Run(run_id, kind, HOUR, HOUR + AN_HOUR, **parameters))


def rows(database, query: str, *values) -> list:
    with psycopg.connect(database.owner, row_factory=namedtuple_row) as connection:
        return connection.execute(query, values).fetchall()


def listed(database, run_id: str) -> dict[bytes, tuple]:
    """State and reason of each entry of a run."""
    found = rows(
        database,
        """SELECT name, state, reason FROM run_entries JOIN entries USING (entry_id) LEFT JOIN outcomes USING (entry_id)
           WHERE run_entries.run_id = %s""",
        run_id,
    )
    return {row.name: (row.state, row.reason) for row in found}


def run_row(database, run_id: str) -> tuple:
    return rows(database, "SELECT files_seen, known, deferred, listed FROM runs WHERE run_id = %s", run_id)[0]


def manifest(request: contract.PackRequest) -> list[tuple]:
    """What a pack task reads, its request and its hash checked as it would."""
    parsed = contract.parse_request("pack", json.loads(json.dumps(request.to_dict())))
    path = contract.verified(settings.get().store, parsed.manifest)
    assert path == settings.get().store / parsed.manifest.path
    assert [(field.name, str(field.type)) for field in pq.read_schema(path)] == list(contract.MANIFEST_COLUMNS)
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def settle(database, run_id: str, ingested: dict[bytes, bytes], ended: dict[bytes, str] | None = None) -> None:
    """End entries of a run as a load does: by the content of those ingested, by the state of others."""
    with psycopg.connect(database.owner, row_factory=namedtuple_row) as connection:
        query = "SELECT * FROM run_entries JOIN entries USING (entry_id) JOIN runs USING (run_id) WHERE run_id = %s"
        found: list[Any] = connection.execute(query, [run_id]).fetchall()
        for row in found:
            if row.name in ingested:
                ingest(connection, row, hashlib.sha256(ingested[row.name]).hexdigest())
            elif state := (ended or {}).get(row.name):
                connection.execute(
                    "INSERT INTO outcomes (entry_id, state, reason, run_id) VALUES (%s, %s, 'TESTED', %s)",
                    [row.entry_id, state, run_id],
                )


def ingest(connection, row, image: str) -> None:
    new = connection.execute(
        """INSERT INTO images (image_id, entry_id, width, height, format, mode, bytes, brightness, contrast, saturation,
                               sharpness)
           VALUES (%s, %s, 1, 1, 'PNG', 'RGB', 1, 0, 0, 0, 0) ON CONFLICT (image_id) DO NOTHING""",
        [image, row.entry_id],
    ).rowcount
    connection.execute(
        """INSERT INTO outcomes (entry_id, state, image_id, sha256, decoded, run_id) VALUES (%s, %s, %s, %s, true, %s)
           ON CONFLICT DO NOTHING""",
        [row.entry_id, "ingested" if new else "duplicate", image, image, row.run_id],
    )
    batch = [row.run_id, row.shard_id, row.model_version]
    connection.execute(
        """INSERT INTO batches (run_id, shard_id, model_version, expected, ok, failed) VALUES (%s, %s, %s, 0, 0, 0)
           ON CONFLICT DO NOTHING""",
        batch,
    )
    connection.execute(
        """INSERT INTO predictions (image_id, run_id, shard_id, model_version, label, confidence, probabilities)
           VALUES (%s, %s, %s, %s, 'cat', 1, '{1, 0}') ON CONFLICT DO NOTHING""",
        [image, *batch],
    )


HOSTILE = [b"{{ ds }}.jpg", b"['x'].sh", b"\\.", b"\\N", b"\xff\n\t'\".jpg", b"$(id).jpg", b"n" * 255]


def test_a_shard_has_no_more_pixels_than_its_bytes_whoever_asks_for_more(zone, champion, monkeypatch):
    for number in range(7):
        land(zone, b"2026-11-21T08/cat/%d.jpg" % number)
    shape = list_hour("seen", dry_run=True).pack[0]
    monkeypatch.setattr(listing, "SHARD_BYTES", 3 * shape.height * shape.width * 3 + 1)
    answer = list_hour("cut", shard_size=100)
    assert sorted(len(manifest(request)) for request in answer.pack) == [2, 2, 3]


def test_a_listing_is_frozen_in_manifests_and_in_the_ledger(zone, champion, database):
    names = [b"2026-11-21T08/cat/" + name for name in HOSTILE]
    land(zone, *names)
    land(zone, b"2026-11-21T08/labels.json")
    land(zone, b"2026-11-21T08/new.jpg", at=time.time())
    answer = list_hour("manual__1", shard_size=3)

    assert answer.run.to_dict() == {
        "run_id": "manual__1",
        "periods": "2026-11-21T08",
        "model_version": champion,
        "classes": ["cat", "dog"],
        "bundle": f"models/{champion}",
        "listed": len(names),
        "refused": [{"state": "rejected", "reason": "NOT_IMAGE", "entries": 1}],
        "future": 0,
        "dry_run": False,
        "quarantine_limit": settings.get().ingest.quarantine_limit,
        "source_limits": {},
        "limits": settings.get().decoding.limits.to_dict(),
    }
    manifests = {request.shard_id: manifest(request) for request in answer.pack}
    assert sorted(map(len, manifests.values())) == [2, 2, 3]
    rows_of_all = sorted((name, ordinal) for shard in manifests.values() for ordinal, name, _ in shard)
    assert [name for name, _ in rows_of_all] == sorted(names)
    for request in answer.pack:
        sizes = (request.height, request.width, request.workers)
        assert (*sizes, request.limits) == (32, 48, 1, settings.get().decoding.limits)
    for shard_id, shard in manifests.items():
        in_ledger = rows(
            database,
            """SELECT ordinal, name, version FROM run_entries JOIN entries USING (entry_id)
               WHERE run_id = 'manual__1' AND shard_id = %s ORDER BY ordinal""",
            shard_id,
        )
        assert in_ledger == shard
        assert [ordinal for ordinal, _, _ in shard] == list(range(len(shard)))
    assert listed(database, "manual__1") == dict.fromkeys(names, (None, None)) | {
        b"2026-11-21T08/labels.json": ("rejected", "NOT_IMAGE")
    }
    assert run_row(database, "manual__1") == (len(names) + 2, 0, 1, len(names) + 1)


def test_images_are_made_as_the_model_of_the_run_wants_them(zone, champion, tmp_path):
    land(zone, b"2026-11-21T08/x.jpg")
    (fitted,) = list_hour("first").pack
    assert fitted.resize_rule() == contract.ResizeRule(32, 48)
    rule = contract.ResizeRule(224, 224, "crop", 0.875, "hamming")
    other = register(tmp_path, "second", json.dumps(rule.to_dict()))
    (cropped,) = list_hour("second", "backfill", model_version=other).pack
    assert cropped.resize_rule() == rule
    assert cropped.shard_id != fitted.shard_id


def test_in_what_was_not_proved_of_the_model_no_image_is_touched(zone, champion, database, monkeypatch):
    land(zone, b"2026-11-21T08/x.jpg")
    monkeypatch.setenv("STRANDLINE_PRECISION", "bf16")
    settings.get.cache_clear()
    with pytest.raises(runtimes.UnprovedRuntime, match="trigger check_parity"):
        list_hour("manual__1")
    assert not settings.get().run_folder("manual__1").exists()
    assert rows(database, "SELECT FROM runs") == []
    parities.record(champion)
    assert len(list_hour("manual__1").pack) == 1
    parities.record(champion, "fail", "parity 2")
    run = list_hour("manual__1").run  # it was listed before
    with pytest.raises(runtimes.UnprovedRuntime, match="It is a fail"):
        load.plan(run, [])


def test_no_name_is_in_the_answer(zone, champion):
    """B70: Airflow renders templates in what it maps over."""
    land(zone, *(b"2026-11-21T08/{{ secret }}/" + name for name in HOSTILE))
    listed = list_hour("r")
    text = json.dumps([listed.run.to_dict(), *(request.to_dict() for request in listed.pack)])
    assert not [part for part in ("{{", "secret", "['x']", "$(id)", "nnn", "\\\\.") if part in text]


def test_facts_of_entries_reach_the_ledger(zone, champion, database):
    land(zone, b"2026-11-21T08/cat/\xff\n.jpg", content=b"four", at=1.5e9)
    land(zone, b"2026-11-21T08/notes.txt", at=-5)
    list_hour("r")
    found = rows(
        database,
        """SELECT drop_at, version, display_name, path_label, size, modified_at, detail
           FROM entries LEFT JOIN outcomes USING (entry_id) ORDER BY name""",
    )
    name = r"2026-11-21T08/cat/\xff\n.jpg"
    moment = datetime.datetime(2017, 7, 14, 2, 40, tzinfo=UTC)
    before = datetime.datetime(1969, 12, 31, 23, 59, 55, tzinfo=UTC)
    versions = [tag(zone, b"2026-11-21T08/cat/\xff\n.jpg"), tag(zone, b"2026-11-21T08/notes.txt")]
    assert found == [
        (HOUR, versions[0], name, "cat", 4, moment, None),
        (HOUR, versions[1], "2026-11-21T08/notes.txt", None, 1, before, listing.DETAILS["NOT_IMAGE"]),
    ]


def test_a_class_folder_in_another_case_is_that_class(zone, champion, database):
    land(zone, b"2026-11-21T08/Cat/1.jpg", b"2026/11/21/08/DOG/2.jpg", b"2026-11-21T08/cats/3.jpg")
    list_hour("r")
    found = rows(database, "SELECT path_label, drop_at FROM entries ORDER BY name")
    assert found == [("cat", HOUR), ("cats", HOUR), ("dog", HOUR)]


def test_the_folder_before_the_hour_is_the_source(zone, champion, database):
    """Each source has a drop of its own; a run takes those of all."""
    land(zone, b"shop1/2026-11-21T08/cat/1.jpg", b"\xff/2026/11/21/08/2.jpg", b"2026-11-21T08/dog/3.jpg")
    land(zone, b"shop1/2026-11-21T07/4.jpg", b"shop1/dt=2026-11-21/hour=08/notes.txt")
    list_hour("r")
    found = rows(database, "SELECT source, drop_at, path_label FROM entries ORDER BY display_name")
    assert found == [("", HOUR, "dog"), (r"\xff", HOUR, None), ("shop1", HOUR, "cat"), ("shop1", HOUR, None)]
    drops = rows(database, "SELECT source, drop_at FROM drops ORDER BY source")
    assert drops == [("", HOUR), (r"\xff", HOUR), ("shop1", HOUR)]


def test_a_run_keeps_its_listing_and_its_model(zone, champion, database, tmp_path):
    """A task that is retried or cleared; B75, F33, F35"""
    land(zone, b"2026-11-21T08/a.jpg", b"2026-11-21T08/b.jpg")
    before = list_hour("r", shard_size=1)
    land(zone, b"2026-11-21T08/a.jpg", content=b"other")
    land(zone, b"2026-11-21T08/c.jpg")
    other = register(tmp_path, "second")
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE champions SET period = tstzrange(lower(period), now())")
        connection.execute("INSERT INTO champions VALUES (%s, tstzrange(now(), NULL), 'tester', 'test')", [other])
    shutil.rmtree(settings.get().run_folder("r"))
    after = list_hour("r")
    assert after == before
    assert sorted(name for request in after.pack for _, name, _ in manifest(request)) == sorted(listed(database, "r"))
    assert list_hour("next").run.model_version == other


NAMES = GOOD, SAME, BAD, GONE, OPEN = [
    b"2026-11-21T08/%s.jpg" % n for n in (b"good", b"same", b"bad", b"gone", b"open")
]


@pytest.fixture
def loaded(zone, champion, database):
    """Entries of every state, and one without, of the run `first`."""
    land(zone, *NAMES, b"2026-11-21T08/README")
    list_hour("first")
    settle(database, "first", {GOOD: b"1", SAME: b"1"}, {BAD: "quarantined", GONE: "vanished"})
    (zone / GONE.decode()).unlink()


@pytest.mark.parametrize("kind", ["manual", "scheduled", "backfill"])
def test_what_is_settled_is_known_and_the_rest_is_taken_up_again(zone, loaded, database, kind):
    """F32: the entry without an outcome belongs to a run that never ended."""
    assert list_hour("second", kind).run.listed == 1
    assert listed(database, "second") == {OPEN: (None, None)}
    assert run_row(database, "second") == (5, 4, 0, 1)


def test_another_model_takes_up_what_it_has_not_predicted(zone, loaded, database, tmp_path):
    other = register(tmp_path, "second")
    answer = list_hour("second", "backfill", model_version=other)
    assert (answer.run.model_version, answer.run.bundle) == (other, f"models/{other}")
    assert set(listed(database, "second")) == {GOOD, SAME, OPEN}
    settle(database, "second", {GOOD: b"1", SAME: b"1", OPEN: b"2"})
    assert list_hour("third", model_version=other).run.listed == 0
    assert set(listed(database, "third")) == set()


def test_new_versions_and_new_files_are_taken_up(zone, loaded, database):
    """B75, B61: a rewritten file, a late file, and one that has changed while it was listed."""
    land(zone, GOOD, content=b"rewritten")
    land(zone, GONE, at=1.6e9)
    land(zone, b"2026-11-21T08/late.jpg")
    list_hour("second")
    assert set(listed(database, "second")) == {GOOD, GONE, OPEN, b"2026-11-21T08/late.jpg"}


def overwrite_in_place(path: Path) -> None:
    path.write_bytes(b"y")


def replace(path: Path) -> None:
    path.with_suffix(".new").write_bytes(b"y")
    path.with_suffix(".new").rename(path)


@pytest.mark.parametrize("change", [overwrite_in_place, replace])
@pytest.mark.parametrize("fields", ["ctime,inode", "ctime", "inode", "none"])
def test_other_bytes_of_the_same_size_and_time_are_a_new_version(zone, loaded, database, monkeypatch, change, fields):
    """As `rsync -a`, `tar -p` and formats of a fixed size make them; they were known, and never classified."""
    monkeypatch.setenv("STRANDLINE_VERSION_FIELDS", fields)
    settings.get.cache_clear()
    list_hour("before")
    settle(database, "before", {GOOD: b"1", SAME: b"1", OPEN: b"2"}, {BAD: "quarantined"})
    change(zone / GOOD.decode())
    os.utime(zone / GOOD.decode(), (0, 1.5e9))
    list_hour("second")
    seen = "ctime" in fields or (fields == "inode" and change is replace)
    assert set(listed(database, "second")) == ({GOOD} if seen else set())


@pytest.mark.parametrize("change", ["chmod", "hard link"])
def test_what_changes_a_file_but_not_its_bytes_ends_as_a_duplicate(zone, loaded, database, change):
    """It costs one decode: the content is known, and keeps its entry, its label and its prediction."""
    kept = "SELECT image_id, entry_id, label, confidence, run_id FROM images JOIN predictions USING (image_id)"
    settle(database, "first", {OPEN: b"2"})
    before = rows(database, f"{kept} ORDER BY 1"), rows(database, "SELECT * FROM category_results ORDER BY 1")
    path = zone / GOOD.decode()
    path.chmod(0o600) if change == "chmod" else (zone / "2026-11-21T08.jpg").hardlink_to(path)
    answer = list_hour("second")
    assert set(listed(database, "second")) == {GOOD}
    assert manifest(answer.pack[0])[0][2] == tag(zone, GOOD)
    settle(database, "second", {GOOD: b"1"})
    assert listed(database, "second") == {GOOD: ("duplicate", None)}
    assert before == (rows(database, f"{kept} ORDER BY 1"), rows(database, "SELECT * FROM category_results ORDER BY 1"))
    assert list_hour("third").run.listed == 0


@pytest.mark.parametrize("kind", ["manual", "scheduled"])
def test_files_in_an_hour_to_come_are_counted(zone, champion, database, kind, caplog):
    """A mistyped year: the files were neither listed nor counted, and nothing said so."""
    land(
        zone,
        b"2026-11-21T08/a.jpg",
        b"2062-11-21T08/cat/b.jpg",
        b"dt=2062-11-21/hour=09/c.jpg",
        b"2062-11-21T08/README",
    )
    answer = list_hour("r", kind)
    assert answer.run.future == 3
    assert set(listed(database, "r")) == {b"2026-11-21T08/a.jpg"}
    assert run_row(database, "r") == (4, 0, 3, 1)
    assert rows(database, "SELECT future FROM reporting.runs") == [(3,)]
    assert "3 files lie in hours that have not begun, such as 2062-11-21T08, 2062-11-21T09" in caplog.text
    assert list_hour("r", kind) == answer


def test_a_run_of_a_day_lists_what_landed_in_it(zone, champion, database, monkeypatch):
    monkeypatch.setenv("STRANDLINE_PERIOD", "day")
    settings.get.cache_clear()
    day = {b"2026-11-21/a.jpg", b"2026-11-21T08/b.jpg", b"2026/11/21/23/cat/c.jpg", b"dt=2026-11-21/dog/d.jpg"}
    land(zone, *day, b"2026-11-22/e.jpg", b"2062-11-21/f.jpg")
    run = listing.Run.from_context(context(params={"period": "2026-11-21"}))
    answer = listing.list_entries(run)
    assert (answer.run.periods, answer.run.future) == ("2026-11-21", 1)
    assert set(listed(database, run.run_id)) == day
    assert rows(database, "SELECT path_label FROM entries WHERE path_label IS NOT NULL ORDER BY 1") == [
        ("cat",),
        ("dog",),
    ]
    assert rows(database, "SELECT drop_at, drop_end - drop_at FROM drops") == [
        (HOUR.replace(hour=0), datetime.timedelta(days=1))
    ]
    monkeypatch.setenv("STRANDLINE_PERIOD", "hour")
    settings.get.cache_clear()
    with pytest.raises(
        ledger.PeriodChanged, match=r"STRANDLINE_PERIOD is hour, .* length, day: set STRANDLINE_PERIOD=day"
    ):
        list_hour("another", dry_run=True)


@pytest.mark.parametrize("kind", ["scheduled", "backfill"])
def test_a_file_that_had_vanished_and_is_back_is_taken_up(zone, loaded, database, kind):
    """With all that it had, as after an outage of the file system; and a second time."""
    land(zone, GONE)
    tags = []
    for run in ("second", "third", "fourth"):
        answer = list_hour(run, kind)
        tags += [version for request in answer.pack for _, name, version in manifest(request) if name == GONE]
        settle(database, run, {OPEN: b"2"}, {GONE: "vanished"})
    assert tags == [tag(zone, GONE) + remark for remark in ("", "-again1", "-again2")]


REFUSED = BIG, BROKEN, ASIDE, OTHER = [
    b"2026-11-21T08/%s.jpg" % n for n in (b"cat/big", b"cat/broken", b"cat/aside", b"dog/other")
]


@pytest.fixture
def refused(zone, champion, database):
    """Entries that were refused for several reasons in the run `first`: two of them with their source."""
    land(zone, *REFUSED, b"2026-11-21T08/cat/README")
    list_hour("first")
    settle(database, "first", {}, dict.fromkeys(REFUSED, "quarantined"))
    facts = {
        BIG: ("TOO_MANY_PIXELS", "ALPHA"),
        BROKEN: ("CORRUPT", "ALPHA SET_ASIDE"),
        ASIDE: ("SET_ASIDE", "SET_ASIDE"),
    }
    with psycopg.connect(database.owner) as connection:
        for name, (reason, notes) in facts.items():
            query = "UPDATE outcomes SET reason = %s, notes = %s FROM entries WHERE name = %s"
            connection.execute(f"{query} AND entries.entry_id = outcomes.entry_id", [reason, notes, name])


@pytest.mark.parametrize("kind", ["manual", "backfill", "scheduled"])
@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("TOO_MANY_PIXELS", [BIG]),
        ("SET_ASIDE", [BROKEN, ASIDE]),
        ("2026-11-21T08/cat/big.jpg", [BIG]),
        ("2026-11-21T08/cat", [BIG, BROKEN, ASIDE]),
        ("2026-11-21T08/ca", []),
        ("all", REFUSED),
        ("NOT_IMAGE", []),
        ("EMPTY", []),
        (None, []),
    ],
    ids=str,
)
def test_what_is_released_is_listed_again(zone, refused, database, kind, release, names):
    """By reason, source, file or hour; as another attempt: the outcome of the first one stays."""
    answer = list_hour("second", kind, release=release)
    sidecars = [b"2026-11-21T08/cat/README"] if release in ("NOT_IMAGE", "2026-11-21T08/cat") else []
    assert set(listed(database, "second")) == {*names, *sidecars}
    tags = {name: version for request in answer.pack for _, name, version in manifest(request)}
    assert set(tags) == set(names)
    assert all(version.endswith("-again1") for version in tags.values())
    assert answer.run.quarantine_limit == (1.0 if release else settings.get().ingest.quarantine_limit)
    assert list_hour("third", kind).run.listed == len(names)  # no outcome yet
    settle(database, "second", {name: name for name in names})
    assert set(listed(database, "first").values()) > {("quarantined", "CORRUPT"), ("quarantined", "TOO_MANY_PIXELS")}
    assert {state for state, _ in listed(database, "second").values()} == ({"ingested"} if names else set()) | (
        {"rejected"} if sidecars else set()
    )
    assert list_hour("fourth", kind).run.listed == 0
    assert ledger_is_whole(database, ("02", "11", "12"))


def ledger_is_whole(database, names) -> bool:
    with ledger.connect("owner") as connection:
        found = ledger.check_invariants(connection)
    return not any(rows for name, rows in found.items() if name.startswith(tuple(names)))


def test_what_was_released_is_classified_by_another_model_too(zone, refused, database, tmp_path):
    list_hour("second", release="TOO_MANY_PIXELS")
    settle(database, "second", {BIG: b"big"})
    list_hour("third", "backfill", model_version=register(tmp_path, "second"))
    assert set(listed(database, "third")) == {BIG}


def test_what_is_refused_again_can_be_released_again(zone, refused, database):
    tags = []
    for run in ("second", "third"):
        answer = list_hour(run, release="2026-11-21T08/dog")
        tags += [version for request in answer.pack for _, _, version in manifest(request)]
        settle(database, run, {}, {OTHER: "quarantined"})
    assert [version.partition("-again")[2] for version in tags] == ["1", "2"]
    assert list_hour("fourth").run.listed == 0


def test_a_higher_limit_of_the_listing_brings_released_files_in(zone, champion, database, monkeypatch):
    land(zone, BIG, content=b"12345")
    for limit, expected in (("4", ("rejected", "TOO_LARGE")), ("5", (None, None))):
        monkeypatch.setenv("STRANDLINE_MAX_FILE_BYTES", limit)
        settings.get.cache_clear()
        list_hour(f"limit {limit}", release="TOO_LARGE")
        assert listed(database, f"limit {limit}") == {BIG: expected}


def test_a_released_file_names_its_hour():
    run = listing.Run.from_context(
        context(params={"release": "2026-11-19T06/cat/1.jpg"}, logical_date=NOW, interval=LAST)
    )
    assert (run.start, run.release, run.drops) == (NAMED, ("2026-11-19T06/cat/1.jpg",), frozenset())


ELSEWHERE = b"2026-11-21T12/cat/1.jpg"


def test_several_files_are_released_in_one_run_that_takes_their_periods_alone(zone, refused, database):
    """What lies in the periods between is not looked at."""
    land(zone, ELSEWHERE, b"2026-11-21T10/cat/1.jpg")
    listing.list_entries(listing.Run("other", "manual", HOUR + 4 * AN_HOUR, HOUR + 5 * AN_HOUR))
    settle(database, "other", {}, {ELSEWHERE: "quarantined"})
    names = [name.decode() for name in (ELSEWHERE, BIG, OTHER)]
    run = listing.Run.from_context(context(params={"release": names}))
    assert (run.start, run.end) == (HOUR, HOUR + 5 * AN_HOUR)
    listing.list_entries(run)
    assert set(listed(database, run.run_id)) == {ELSEWHERE, BIG, OTHER}


def test_files_of_no_period_are_not_released_beside_those_of_several():
    names = ["2026-11-21T08/1.jpg", "2026-11-21T09/1.jpg", "1.jpg"]
    with pytest.raises(listing.ListingError, match="give the parameter Period"):
        listing.Run.from_context(context(params={"release": names}))
    run = listing.Run.from_context(context(params={"release": names, "period": "2026-11-21T08"}))
    assert (run.start, run.end, run.release) == (HOUR, HOUR + AN_HOUR, tuple(names))


def test_a_run_may_have_limits_of_its_own(zone, champion, database):
    """Its shards are of other ids, so that no result of the settings' limits is taken for one of these."""
    land(zone, BIG, content=b"12345")
    with_own = {"max_pixels": 300_000_000, "max_side": 20_000, "max_file_bytes": 4}
    assert list_hour("small", **with_own).pack == []
    assert listed(database, "small") == {BIG: ("rejected", "TOO_LARGE")}
    answer = list_hour("larger", release="TOO_LARGE", **with_own | {"max_file_bytes": 5})
    (request,) = answer.pack
    assert request.limits == answer.run.limits
    assert (request.limits.max_bytes, request.limits.max_pixels, request.limits.max_side) == (5, 300_000_000, 20_000)
    assert request.limits.max_jpeg_pixels == 300_000_000
    assert list_hour("larger", release="TOO_LARGE", **with_own | {"max_file_bytes": 5}).pack == answer.pack
    settle(database, "larger", {}, {BIG: "quarantined"})
    (usual,) = list_hour("usual", release="2026-11-21T08/cat/big.jpg").pack
    assert usual.limits == settings.get().decoding.limits


def test_the_limits_of_a_run_are_its_parameters():
    run = listing.Run.from_context(context(params={"max_pixels": 5, "max_side": None}))
    assert (run.max_pixels, run.max_side, run.max_file_bytes) == (5, None, None)


def test_a_backfill_that_repeats_a_run_lists_again(zone, champion, database):
    """Airflow clears the run and keeps its id: its frozen listing would be made again, and nothing new taken up."""
    ids = [("SCHEDULED", 0, "r"), ("SCHEDULED", 1, "r"), ("BACKFILL_JOB", 2, "r~2"), ("BACKFILL_JOB", 3, "r~3")]
    for number, (run_type, cleared, run_id) in enumerate(ids):
        land(zone, b"2026-11-21T08/%d.jpg" % number)
        dag_run = types.SimpleNamespace(run_type=RunType[run_type], run_after=NOW, clear_number=cleared)
        found = listing.Run.from_context(
            context(run_id="r", dag_run=dag_run, logical_date=HOUR, interval=(HOUR, HOUR + AN_HOUR))
        )
        assert found.run_id == listing.list_entries(found).run.run_id == run_id
    assert [len(listed(database, run_id)) for run_id in ("r", "r~2", "r~3")] == [1, 3, 4]


@pytest.mark.parametrize(("kind", "older"), [("scheduled", True), ("manual", False), ("backfill", False)])
def test_late_files_are_caught_up_by_scheduled_runs(zone, loaded, database, tmp_path, kind, older):
    """An older entry is taken up when it has no outcome; that it lacks a prediction is for a backfill to fix."""
    land(zone, b"2026-11-21T07/late.jpg", b"dt=2026-11-20/hour=23/cat/late.jpg", b"2017.jpg")
    land(zone, b"2026-11-21T09/now.jpg", b"2026-11-21T10/later.jpg")
    run = listing.Run("second", kind, HOUR + AN_HOUR, HOUR + 2 * AN_HOUR, register(tmp_path, "second"))
    listing.list_entries(run)
    late = {b"2026-11-21T07/late.jpg", b"dt=2026-11-20/hour=23/cat/late.jpg", b"2017.jpg", OPEN}
    assert set(listed(database, "second")) == {b"2026-11-21T09/now.jpg"} | (late if older else set())
    assert run_row(database, "second") == ((9, 4, 0, 5) if older else (1, 0, 0, 1))


def test_deferred_files_are_left_for_the_next_run(zone, champion, database):
    """B77, B53"""
    land(zone, b"2026-11-21T08/a.jpg", b"2026-11-21T08/b.jpg.part", at=time.time())
    assert list_hour("first").pack == []
    assert run_row(database, "first") == (2, 0, 2, 0)
    assert rows(database, "SELECT FROM entries") == []
    land(zone, b"2026-11-21T08/a.jpg", b"2026-11-21T08/b.jpg.part")
    list_hour("second")
    expected = {b"2026-11-21T08/a.jpg": (None, None), b"2026-11-21T08/b.jpg.part": ("rejected", "PARTIAL_NAME")}
    assert listed(database, "second") == expected


def test_a_dry_run_leaves_nothing_in_the_ledger(zone, champion, database):
    land(zone, b"2026-11-21T08/a.jpg", b"2026-11-21T08/README")
    answer = list_hour("r", dry_run=True)
    assert (answer.run.dry_run, answer.run.listed) == (True, 1)
    assert answer.run.refused == (listing.Refused("rejected", "NOT_IMAGE", 1),)
    assert [name for request in answer.pack for _, name, _ in manifest(request)] == [b"2026-11-21T08/a.jpg"]
    assert [rows(database, f"SELECT FROM {table}") for table in ("runs", "entries", "drops", "shards")] == [[]] * 4
    again = list_hour("other", dry_run=True)
    assert [r.shard_id for r in again.pack] == [r.shard_id for r in answer.pack]


@pytest.mark.parametrize("names", [[], [b"2026-11-21T08/README", b"2026-11-21T08/.DS_Store"]], ids=["empty", "rejects"])
def test_a_drop_without_images_is_a_run_without_shards(zone, champion, database, names):
    """B85"""
    land(zone, *names)
    answer = list_hour("r")
    assert (answer.run.listed, answer.pack) == (0, [])
    assert run_row(database, "r") == (len(names), 0, 0, len(names))
    assert set(listed(database, "r").values()) <= {("rejected", "NOT_IMAGE")}
    assert list_hour("r") == answer


def test_runs_without_a_model_say_what_to_do(zone):
    with pytest.raises(versions.NoChampion, match="make up"):
        list_hour("r")
    with pytest.raises(versions.VersionError, match=r"f{64} is registered"):
        list_hour("r", model_version="f" * 64)


def test_without_the_registry_no_run_begins(zone, champion, database, away):
    """F38: nor with a version that was champion before; the run that has begun keeps its own."""
    land(zone, b"2026-11-21T08/a.jpg")
    with away(), pytest.raises(ledger.Unreachable):
        list_hour("r")
    assert rows(database, "SELECT FROM runs") == []
    assert list_hour("r").pack
    assert rows(database, "SELECT model_version FROM runs") == [(champion,)]


def test_a_bundle_that_is_gone_is_named(zone, champion, database):
    """F36"""
    land(zone, b"2026-11-21T08/a.jpg")
    shutil.rmtree(settings.get().store / "models" / champion)
    with pytest.raises(listing.ListingError, match=f"{champion} is gone"):
        list_hour("r")
    assert rows(database, "SELECT FROM runs") == []


@pytest.mark.parametrize("run_ids", [["same"] * 4, ["one", "two", "three", "four"]], ids=["one run", "four runs"])
def test_listings_made_at_once_agree(zone, champion, database, run_ids):
    """F16, F31"""
    names = [b"2026-11-21T08/%d.jpg" % i for i in range(50)]
    land(zone, *names, b"2026-11-21T08/README")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda run_id: list_hour(run_id, shard_size=10), run_ids))
    shards = [{r.shard_id: manifest(r) for r in answer.pack} for answer in answers]
    assert len(shards[0]) == 5
    assert all(shard == shards[0] for shard in shards)
    assert len(rows(database, "SELECT FROM entries")) == 51
    for run_id in run_ids:
        assert set(listed(database, run_id)) == {*names, b"2026-11-21T08/README"}


def test_files_are_compared_in_pieces(zone, champion, database, monkeypatch):
    """B86: memory is bounded by the piece, not by the drop."""
    monkeypatch.setattr(listing, "CHUNK", 7)
    names = [b"2026-11-21T08/%d/%d.jpg" % (i % 3, i) for i in range(30)]
    land(zone, *names)
    list_hour("first")
    settle(database, "first", {name: name for name in names[:20]})
    assert list_hour("second").run.listed == 10
    assert set(listed(database, "second")) == set(names[20:])
    assert run_row(database, "second") == (30, 20, 0, 10)


@pytest.mark.parametrize(("files", "workers"), [(1, {4}), (2, {2}), (3, {1}), (6, {1})])
def test_shards_that_are_packed_at_once_share_the_cores(zone, champion, files, workers):
    land(zone, *(b"2026-11-21T08/%d.jpg" % i for i in range(files)))
    answer = list_hour("r", shard_size=1)
    assert len(answer.pack) == files
    assert {request.workers for request in answer.pack} == workers


def test_a_limit_of_the_run_is_that_of_all_sources(zone, champion, monkeypatch):
    monkeypatch.setenv("STRANDLINE_QUARANTINE_LIMITS", "shop1=0.5")
    settings.get.cache_clear()
    for number, (changes, limits) in enumerate(
        (
            ({}, (settings.get().ingest.quarantine_limit, {"shop1": 0.5})),
            ({"quarantine_limit": 0.0}, (0.0, {})),
            ({"release": "all"}, (1.0, {})),
        )
    ):
        run = list_hour(f"run {number}", **changes).run
        assert (run.quarantine_limit, run.source_limits) == limits


def test_a_run_may_span_hours_and_set_its_own_limit(zone, champion, database):
    land(zone, *(b"2026-11-21T%02d/a.jpg" % hour for hour in range(6, 12)))
    run = listing.Run("r", "manual", HOUR, HOUR + 3 * AN_HOUR, quarantine_limit=0.0)
    assert listing.list_entries(run).run.quarantine_limit == 0.0
    assert set(listed(database, "r")) == {b"2026-11-21T%02d/a.jpg" % hour for hour in (8, 9, 10)}
