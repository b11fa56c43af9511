"""Each invariant is silent on honest books, and speaks when they are broken behind its back."""

import os
from collections.abc import Iterator
from pathlib import Path

import gates as promoting
import ledger_rows as seeding
import parities
import psycopg
import pytest
from conftest import Database, new_ledger
from ledger_rows import File, Run, digest, refused, rejected, vanished
from psycopg.rows import dict_row
from served import Server

from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.labels import load as labels
from strandline.promotion import promotion
from strandline.serving import consumers
from strandline.serving.agent import Agent

NAMES = [path.stem for path in ledger.invariant_files()]
AT_CLOSING = [path.stem for path in ledger.invariant_files() if path.parent.name != "serving"]

FIRST = [
    File("cat.jpg"),
    File("copy.jpg", content="cat.jpg"),
    File("dog.jpg"),
    File("gone.jpg"),
    refused("broken.jpg"),
    File("lizard/dog.jpg", content="lizard", state="quarantined", reason="UNKNOWN_LABEL"),
    vanished("moved.jpg"),
    rejected("readme.txt"),
    File("far copy.jpg", content="cat.jpg", shard="shard 2"),
    File("failing.jpg", shard="shard 2"),
    refused("alone.jpg", shard="shard 3"),
]
# What a later run finds of the same files: one was accepted and is gone, one was refused and is accepted by now.
LATER = [
    *(file for file in FIRST if file.name not in ("gone.jpg", "broken.jpg")),
    vanished("gone.jpg"),
    File("broken.jpg"),
]

IN_BF16 = """UPDATE batches SET versions = versions || '{"backend": "openvino", "precision": "bf16"}'"""

# Invariant: statements that each break it. None touches what the statement is not about.
MUTATIONS = {
    "01_closed_entries_are_terminal": [
        "DELETE FROM outcomes WHERE state = 'rejected'",
        "DELETE FROM outcomes WHERE entry_id = (SELECT min(entry_id) FROM outcomes WHERE state = 'ingested')",
    ],
    "02_listings_are_complete": [
        "DELETE FROM run_entries WHERE entry_id = (SELECT entry_id FROM outcomes WHERE state = 'vanished')",
        "UPDATE runs SET listed = listed + 1, files_seen = files_seen + 1 WHERE run_id = 'first'",
        "UPDATE runs SET known = known + 1 WHERE run_id = 'first'",
    ],
    "03_closings_equal_outcomes": [
        "UPDATE closings SET ingested = ingested - 1, duplicates = duplicates + 1 WHERE run_id = 'later'",
        "UPDATE closings SET listed = listed + 1 WHERE run_id = 'empty'",
        "UPDATE closings SET classified = classified + 1 WHERE run_id = 'first'",
        "UPDATE closings SET failed = 0 WHERE run_id = 'first'",
        "UPDATE outcomes SET state = 'vanished' WHERE state = 'rejected'",
    ],
    "04_accepted_images_have_one_result": [
        "DELETE FROM predictions WHERE run_id = 'first' AND image_id = (SELECT min(image_id) FROM predictions)",
        "DELETE FROM prediction_failures WHERE run_id = 'later'",
        """INSERT INTO prediction_failures
           SELECT run_id, image_id, model_version, shard_id, 'NOT_FINITE' FROM predictions WHERE run_id = 'first'""",
    ],
    "05_results_are_of_accepted_images": [
        """INSERT INTO predictions
           SELECT repeat('0', 64), model_version, label, confidence, probabilities, run_id, shard_id
           FROM predictions LIMIT 1""",
        "UPDATE prediction_failures SET image_id = repeat('0', 64) WHERE run_id = 'first'",
        "UPDATE predictions SET shard_id = (SELECT max(shard_id) FROM batches WHERE ok = 0) WHERE run_id = 'first'",
    ],
    "06_batches_equal_rows": [
        "UPDATE batches SET expected = expected + 1, ok = ok + 1 WHERE run_id = 'first' AND ok > 0",
        "UPDATE batches SET ok = ok - 1, failed = failed + 1 WHERE run_id = 'later' AND ok > 0",
        "UPDATE batches SET expected = expected + 1 WHERE run_id = 'first'",
    ],
    "07_closed_runs_loaded_every_shard": [
        "DELETE FROM batches WHERE run_id = 'first' AND expected = 0",
        """INSERT INTO batches (run_id, shard_id, model_version, expected, ok, failed)
           SELECT run_id, repeat('0', 64), model_version, 0, 0, 0 FROM runs WHERE run_id = 'later'""",
    ],
    "08_runs_have_one_model": [
        "UPDATE predictions SET model_version = repeat('0', 64) WHERE run_id = 'first' AND label = 'cat'",
        "UPDATE prediction_failures SET model_version = repeat('0', 64) WHERE run_id = 'first'",
        """UPDATE batches SET model_version = (SELECT version FROM champions WHERE cause = 'installed')
           WHERE run_id = 'later'""",
    ],
    "09_probabilities_are_sane": [
        "UPDATE predictions SET probabilities[1] = 'NaN' WHERE run_id = 'first'",
        "UPDATE predictions SET probabilities[1] = NULL WHERE run_id = 'first'",
        "UPDATE predictions SET probabilities = '{1.2, -0.2, 0}', confidence = 1.2, label = 'cat'",
        "UPDATE predictions SET probabilities = '{0.9, 0, 0}', confidence = 0.9, label = 'cat'",
        "UPDATE predictions SET probabilities = '{1, 0}', confidence = 1, label = 'cat'",
        "UPDATE predictions SET probabilities = '{0.7, 0.2, 0.1}', confidence = 0.7, label = 'dog'",
        "UPDATE predictions SET probabilities = '{0.7, 0.2, 0.1}', confidence = 0.2, label = 'cat'",
    ],
    "10_labels_are_classes": ["UPDATE predictions SET label = 'lizard' WHERE run_id = 'later'"],
    "11_duplicates_have_an_original": [
        "UPDATE outcomes SET state = 'ingested' WHERE state = 'duplicate'",
        "UPDATE outcomes SET sha256 = repeat('0', 64) WHERE state = 'duplicate'",
        "UPDATE outcomes SET state = 'duplicate' WHERE state = 'ingested'",
        """UPDATE images SET entry_id = (SELECT entry_id FROM outcomes WHERE state = 'rejected')
           WHERE image_id = (SELECT min(image_id) FROM images)""",
        "DELETE FROM images WHERE entry_id = (SELECT min(entry_id) FROM outcomes WHERE state = 'ingested')",
    ],
    "12_refused_entries_have_a_reason": [
        "UPDATE outcomes SET reason = NULL WHERE state = 'quarantined'",
        "UPDATE outcomes SET reason = ' ' WHERE state = 'rejected'",
        "UPDATE outcomes SET refused_folder = NULL WHERE state = 'quarantined'",
        """UPDATE outcomes SET state = 'quarantined', reason = 'CORRUPT', image_id = NULL
           WHERE sha256 = (SELECT image_id FROM predictions WHERE run_id = 'first' AND label = 'cat' LIMIT 1)""",
        """INSERT INTO predictions
           SELECT sha256, model_version, label, confidence, probabilities, predictions.run_id, shard_id
           FROM outcomes CROSS JOIN predictions WHERE state = 'quarantined' AND reason = 'UNKNOWN_LABEL' LIMIT 1""",
        "UPDATE outcomes SET image_id = sha256 WHERE state = 'quarantined'",
    ],
    "13_shards_match_their_images": [
        "UPDATE batches SET shard_rows = shard_rows + 1 WHERE run_id = 'first'",
        "UPDATE batches SET replaced = 0 WHERE run_id = 'later'",
        "UPDATE batches SET missing = 0 WHERE run_id = 'later'",
        "UPDATE outcomes SET decoded = false WHERE state = 'quarantined'",
    ],
    "14_there_is_one_champion": [
        "DELETE FROM champions",
        "UPDATE champions SET period = tstzrange(now() - interval '2 days', now() - interval '1 day')",
        "INSERT INTO champions SELECT version, period, 'me', 'twice' FROM champions",
    ],
    "15_champions_follow_each_other": [
        """INSERT INTO champions
           SELECT version, tstzrange(lower(period) - interval '2 h', lower(period) - interval '1 h'), 'me', 'a gap'
           FROM champions""",
        """INSERT INTO champions
           SELECT version, tstzrange(lower(period) - interval '2 h', lower(period) + interval '1 s'), 'me', 'overlap'
           FROM champions""",
        "UPDATE champions SET period = tstzrange(lower(period), now() + interval '1 h')",
    ],
    "20_champions_are_approved": [
        "UPDATE champions SET cause = 'installed' WHERE cause = 'promoted'",
        "UPDATE champions SET reason = ' ' WHERE cause = 'rolled back'",
        "UPDATE champions SET version = repeat('0', 64) WHERE cause <> 'installed'",
        "UPDATE gates SET champion = challenger",
        "UPDATE gates SET outcome = 'not enough evidence'",
        "UPDATE gates SET requested_by = upper('op')",
        "UPDATE gates SET answer_by = made_at - interval '1 h'",
        "UPDATE gates SET made_at = now() + interval '1 h'",
        "UPDATE gates SET approvers = '{}'",
        "UPDATE approvals SET decision = 'rejected'",
        "UPDATE approvals SET recorded_at = now() + interval '1 h'",
        "UPDATE model_versions SET registered_by = 'op'",
        "DELETE FROM approvals",
    ],
    "21_gates_follow_from_their_checks": [
        "UPDATE gate_results SET outcome = 'fail' WHERE check_name = 'recent'",
        "UPDATE gate_results SET outcome = 'not enough evidence' WHERE check_name = 'recent'",
        "DELETE FROM gate_results WHERE check_name = 'recent'",
        "UPDATE gates SET outcome = 'fail'",
        "UPDATE gates SET sentence = 'another'",
        "UPDATE approvals SET evidence = repeat('0', 64)",
    ],
    "22_every_step_is_audited": [
        "DELETE FROM audit_log WHERE what = 'approved'",
        "DELETE FROM audit_log WHERE what = 'rolled back'",
        "DELETE FROM gates",
        "DELETE FROM champions WHERE cause = 'promoted'",
        "DELETE FROM discards WHERE what = 'taken back'",
        "DELETE FROM consumer_steps WHERE what = 'revoked'",
        "DELETE FROM rollout_steps WHERE what = 'canary'",
        """INSERT INTO audit_log (who, what, of_table, details, hash)
           SELECT who, what, of_table, details, hash FROM audit_log""",
        "UPDATE champions SET version = repeat('0', 64) WHERE cause = 'promoted'",
    ],
    "23_the_audit_log_is_chained": [
        "DELETE FROM audit_log WHERE what = 'approved'",
        "UPDATE audit_log SET who = 'nobody' WHERE what = 'rolled back'",
        "UPDATE audit_log SET hash = repeat('0', 64) WHERE what = 'installed'",
    ],
    "16_label_files_reconcile": [
        "DELETE FROM labels WHERE file_id = (SELECT min(file_id) FROM labels)",
        "DELETE FROM label_rejections",
        "UPDATE label_files SET rows_read = rows_read + 1 WHERE state = 'loaded'",
        "UPDATE label_files SET rows_read = 1, accepted = 1 WHERE state = 'refused'",
        "UPDATE label_files SET reasons = '{}' WHERE rejected > 0",
        "DELETE FROM label_waits",
        "UPDATE label_wait_ends SET state = 'rejected', reason = 'X' WHERE state = 'accepted'",
        """INSERT INTO label_wait_ends (file_id, line, state, run_id)
           SELECT file_id, 99 + i, 'known', 'labelling' FROM label_files, generate_series(1, 9) AS i""",
    ],
    "17_file_labels_are_classes": ["UPDATE labels SET label = 'lizard' WHERE source = 'file'"],
    "18_audit_samples_are_whole": [
        "DELETE FROM audit_images WHERE chosen = 'random'",
        """WITH moved AS (
               UPDATE audit_images SET chosen = 'uncertain'
               WHERE image_id = (
                   SELECT image_id FROM audit_images JOIN audit_samples USING (run_id)
                   ORDER BY sha256(convert_to(seed || image_id, 'UTF8')) LIMIT 1
               )
           )
           UPDATE audit_samples SET random = random - 1, uncertain = uncertain + 1""",
        "UPDATE audit_images SET image_id = reverse(image_id)",
        "UPDATE audit_images SET chosen = CASE chosen WHEN 'random' THEN 'uncertain' ELSE 'random' END",
    ],
    "19_nothing_learnt_is_tested": [
        """WITH sets AS (
               INSERT INTO datasets (dataset_id, kind, images, labels, shards, rule, made_by)
               SELECT repeat(id, 64), kind, 1, 'a', '[]', '{}', 'me'
               FROM (VALUES ('a', 'original'), ('b', 'recent')) AS one (id, kind)
               RETURNING dataset_id
           )
           INSERT INTO dataset_images SELECT dataset_id, repeat('0', 64), 'cat' FROM sets""",
    ],
    "25_discarded_files_are_refused": [
        """INSERT INTO discarded_files
           SELECT entry_id, recorded_at, 1 FROM outcomes WHERE state = 'ingested' AND run_id = 'first' LIMIT 1""",
        "UPDATE discarded_files SET recorded_at = recorded_at + interval '1 s'",
        "UPDATE discarded_files SET discard_id = taken_back_by WHERE taken_back_by IS NOT NULL",
        "UPDATE discarded_files SET taken_back_by = discard_id",
    ],
    "26_served_lines_have_no_gap": [
        "DELETE FROM served_predictions WHERE sequence = 2",
        "DELETE FROM served_feedback",
        "DELETE FROM served_refused_lines",
        "DELETE FROM serving_spools",
        "UPDATE serving_spools SET last_sequence = last_sequence + 1",
        "UPDATE served_predictions SET sequence = 99 WHERE sequence = 2",
        "UPDATE served_predictions SET sequence = 0 WHERE sequence = 2",
    ],
    "27_served_versions_are_registered": ["UPDATE served_predictions SET version = repeat('0', 64) WHERE sequence = 2"],
    "28_served_consumers_are_known": [
        "UPDATE served_predictions SET consumer = 'stranger' WHERE sequence = 2",
        "UPDATE served_feedback SET consumer = 'stranger'",
        "DELETE FROM consumer_steps",
    ],
    "29_feedback_became_labels": [
        "DELETE FROM labels WHERE source = 'feedback'",
        "UPDATE labels SET labeller = 'stranger' WHERE source = 'feedback'",
        "DELETE FROM served_feedback_ends",
        "UPDATE served_feedback_ends SET state = 'rejected', reason = 'UNKNOWN_CLASS'",
        "DELETE FROM served_predictions WHERE sequence = 1",
    ],
    "30_shadows_are_of_an_answer": [
        "UPDATE served_predictions SET image_id = repeat('1', 64) WHERE role = 'shadow'",
        "UPDATE served_predictions SET rollout_id = NULL WHERE prediction_id = 'rolled out-1'",
        "UPDATE served_predictions SET shadow_of = 'nothing' WHERE role = 'shadow'",
        "UPDATE served_predictions SET shadow_of = prediction_id WHERE role = 'shadow'",
        "DELETE FROM served_predictions WHERE prediction_id = 'rolled out-1'",
    ],
    "31_rollouts_compare_two_versions": [
        "UPDATE served_predictions SET version = repeat('0', 64) WHERE role = 'canary'",
        "UPDATE served_predictions SET version = repeat('0', 64) WHERE prediction_id = 'rolled out-1'",
        "UPDATE served_predictions SET version = (SELECT min(champion) FROM rollout_steps) WHERE role = 'shadow'",
        "UPDATE served_predictions SET rollout_id = NULL WHERE role = 'shadow'",
        "UPDATE served_predictions SET rollout_id = 'nothing' WHERE role = 'champion' AND rollout_id IS NOT NULL",
    ],
    "33_served_days_count_every_line": [
        "DELETE FROM served_predictions WHERE sequence = 2",
        "UPDATE served_predictions SET consumer = 'shop' WHERE role = 'canary'",
        "UPDATE served_predictions SET at = at + interval '1 h' WHERE role = 'canary'",
        "UPDATE served_predictions SET reason = 'TRUNCATED' WHERE role = 'canary'",
        "UPDATE served_days SET forgotten = 1 WHERE role = 'canary'",
        "UPDATE served_days SET predictions = predictions + 1, forgotten = forgotten + 1, last_at = '2026-01-01'",
        "DELETE FROM served_days",
    ],
    "32_rollouts_follow_each_other": [
        "DELETE FROM rollout_steps WHERE what = 'shadow'",
        "DELETE FROM rollout_steps WHERE what = 'ended'",
        "UPDATE rollout_steps SET version = repeat('0', 64) WHERE what = 'canary'",
        "UPDATE rollout_steps SET rollout_id = 'another' WHERE what = 'canary'",
        "UPDATE rollout_steps SET share = 0 WHERE what = 'canary'",
    ],
    "24_precision_was_proved": [
        f"{IN_BF16} WHERE run_id = 'first'",
        f"{IN_BF16}, device = 'gpu' WHERE run_id = 'later'",
        f"{IN_BF16}, loaded_at = loaded_at - interval '1 day' WHERE run_id = 'later'",
    ],
}


@pytest.fixture(scope="module")
def books(postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Closed books of three runs: the first, a later one of the same files by another model, and an empty one."""
    with new_ledger(postgres_port, tmp_path_factory.mktemp("home")) as database:
        first = Run("first", seeding.register("first"), FIRST)
        later = Run("later", seeding.register("second"), LATER, kind="backfill")
        empty = Run("empty", first.version, [])
        parities.record(later.version)
        for run, failing in ((first, ["failing.jpg"]), (later, []), (empty, [])):
            predictions.load(run.run_id, run.ready(failing))
            ledger.close_run(run.run_id)
        write_labels(settings.get().labels.folder)
        labels.load("labelling", at_once=True)
        wait_for(File("awaited.jpg"))
        labels.choose_audit(["first"])
        change_champions(first.version, later.version)
        discard_refused()
        serve(first.version)
        roll_out(first.version, later.version)
        yield database


def change_champions(first: str, second: str) -> None:
    """There, through the gate, and back."""
    promoting.hold("gate", second, first)
    promotion.record_approval("gate", promoting.answer())
    back = {"run_id": "back", "to_version": first, "expected": second, "by": "op", "reason": "worse"}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "promote", {"gate_id": "gate", "expected": first})
        ledger.fetch(connection, "roll_back", back)


def serve(version: str) -> None:
    """An application asks, says something else later, and is revoked; a line in between is damaged."""
    consumers.create("shop", 50, "ann")
    server = Server("a server", version)
    server.answer(2, consumer="shop", image_id=digest("cat.jpg"))
    server.sequence += 1
    server.write(b"damaged\n")
    server.answer()
    server.feedback("a server-1", "dog", "shop")
    server.die()
    Agent().round()
    consumers.revoke("shop", "ann")


def roll_out(champion: str, version: str) -> None:
    """As a shadow, then as a canary; and once more as a shadow."""
    server = Server("rolled out", champion)
    row = {"rollout_id": "rollout", "version": version, "by": "ann", "why": "to see"}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "call_start_rollout", row | {"share": 1})
        ledger.fetch(connection, "call_step_rollout", row | {"number": 2, "share": 0.5})
        ledger.fetch(connection, "call_end_rollout", row | {"what": "ended"})
        ledger.fetch(connection, "call_start_rollout", row | {"rollout_id": "second", "share": 1})
    given = server.answer(rollout_id="rollout")
    server.answer(rollout_id="rollout", role="shadow", version=version, shadow_of=given.prediction_id)
    server.answer(rollout_id="rollout", role="canary", version=version)
    server.die()
    Agent().round()


def discard_refused() -> None:
    """All that the first run refused, of which some is taken back."""
    query = "SELECT discard('ann', %s, 'looked at', '{}', array_agg(entry_id)) FROM outcomes WHERE reason ~ %s"
    with ledger.connect("people") as connection:
        connection.execute(query, ["discarded", "."])
        connection.execute(query, ["taken back", "NOT_IMAGE"])


def wait_for(file: File) -> None:
    """A label that comes before its image."""
    path = settings.get().labels.folder / "early.csv"
    path.write_text(f"image_id,label\n{file.image_id},cat\n")
    os.utime(path, (0, 0))
    assert labels.load("labelling").waiting == 1
    run = Run("awaited", seeding.register("second"), [file], kind="backfill")
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)
    assert labels.load("labelling").accepted == 1


def write_labels(folder: Path) -> None:
    folder.mkdir()
    good = f"image_id,label\n{digest('cat.jpg')},cat\n{digest('dog.jpg')},lizard\n{digest('nothing')},dog\n"
    for name, text in (("good.csv", good), ("bad.csv", "no header\n")):
        (folder / name).write_text(text)
        os.utime(folder / name, (0, 0))


@pytest.fixture
def unguarded(books: Database) -> Iterator[ledger.Connection]:
    """A connection that no constraint and no foreign key holds back; what it does is rolled back."""
    with psycopg.connect(books.superuser, row_factory=dict_row) as connection:
        connection.execute("SET session_replication_role = replica")
        constraints = connection.execute(
            "SELECT conrelid::regclass::text AS on_table, conname FROM pg_constraint"
            " WHERE contype IN ('c', 'x') AND connamespace = 'public'::regnamespace"
        )
        for row in constraints.fetchall():
            connection.execute(f"ALTER TABLE {row['on_table']} DROP CONSTRAINT {row['conname']}")
        connection.execute("ALTER TABLE predictions ALTER probabilities DROP NOT NULL")
        yield connection
        connection.rollback()


def test_every_invariant_has_a_mutation():
    assert sorted(MUTATIONS) == NAMES


def test_honest_books_break_no_invariant(books):
    with ledger.connect("ingest") as connection:
        assert ledger.check_invariants(connection) == {name: [] for name in NAMES}
        for run_id in ("first", "later", "empty"):
            assert ledger.check_invariants(connection, run_id) == {name: [] for name in AT_CLOSING}


@pytest.mark.parametrize(
    ("name", "mutation"),
    [
        pytest.param(name, mutation, id=f"{name}-{i}")
        for name in MUTATIONS
        for i, mutation in enumerate(MUTATIONS[name])
    ],
)
def test_a_break_is_found(unguarded, name, mutation):
    assert unguarded.execute(mutation).rowcount > 0
    broken = ledger.check_invariants(unguarded)[name]
    assert broken
    assert len(set(map(str, broken))) == len(broken), "a row is said twice"
    run_id = broken[0].get("run_id")
    assert {row.get("run_id") for row in ledger.check_invariants(unguarded, run_id)[name]} == {run_id}


def test_a_precision_that_was_proved_before_is_no_break(unguarded):
    assert unguarded.execute(f"{IN_BF16} WHERE run_id = 'later' AND device IS NOT NULL").rowcount > 0
    assert ledger.check_invariants(unguarded)["24_precision_was_proved"] == []


def test_a_long_list_of_breaks_is_cut(unguarded):
    unguarded.execute(
        "INSERT INTO closings SELECT 'run ' || i, now(), 1, 0, 0, 0, 0, 0, 0, 0 FROM generate_series(1, 99) i"
    )
    assert len(ledger.check_invariants(unguarded)["03_closings_equal_outcomes"]) == ledger.BROKEN_ROWS
