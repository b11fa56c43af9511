"""Pictures that were asked about land as a drop, once each, and a run takes them up as any others."""

import datetime
import hashlib
import tempfile
from pathlib import Path

import pytest
from gate_evaluations import make_version
from image_files import png
from ledger_rows import File, Run
from object_store import Store, Zone, given_credentials, in_an_hour
from served import AT, Server, recorded, rows

from strandline import bucket, ledger, settings
from strandline.ingest import listing
from strandline.ingest import load as predictions
from strandline.models import registry
from strandline.serving import pictures
from strandline.serving.agent import Agent

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def server(database, tmp_path, monkeypatch):
    monkeypatch.setenv("STRANDLINE_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("STRANDLINE_STABLE_SECONDS", "0")
    settings.get.cache_clear()
    settings.get().landing.mkdir()
    version = make_version("first")
    registry.install_first(version, "tester")
    running = Server("one", version)
    yield running
    running.die()


def landed() -> list[str]:
    landing = settings.get().landing
    return sorted(str(path.relative_to(landing)) for path in landing.rglob("*") if path.is_file())


def kept(server: Server) -> list[str]:
    return sorted(path.name for path in pictures.folder(settings.get().serving_folder, server.name).iterdir())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_picture_lands_in_the_period_in_which_it_was_asked_about(server):
    server.keep(b"one", "1" * 64)
    server.keep(b"two", "2" * 64, at=(AT + HOUR).isoformat(), format="PNG")
    server.keep(b"none", "3" * 64, format=None, status="quarantined", reason="UNKNOWN_FORMAT")
    Agent().round()
    assert landed() == [
        f"serving/2026-11-21T08/{'1' * 64}.jpeg",
        f"serving/2026-11-21T08/{'3' * 64}",
        f"serving/2026-11-21T09/{'2' * 64}.png",
    ]
    assert kept(server) == []


def test_a_picture_waits_until_its_line_is_loaded(server):
    server.keep(b"one", "1" * 64)
    raw = server.path.read_bytes()
    server.path.write_bytes(raw[:-1])
    agent = Agent()
    agent.round()
    assert (landed(), kept(server)) == ([], ["1" * 64])
    server.write(b"\n")
    agent.round()
    assert len(landed()) == 1


def test_a_picture_that_is_asked_about_twice_in_a_period_is_one_file(server):
    agent = Agent()
    for _ in range(2):
        server.keep(b"one", "1" * 64)
        agent.round()
    assert landed() == [f"serving/2026-11-21T08/{'1' * 64}.jpeg"]
    assert kept(server) == []


def test_what_was_left_by_an_agent_that_ended_lands_later(server):
    """Between the commit of its line and its move."""
    server.keep(b"one", "1" * 64)
    folder = pictures.folder(settings.get().serving_folder, server.name)
    folder.rename(folder.with_name("away"))
    agent = Agent()
    agent.round()
    assert len(recorded()) == 1
    folder.with_name("away").rename(folder)
    agent.round()
    assert len(landed()) == 1


def test_a_picture_goes_to_another_file_system_whole(server, monkeypatch):
    server.keep(b"one", "1" * 64)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        assert Path(elsewhere).stat().st_dev != server.folder.stat().st_dev
        monkeypatch.setenv("STRANDLINE_LANDING", elsewhere)
        settings.get.cache_clear()
        Agent().round()
        assert landed() == [f"serving/2026-11-21T08/{'1' * 64}.jpeg"]
        assert (settings.get().landing / landed()[0]).read_bytes() == b"one"
    assert kept(server) == []


@pytest.mark.parametrize("format", ["../../x", "a" * 20, "JP EG"])
def test_a_format_is_no_way_out_of_the_landing_zone(server, format):
    server.keep(b"one", "1" * 64, format=format)
    Agent().round()
    assert landed() == [f"serving/2026-11-21T08/{'1' * 64}"]


def test_links_and_other_files_among_the_pictures_are_left(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    answer = server.keep(b"one", "1" * 64)
    folder = pictures.folder(settings.get().serving_folder, server.name)
    (folder / answer.image_id).unlink()
    (folder / answer.image_id).symlink_to(secret)
    (folder / f"{'2' * 64}.7.partial").write_bytes(b"half")
    Agent().round()
    assert landed() == []
    server.die()
    Agent().round()
    assert not folder.exists()
    assert secret.read_text() == "secret"


def test_what_a_dead_process_answered_lands_and_what_it_did_not_goes(server, caplog):
    server.keep(b"one", "1" * 64)
    folder = pictures.folder(settings.get().serving_folder, server.name)
    (folder / ("2" * 64)).write_bytes(b"never answered")
    server.die()
    Agent().round()
    assert landed() == [f"serving/2026-11-21T08/{'1' * 64}.jpeg"]
    assert not folder.exists()
    assert not server.folder.exists()
    assert "has 1 pictures that nobody was answered about: dropped" in caplog.text


def test_a_run_lists_them_as_a_source_of_their_own_beside_the_others(server):
    content = png(1)
    server.keep(content, _sha256(content), format="PNG")
    plain = settings.get().landing / "2026-11-21T08" / "cat" / "a.png"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(png(2))
    Agent().round()
    hour = AT.replace(minute=0)
    listing.list_entries(listing.Run("a run", "manual", hour, hour + HOUR))
    found = rows("SELECT source, drop_at, encode(name, 'escape') AS name, path_label FROM entries ORDER BY source")
    assert found == [
        ("", hour, "2026-11-21T08/cat/a.png", "cat"),
        ("serving", hour, f"serving/2026-11-21T08/{_sha256(content)}.png", None),
    ]


def test_a_picture_whose_content_is_known_is_a_duplicate_as_ever(server):
    content = File("cat.jpg")
    served = File(f"{content.image_id}.jpeg", content="cat.jpg", source="serving")
    run = Run("a run", server.version, [content, served])
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)
    states = rows("SELECT source, state FROM outcomes JOIN entries USING (entry_id) ORDER BY source")
    assert states == [("", "ingested"), ("serving", "duplicate")]


def test_a_landing_zone_that_is_a_bucket_is_given_each_picture_once(server, monkeypatch):
    """And one that is away for a while is given it later."""
    with Store() as store:
        zone = Zone(store)
        given_credentials(monkeypatch, store)
        monkeypatch.setenv("STRANDLINE_LANDING", zone.url)
        settings.get.cache_clear()
        agent = Agent()
        server.keep(b"one", "1" * 64)
        store.misbehave = lambda environment: ("403 Forbidden", "AccessDenied")
        agent.round()
        assert kept(server) == ["1" * 64]
        store.misbehave = lambda environment: None
        agent.round()
        server.keep(b"one", "1" * 64)
        agent.round()
        assert kept(server) == []
        found = list(bucket.scan(settings.get(), lambda drop: True, in_an_hour()))
        assert [(e.name.decode(), e.source) for e in found] == [(f"serving/2026-11-21T08/{'1' * 64}.jpeg", "serving")]
        assert len([asked for asked in store.asked if asked.startswith("PUT") and "jpeg" in asked]) == 1
