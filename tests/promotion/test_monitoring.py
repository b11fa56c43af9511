"""What is asked after a promotion: on a real Postgres, with loaded runs and real files of an evaluation."""

import dataclasses

import gate_evaluations
import parities
import pytest
from conftest import Database
from gates import answer, hold
from ledger_rows import CLASSES, File, Run

import strandline_contract as contract
from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.models import registry, runtimes
from strandline.promotion import monitoring, promotion

IMAGES = 60


@pytest.fixture
def promoted(database: Database, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """`old` and `new`: the new one was promoted; before that, the old one classified a drop."""
    monkeypatch.setenv("STRANDLINE_WATCH_LABELS", str(IMAGES))
    settings.get.cache_clear()
    versions = {name: gate_evaluations.make_version(name) for name in ("old", "new")}
    registry.install_first(versions["old"], "tester")
    classify("before", versions["old"])
    assert monitoring.plan("monitor 0") is None
    hold("gate 1", versions["new"], versions["old"])
    promotion.record_approval("gate 1", answer())
    promotion.promote("gate 1")
    assert monitoring.plan("monitor 0") is None
    return versions


def classify(run_id: str, version: str, count: int = IMAGES, kind: str = "manual") -> None:
    """A run of images that are all labelled `cat`, by their path; the model calls a third of them so."""
    files = [File(f"{run_id} {number}.jpg", shard=f"shard of {run_id}") for number in range(count)]
    run = Run(run_id, version, files, kind)
    predictions.load(run_id, run.ready())
    ledger.close_run(run_id)


def look(run_id: str, right: bool | None) -> monitoring.ChampionCheck:
    """One look, at which the old champion has all right, or wrong, or answers as the new one does."""
    request = monitoring.plan(run_id)
    said = {row[0]: CLASSES.index(row[1]) for row in rows("SELECT image_id, label FROM predictions")}
    labels = read_labels(request.labels)
    answers = {image: said[image] if right is None else 0 if right else 1 for image in labels}
    return monitoring.compare(run_id, gate_evaluations.evaluated(request, answers, run_id))


def read_labels(ref: contract.FileRef) -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(contract.verified(settings.get().store, ref))
    assert set(table["label"].to_pylist()) == {"cat"}
    return table["image_id"].to_pylist()


def rows(statement: str) -> list[tuple]:
    with ledger.connect("ingest") as connection:
        return [tuple(row.values()) for row in connection.execute(statement)]


def test_a_champion_that_is_worse_is_asked_about_once(promoted):
    classify("after", promoted["new"])
    found = look("monitor 1", right=True)
    assert found.worse
    assert (found.version, found.predecessor) == (promoted["new"], promoted["old"])
    assert rows("SELECT number, images, gained, worse FROM champion_checks") == [(1, IMAGES, 0, True)]
    classify("later", promoted["new"])
    assert monitoring.plan("monitor 2") is None


def test_the_old_champion_is_not_asked_in_what_was_not_proved_of_it(promoted, monkeypatch):
    parities.record(promoted["new"])
    classify("after", promoted["new"])
    monkeypatch.setenv("STRANDLINE_PRECISION", "bf16")
    settings.get.cache_clear()
    with pytest.raises(runtimes.UnprovedRuntime, match=promoted["old"][:12]):
        monitoring.plan("monitor 1")
    parities.record(promoted["old"])
    assert monitoring.plan("monitor 1").runtime.precision == "bf16"


def test_a_champion_that_is_as_good_is_looked_at_again_with_more_labels(promoted):
    classify("after", promoted["new"])
    assert not look("monitor 1", right=None).worse
    assert monitoring.plan("monitor 2") is None
    classify("later", promoted["new"])
    assert not look("monitor 2", right=None).worse
    assert rows("SELECT number, images, gained, lost, p_worse FROM champion_checks ORDER BY number") == [
        (1, IMAGES, 0, 0, 1.0),
        (2, 2 * IMAGES, 0, 0, 1.0),
    ]


def test_a_champion_that_is_better_is_not_asked_about(promoted):
    classify("after", promoted["new"])
    assert not look("monitor 1", right=False).worse


def test_looks_are_counted(promoted, monkeypatch):
    monkeypatch.setenv("STRANDLINE_WATCH_LOOKS", "1")
    settings.get.cache_clear()
    classify("after", promoted["new"])
    assert rows("SELECT alpha FROM champion_checks") == []
    look("monitor 1", right=None)
    assert rows("SELECT alpha FROM champion_checks") == [(monitoring.ALPHA,)]
    classify("later", promoted["new"])
    assert monitoring.plan("monitor 2") is None


def test_judging_again_answers_the_same(promoted):
    classify("after", promoted["new"])
    request = monitoring.plan("monitor 1")
    answers = dict.fromkeys(read_labels(request.labels), 0)
    attempt = gate_evaluations.evaluated(request, answers, "monitor 1")
    assert monitoring.compare("monitor 1", attempt) == monitoring.compare("monitor 1", attempt)
    assert rows("SELECT count(*) FROM champion_checks") == [(1,)]


def test_two_runs_take_one_look(promoted):
    classify("after", promoted["new"])
    request = monitoring.plan("monitor 1")
    monitoring.plan("monitor 2")
    answers = dict.fromkeys(read_labels(request.labels), 0)
    assert monitoring.compare("monitor 1", gate_evaluations.evaluated(request, answers, "monitor 1")).worse
    assert not monitoring.compare("monitor 2", gate_evaluations.evaluated(request, answers, "monitor 2")).worse
    assert rows("SELECT run_id FROM champion_checks") == [("monitor 1",)]


def test_backfills_and_what_people_were_asked_as_uncertain_are_left_out(promoted, database):
    classify("history", promoted["new"], kind="backfill")
    assert monitoring.plan("monitor 1") is None
    classify("after", promoted["new"])
    with ledger.connect("owner", database.address) as connection:
        connection.execute("INSERT INTO audit_samples VALUES ('after', 'seed', 60, 0, 1)")
        connection.execute(
            "INSERT INTO audit_images SELECT 'after', min(image_id), 'uncertain', 0.1 FROM predictions"
            " WHERE run_id = 'after'"
        )
    assert monitoring.plan("monitor 1") is None


def test_an_evaluation_by_another_version_is_refused(promoted):
    classify("after", promoted["new"])
    request = monitoring.plan("monitor 1")
    images = read_labels(request.labels)
    other = dataclasses.replace(request, bundle=contract.BundleRef("models/x", promoted["new"]))
    with pytest.raises(contract.NoResult, match="another check"):
        monitoring.compare("monitor 1", gate_evaluations.evaluated(other, dict.fromkeys(images, 0), "monitor 1"))


def test_after_a_roll_back_there_is_nothing_to_watch(promoted):
    classify("after", promoted["new"])
    promotion.roll_back("run 1", "op", "worse")
    assert monitoring.plan("monitor 1") is None
