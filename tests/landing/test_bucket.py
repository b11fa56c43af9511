"""What a listing makes of a bucket of a real S3 server: hostile keys, versions, archives, and a store that misbehaves.

Numbers like B72 name the inputs of the hostile catalogue.
"""

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_store import Zone, in_an_hour, landing_in, once

from strandline import bucket, connections, scan, settings
from strandline.bucket import Bucket, Version

FOLDER = "2026-11-21T08/"
HOSTILE = [
    *("../x.png", "a/../x.png", "/lead.png", "a//b.png", "trailing/", "%2e%2e%2fx.png", "k" * 1000, "a/./b.png"),
    *(".", "..", "a\x01b.png", "é ü+&?#=.png", "\\u0000.png", "~tilde.png", "two  spaces.png"),
]


@pytest.fixture
def zone(store, tmp_path):
    zone = Zone(store)
    with landing_in(zone, tmp_path, stable_seconds=5):
        yield zone


def listed(now_ns: int | None = None, takes=lambda drop: True) -> dict[str, scan.Entry]:
    found = list(bucket.scan(settings.get(), takes, in_an_hour() if now_ns is None else now_ns))
    by_name = {entry.name.decode(): entry for entry in found}
    assert len(by_name) == len(found)
    return by_name


def ends(entries: dict[str, scan.Entry]) -> dict[str, tuple[str | None, str | None]]:
    return {name: (entry.state, entry.reason) for name, entry in entries.items()}


@pytest.mark.parametrize("versioned", [False, True])
def test_a_key_is_a_name_whatever_is_in_it(zone, versioned):
    """B72: in any folder, and where the landing zone begins."""
    if versioned:
        zone.keep_versions()
    # moto's list of versions cannot say a control character.
    hostile = [name for name in HOSTILE if name.isprintable() or not versioned]
    names = [*hostile, *(FOLDER + name for name in hostile)]
    for name in names:
        zone.put(name)
    zone.client.put_object(Bucket=zone.name, Key="elsewhere/x.png", Body=b"x")
    found = listed()
    assert set(found) == set(names)
    assert {entry.state for entry in found.values()} == {None}
    assert all(entry.display_name.isprintable() for entry in found.values())
    for name in hostile:
        assert found[FOLDER + name].drop == datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)


def test_every_page_is_listed(zone):
    """B83: a page has a thousand keys."""
    names = {f"{FOLDER}{number:04d}.png" for number in range(1_001)}
    for name in names:
        zone.put(name)
    assert set(listed()) == names
    zone.keep_versions()
    zone.put(f"{FOLDER}0000.png", b"new")
    found = listed()
    assert set(found) == names
    assert found[f"{FOLDER}0000.png"].size == 3


def test_a_bucket_has_the_rules_of_a_folder(zone, tmp_path, monkeypatch):
    """The same names, in both."""
    monkeypatch.setenv("STRANDLINE_MAX_FILE_BYTES", "5")
    settings.get.cache_clear()
    names = {
        f"{FOLDER}cat/a.png": b"x",
        f"camera-7/{FOLDER}dog/b.png": b"x",
        "2026/11/20/03/c.png": b"x",
        "dt=2026-11-20/hour=03/Thumbs.db": b"x",
        f"{FOLDER}._resource": b"x",
        f"{FOLDER}labels.csv": b"x",
        f"{FOLDER}upload.part": b"x",
        f"{FOLDER}.hidden/d.png": b"x",
        f"{FOLDER}large.png": b"123456",
        f"{FOLDER}empty.png": b"",
        "2099-01-01T00/to come.png": b"x",
        "no period.png": b"x",
    }
    folder = tmp_path / "landing"
    for name, content in names.items():
        zone.put(name, content)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def facts(entries):
        return {e.name.decode(): (e.drop, e.state, e.reason, e.source, e.path_label, e.size) for e in entries}

    for now in (in_an_hour(), in_an_hour() + 30 * 3600 * 10**9):
        assert facts(listed(now).values()) == facts(scan.scan(folder, lambda drop: True, now))
    assert {e.state for e in listed(in_an_hour() - 3600 * 10**9).values()} == {"deferred"}
    taken = listed(takes=lambda drop: drop == datetime.datetime(2026, 11, 20, 3, tzinfo=datetime.UTC))
    assert set(taken) == {"2026/11/20/03/c.png", "dt=2026-11-20/hour=03/Thumbs.db", "2099-01-01T00/to come.png"}


def test_what_tools_put_for_folders_is_rejected(zone):
    """The mark of the landing zone itself is no entry."""
    for name in ("", FOLDER, f"{FOLDER}cat/"):
        zone.put(name, b"")
    zone.put(f"{FOLDER}real/", b"bytes")
    assert ends(listed()) == {
        FOLDER: ("rejected", "DIR"),
        f"{FOLDER}cat/": ("rejected", "DIR"),
        f"{FOLDER}real/": (None, None),
    }


def test_other_bytes_are_a_new_version_and_the_same_are_not(zone):
    zone.put("x.png", b"one")
    first = listed()["x.png"].version
    zone.put("x.png", b"one")
    assert listed()["x.png"].version == first
    zone.put("x.png", b"two")
    assert listed()["x.png"].version != first


def test_versions_are_those_of_the_store(zone):
    """B82: the latest one, unless that is a mark that the object was deleted. What is of before keeps its ETag."""
    zone.put("old.png", b"one")
    before = listed()["old.png"]
    zone.keep_versions()
    assert listed()["old.png"] == before
    versions = [zone.put("x.png", content)["VersionId"] for content in (b"one", b"three")]
    zone.put("gone.png")
    zone.delete("gone.png")
    found = listed()
    assert set(found) == {"old.png", "x.png"}
    assert Version.parse(found["x.png"].version) == Version(5, None, versions[1])


def test_an_unfinished_upload_is_no_entry(zone):
    """B82"""
    begun = zone.client.create_multipart_upload(Bucket=zone.name, Key="zone/x.png")
    zone.client.upload_part(
        Bucket=zone.name, Key="zone/x.png", UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 5 * 2**20
    )
    assert listed() == {}


def test_what_is_archived_is_taken_up_once_it_was_restored(zone):
    """B82"""
    zone.put("x.png", StorageClass="GLACIER")
    archived = listed()["x.png"]
    assert (archived.state, archived.reason) == ("quarantined", "UNREADABLE")
    assert archived.version.endswith("-unreadable")
    zone.client.restore_object(Bucket=zone.name, Key="zone/x.png", RestoreRequest={"Days": 1})
    entry = bucket._entry(
        {
            "Key": "zone/x.png",
            "Size": 1,
            "ETag": '"e"',
            "LastModified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            "StorageClass": "GLACIER",
            "RestoreStatus": {"IsRestoreInProgress": False, "RestoreExpiryDate": datetime.datetime.now(datetime.UTC)},
        },
        "zone/",
        scan.Rules.of(lambda drop: True, in_an_hour()),
    )
    assert (entry.state, entry.version) == (None, "1-ee")


@given(st.integers(0), st.text(), st.booleans(), st.sampled_from(["", "-unreadable", "-again1", "-unreadable-again2"]))
def test_a_version_tag_says_what_it_was_made_of(size, text, is_etag, remark):
    version = Version(size, text, None) if is_etag or not text else Version(size, None, text)
    tag = str(version)
    assert Version.parse(tag + remark) == version
    assert tag.count("-") == 1


def test_a_tag_of_a_file_is_none_of_an_object():
    assert Version.parse("12-1700000000-c1-i2") is None


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_a_store_that_is_busy_is_asked_again(zone, store, code):
    """B83"""
    zone.put("x.png")
    store.misbehave = once(2, "503 Slow Down", code, "list-type=2")
    assert set(listed()) == {"x.png"}


@pytest.mark.parametrize(("status", "code"), [("403 Forbidden", "AccessDenied"), ("500 Oops", "InternalError")])
def test_half_a_listing_is_none(zone, store, status, code, monkeypatch):
    """B83: a later page that does not come fails all."""
    monkeypatch.setattr(bucket, "TRIES", 1)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        zone.put(f"{number}.png")
    store.misbehave = once(10**6, status, code, "continuation-token")
    with pytest.raises(scan.LandingError, match=f"{zone.name}.*cannot be listed to its end.*{code}"):
        listed()


def test_a_bucket_that_is_missing_is_not_an_empty_one(zone):
    zone.client.delete_bucket(Bucket=zone.name)
    with pytest.raises(scan.LandingError, match="NoSuchBucket"):
        listed()


def test_credentials_that_expire_are_read_again_in_the_middle(zone, store, monkeypatch):
    """B83"""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        zone.put(f"{number}.png")
    refuse = once(1, "400 Bad Request", "ExpiredToken", "continuation-token")

    def expire(environment):
        if refused := refuse(environment):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
            return refused
        return None

    store.misbehave = expire
    assert len(listed()) == 5
    assert store.keys[-1] == "renewed"


def test_credentials_that_stay_expired_fail_the_listing(zone, store):
    store.misbehave = once(10**6, "400 Bad Request", "ExpiredToken")
    with pytest.raises(scan.LandingError, match="ExpiredToken"):
        listed()


def test_without_credentials_the_sentence_says_where_to_name_them(zone, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(scan.LandingError, match="STRANDLINE_LANDING_CONNECTION"):
        listed()


def test_credentials_come_from_a_connection_of_airflow(zone, store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    connection = {
        "conn_type": "aws",
        "login": "of-the-connection",
        "password": "hunter2",
        "extra": {"endpoint_url": store.url, "region_name": "eu-central-1", "aws_session_token": "session"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PHOTOS", json.dumps(connection))
    zone.put("x.png")
    opened = Bucket(settings.get().landing, "photos")
    assert [e.name for e in opened.entries(scan.Rules.of(lambda drop: True, in_an_hour()))] == [b"x.png"]
    assert store.keys[-1] == "of-the-connection"
    assert "hunter2" not in repr(connections.aws("photos"))
    _, headers = opened.request(b"x.png", Version(1, "e", None))
    assert headers["X-Amz-Security-Token"] == "session"
    assert "/eu-central-1/s3/" in headers["Authorization"]
    with pytest.raises(scan.LandingError, match="no connection nowhere"):
        Bucket(settings.get().landing, "nowhere")


def test_what_is_put_is_there(zone):
    opened = Bucket.landing(settings.get())
    assert not opened.has(b"a/x.png")
    opened.put(b"a/x.png", b"content")
    assert opened.has(b"a/x.png")
    assert listed()["a/x.png"].size == 7


@pytest.mark.parametrize(
    ("text", "shown"),
    [("s3://photos", "s3://photos/"), ("s3://photos/", "s3://photos/"), ("s3://photos/a/b//", "s3://photos/a/b/")],
)
def test_a_landing_zone_may_be_named_as_a_bucket(text, shown):
    assert str(settings.load({"STRANDLINE_LANDING": text}).landing) == shown


@pytest.mark.parametrize("text", ["gs://photos", "az://photos", "s3://", "http://photos"])
def test_what_is_no_bucket_is_refused(text):
    with pytest.raises(settings.SettingsError, match=r"STRANDLINE_LANDING=.*s3://bucket"):
        settings.load({"STRANDLINE_LANDING": text})


def test_what_needs_a_folder_says_so():
    with pytest.raises(settings.SettingsError, match="a folder only"):
        settings.load({"STRANDLINE_LANDING": "s3://photos"}).landing_folder  # noqa: B018
