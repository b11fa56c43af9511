"""A drop that lies in a bucket comes to the ledger as the same files in a folder do."""

from pathlib import Path
from typing import Any

import pytest
import straight_run as straight
from conftest import new_ledger
from object_store import Store, Zone, given_credentials

from strandline import settings


def ingested(port: int, home: Path, landing: object) -> dict[str, Any]:
    """What the ledger holds after a run over a landing zone, but for how its versions are told apart."""
    with new_ledger(port, home) as database, straight.settled(home, database.address, landing=landing):
        straight.install_champion()
        assert straight.Ingestion().run()["listed"] == 35
        assert straight.Ingestion(run_id="again").run()["listed"] == 0
        assert straight.broken_invariants() == {}
        return straight.facts()


@pytest.mark.parametrize("versioned", [False, True])
def test_a_bucket_and_a_folder_have_the_same_outcomes(postgres_port, tmp_path, monkeypatch, versioned):
    """Images, a copy, broken and empty files, and one that is no image by its name."""
    folder = tmp_path / "folder"
    straight.drop(folder)
    place = next(folder.iterdir())
    (place / "cat" / "empty.jpg").write_bytes(b"")
    (place / "notes.txt").write_bytes(b"of the photographer")
    with Store() as store:
        given_credentials(monkeypatch, store)
        zone = Zone(store)
        if versioned:
            zone.keep_versions()
        zone.put_folder(folder)
        in_bucket = ingested(postgres_port, tmp_path / "one", zone.url)
    settings.get.cache_clear()
    assert in_bucket == ingested(postgres_port, tmp_path / "two", folder)
    assert len(in_bucket["predictions"]) == 30
