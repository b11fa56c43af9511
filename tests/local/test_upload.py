"""A drop that was made here, put into a bucket."""

import os

import pytest
from object_store import Store, Zone, in_an_hour, landing_in

from local.demo import broken_files, upload
from strandline import bucket, settings


@pytest.fixture
def zone(tmp_path):
    with Store() as store:
        zone = Zone(store)
        with landing_in(zone, tmp_path):
            yield zone


def test_a_drop_is_put_once_and_its_folder_is_gone(zone, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "drop"
    for _ in range(2):
        place = folder / "2026-11-21T08" / "cat"
        place.mkdir(parents=True)
        (place / "1.png").write_bytes(b"content")
        (place / os.fsdecode(b"\xff.png")).write_bytes(b"no key can say this name")
        (place / "link").symlink_to("1.png")
        os.mkfifo(place / "pipe")
        monkeypatch.setattr("sys.argv", ["upload", str(folder)])
        assert upload.main() == 0
        assert not folder.exists()
    assert [line.rpartition(", ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "1 of them new",
        "0 of them new",
    ]
    found = list(bucket.scan(settings.get(), lambda drop: True, in_an_hour()))
    assert [entry.name for entry in found] == [b"2026-11-21T08/cat/1.png"]


def test_a_store_that_refuses_is_said(zone, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"content")
    zone.store.misbehave = lambda environment: ("403 Forbidden", "AccessDenied")
    monkeypatch.setattr("sys.argv", ["upload", str(folder)])
    assert upload.main() == 1
    assert zone.name in capsys.readouterr().err
    assert (folder / "1.png").exists()


def test_the_demo_awaits_what_can_be_an_object():
    left_out = {broken.name for broken in broken_files.BROKEN_FILES if not broken.is_for_buckets}
    assert left_out == {b"bird/passwords.jpg", b"bird/nowhere.jpg", b"bird/pipe.jpg", b"truck/\xff\xfe.jpg"}
