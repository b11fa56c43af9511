"""Shards packed of a bucket, by real vision processes that have no network: what comes of each object, and of a store
that misbehaves.

Numbers like B82 name the inputs of the hostile catalogue.
"""

import dataclasses
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowException
from image_files import png
from object_store import Zone, in_an_hour, landing_in, once

import strandline_contract as contract
from strandline import bucket, fetching, settings
from strandline.bucket import Bucket
from strandline.errors import PermanentError
from strandline.ingest.listing import write_manifest
from strandline.operators import docker as docker_runner
from strandline.operators.process import ProcessOperator, vision_environment

RUN = "manual__2026-11-21T08:00:00+00:00"


@pytest.fixture
def zone(store, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 0.01)
    zone = Zone(store)
    with landing_in(zone, tmp_path):
        yield zone


def listed() -> list[tuple[bytes, str]]:
    found = sorted(bucket.scan(settings.get(), lambda drop: True, in_an_hour()))
    return [(entry.name, entry.version) for entry in found]


def request_for(rows: list[tuple[bytes, str]], **more) -> dict:
    store = settings.get().store
    manifest = store / "manifest.parquet"
    write_manifest(manifest, rows)
    ref = {"path": manifest.name, "sha256": contract.sha256_file(manifest)}
    sizes = {"height": 32, "width": 32, "workers": 1}
    return {"shard_id": "5" * 64, "manifest": ref, "limits": contract.Limits().to_dict()} | sizes | more


def packed(rows: list[tuple[bytes, str]], **more) -> dict[str, dict]:
    """The outcome of each object, once every promise that holds for all attempts was checked."""
    operator = ProcessOperator(task_id="pack", vision_command="pack", request=request_for(rows, **more))
    done = operator.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})
    folder = settings.get().store / done["folder"]
    assert {path.name for path in folder.iterdir()} == {
        *(
            contract.REQUEST_FILE,
            contract.RESULT_FILE,
            contract.SHARD_FILE,
            contract.OUTCOMES_FILE,
            contract.PREVIEWS_FILE,
        )
    }
    outcomes = pq.read_table(folder / contract.OUTCOMES_FILE).to_pylist()
    assert [outcome["entry"] for outcome in outcomes] == list(range(len(rows)))
    return {name.decode(): outcome for (name, _), outcome in zip(rows, outcomes, strict=True)}


def reasons(rows: list[tuple[bytes, str]], **more) -> dict[str, str | None]:
    return {name: outcome["reason"] for name, outcome in packed(rows, **more).items()}


def test_every_key_is_read(zone):
    """B72: as it is, by whatever name."""
    names = ["../x.png", "a/../y.png", "/z.png", "a//b.png", "slash/", "%2e%2e%2fx.png", "k" * 1000, ".", "é +&?#.png"]
    for number, name in enumerate(names):
        zone.put(name, png(number))
    found = packed(listed())
    assert set(found) == set(names)
    assert {outcome["reason"] for outcome in found.values()} == {None}
    assert len({outcome["image_id"] for outcome in found.values()}) == len(names)
    assert found["slash/"]["notes"] == "EXT_MISMATCH"
    assert found["a//b.png"]["notes"] is None


def test_the_end_of_each_object_that_is_not_what_was_listed(zone):
    """B78, B82"""
    for number, name in enumerate(("changed.png", "gone.png", "same size.png", "stays.png")):
        zone.put(name, png(number))
    rows = listed()
    zone.put("changed.png", b"other")
    zone.put("same size.png", bytes(len(png(2))))
    zone.delete("gone.png")
    found = packed(rows)
    assert {name: outcome["reason"] for name, outcome in found.items()} == {
        "changed.png": "CHANGED",
        "gone.png": "MISSING",
        "same size.png": "CHANGED",
        "stays.png": None,
    }
    assert found["gone.png"]["status"] == found["changed.png"]["status"] == "vanished"
    assert "overwritten" in found["changed.png"]["detail"]


def test_of_versions_the_listed_one_is_read(zone):
    """B82: though it was overwritten, or marked as deleted; if it is gone itself, so is the entry."""
    zone.keep_versions()
    for number, name in enumerate(("gone.png", "marked.png", "overwritten.png")):
        zone.put(name, png(number))
    rows = listed()
    zone.put("overwritten.png", b"other")
    zone.delete("marked.png")
    zone.delete("gone.png", VersionId=bucket.Version.parse(rows[0][1]).version_id)
    assert reasons(rows) == {"gone.png": "MISSING", "marked.png": None, "overwritten.png": None}


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ("403 Forbidden", "InvalidObjectState", "archive"),
        ("403 Forbidden", "AccessDenied", "s3:GetObject"),
        ("400 Bad Request", "KMS.DisabledException", "kms:Decrypt"),
    ],
)
def test_what_the_store_does_not_give_is_quarantined(zone, store, status, code, says):
    """B82"""
    for number, name in enumerate(("kept.png", "refused.png")):
        zone.put(name, png(number))
    rows = listed()
    store.misbehave = once(1, status, code, "refused.png")
    found = packed(rows)
    assert found["kept.png"]["reason"] is None
    assert (found["refused.png"]["status"], found["refused.png"]["reason"]) == ("quarantined", "UNREADABLE")
    assert says in found["refused.png"]["detail"]


def test_an_archived_object_is_refused_by_the_store(zone):
    """B82: a real one, archived after it was listed."""
    zone.put("x.png", png(0))
    rows = listed()
    zone.put("x.png", png(0), StorageClass="GLACIER")
    assert reasons(rows) == {"x.png": "UNREADABLE"}


def test_a_store_that_is_busy_costs_no_entry(zone, store):
    """B83"""
    for number in range(30):
        zone.put(f"{number}.png", png(number))
    rows = listed()
    store.misbehave = once(40, "503 Slow Down", "SlowDown", "png")
    assert set(reasons(rows).values()) == {None}


def test_a_store_that_stays_away_fails_the_try_and_no_entry(zone, store, monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "TRIES", 2)
    zone.put("x.png", png(0))
    rows = listed()
    store.misbehave = once(10**6, "503 Slow Down", "SlowDown")
    with pytest.raises(fetching.FetchError, match=f"s3://{zone.name}.*SlowDown") as failure:
        packed(rows)
    assert not isinstance(failure.value, PermanentError)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} >= {contract.REQUEST_FILE}
    assert not list(tmp_path.rglob(contract.FETCHED_FOLDER))
    assert not list(tmp_path.rglob(contract.RESULT_FILE))


def test_credentials_that_expire_are_read_again(zone, store, monkeypatch):
    """B83: once for all requests that met their end."""
    for number in range(30):
        zone.put(f"{number}.png", png(number))
    rows = listed()
    lock = threading.Lock()

    def expired(environment):
        with lock:
            old = "Credential=tester/" in environment["HTTP_AUTHORIZATION"]
            if old:
                os.environ["AWS_ACCESS_KEY_ID"] = "renewed"
            return ("400 Bad Request", "ExpiredToken") if old else None

    store.misbehave = expired
    renewals = []
    renew = Bucket.renew
    monkeypatch.setattr(Bucket, "renew", lambda self: (renewals.append(1), renew(self))[1])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    assert set(reasons(rows).values()) == {None}
    assert len(renewals) == 2  # when the bucket is opened, and then


def test_a_proxy_of_the_environment_is_asked(zone, store, monkeypatch):
    """Unless the environment says that this store is reached without one."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Bucket.landing(settings.get()).proxy() is None
    monkeypatch.setenv("no_proxy", "elsewhere.example")
    assert Bucket.landing(settings.get()).proxy() == "http://127.0.0.1:3128"


def test_objects_are_bytes_whatever_they_claim_to_be_encoded_with(zone):
    zone.put("x.png", png(0), ContentEncoding="gzip")
    assert reasons(listed()) == {"x.png": None}


def test_a_tag_of_the_folder_that_was_the_landing_zone_before_is_changed(zone):
    zone.put("x.png", png(0))
    assert reasons([(b"x.png", f"{len(png(0))}-1700000000-c1-i1")]) == {"x.png": "CHANGED"}


def test_no_more_lies_on_the_disk_than_may(zone, monkeypatch):
    """And what is larger than that alone comes by itself."""
    monkeypatch.setattr(fetching, "AHEAD_BYTES", 5 * 2**20)
    seen = []
    for number in range(60):
        zone.put(f"{number}.png", png(number) + bytes(200_000))
    zone.put("large.png", png(99) + bytes(6 * 2**20))
    rows = listed()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.001):
            for place in settings.get().store.rglob(contract.FETCHED_FOLDER):
                sizes = []
                for path in place.glob("*"):
                    try:
                        sizes.append(path.stat().st_size)
                    except FileNotFoundError:
                        continue
                seen.append((sum(sizes), len(sizes)))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        assert set(reasons(rows).values()) == {None}
    finally:
        ended.set()
        looker.join()
    together = [size for size, count in seen if count > 1]
    assert together
    assert max(together) <= 5 * 2**20


def test_a_fetcher_that_ends_ends_the_try(zone, monkeypatch):
    """Whatever it ends of: nobody awaits what does not come."""
    zone.put("x.png", png(0))
    rows = listed()

    async def die(self, session, number, name, version):
        raise MemoryError("no memory")

    monkeypatch.setattr(fetching._Fetcher, "_bring", die)
    with pytest.raises(fetching.FetchError, match="no memory"):
        packed(rows)


def test_what_decodes_ends_and_the_fetcher_with_it(zone, store):
    """Killed while it waits for an object."""
    zone.put("x.png", png(0))
    rows = listed()
    store.misbehave = once(10**6, "503 Slow Down", "SlowDown")
    operator = ProcessOperator(task_id="pack", vision_command="pack", request=request_for(rows))

    def kill() -> None:
        deadline = time.monotonic() + 30
        while operator._process is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        operator.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(AirflowException, match="SIGKILL"):
        operator.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})
    killer.join()
    assert not [thread for thread in threading.enumerate() if thread.name == "fetching"]


def test_a_link_in_the_place_of_the_folder_leads_nowhere(zone, tmp_path, monkeypatch):
    """What decodes may put anything where it can write."""
    zone.put("x.png", png(0))
    rows = listed()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = settings.get()
    folder = config.store / "attempt"
    folder.mkdir(parents=True)
    request = contract.parse_request("pack", request_for(rows, root="fetched"))
    started = threading.Event()
    bring = fetching._Fetcher._bring

    async def later(self, *arguments):
        (folder / "fetched").rename(folder / "moved")
        (folder / "fetched").symlink_to(elsewhere)
        await bring(self, *arguments)
        started.set()

    monkeypatch.setattr(fetching._Fetcher, "_bring", later)
    with fetching.fetched(config, request, folder, lambda: None):
        assert started.wait(30)
    assert not list(elsewhere.iterdir())
    assert [path.name for path in (folder / "moved").iterdir()] == ["0"]


def test_a_container_is_given_no_landing_zone(zone, tmp_path):
    """But a folder that stands in its place, where the engine's filter asks for one."""
    config = settings.get()
    mounts = docker_runner._mounts(config, config.store / "attempt", Path("/store/attempt"))
    assert [mount["Target"] for mount in mounts] == ["/store", "/store/attempt"]
    vision = dataclasses.replace(config.vision, landing_on_host=tmp_path / "empty")
    mounts = docker_runner._mounts(dataclasses.replace(config, vision=vision), config.store / "attempt", Path("/x"))
    assert next(mount["Source"] for mount in mounts) == str(tmp_path / "empty")


def test_a_vision_process_sees_no_credentials_of_the_bucket(zone, monkeypatch):
    """Read off what its environment is made of, and what is written beside it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    zone.put("x.png", png(0))
    packed(listed())
    config = settings.get()
    assert "hunter2" not in str(vision_environment(config, config.store))
    assert zone.name not in str(vision_environment(config, config.store))
    for path in Path(config.store).rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes()
