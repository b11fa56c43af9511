"""The ledger on a real Postgres: names, listings, closing, roles, migrations and what people read."""

import datetime
import os
import re
import shutil
import threading

import ledger_rows as seeding
import psycopg
import pytest
from conftest import PASSWORD, Database, free_port
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ledger_rows import HOUR, File, Run, refused, rejected, vanished
from psycopg import sql

from local.stack import postgres
from strandline import ledger, settings
from strandline.ingest import load as predictions

HOSTILE = (
    b"new\nline.jpg",
    b"carriage\rreturn\ttab.jpg",
    b"quote'double\"back`tick.jpg",
    b"back\\slash.jpg",
    b"\\.",
    b"\\N",
    b"\\x41.jpg",
    b"invalid \xff\xfe\x80 utf-8.jpg",
    b"e\xcc\x81.jpg",
    b"\xc3\xa9.jpg",
    b"%s %(name)s {{ ds }} $(id) ;--.jpg",
    b"x" * 255,
    os.urandom(4096).replace(b"\0", b"\1"),
)
FACTS = (
    *("model_versions", "drops", "entries", "runs", "shards", "run_entries", "images", "outcomes", "batches"),
    *("predictions", "prediction_failures", "validation_results", "closings"),
)


def fetch_all(url, statement, *parameters):
    with psycopg.connect(url) as connection:
        return connection.execute(statement, parameters).fetchall()


def entry(name: bytes, **changes):
    made = ledger.ListedEntry(HOUR, name, "1-1", repr(name), None, 1, HOUR, None, None, "rejected", "NOT_IMAGE")
    return made._replace(**changes)


def record(run_id, entries, **changes):
    run = Run(run_id, seeding.register(), []).row(files_seen=len(entries), listed=len(entries)) | changes
    with ledger.connect("ingest") as connection:
        return ledger.record_listing(connection, run, entries)


# Names


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_round_trips_through_copy(database, name):
    with ledger.connect("ingest") as connection:
        connection.execute("CREATE TEMPORARY TABLE names (name bytea, display text)")
        assert ledger.copy_rows(connection, "names", ("name", "display"), [(name, None), (b"b.jpg", "\\N\\.\n")]) == 2
        found = connection.execute("SELECT name, display FROM names").fetchall()
    assert found == [{"name": name, "display": None}, {"name": b"b.jpg", "display": "\\N\\.\n"}]


def test_names_round_trip_through_a_listing(database):
    record("run 1", [entry(name) for name in HOSTILE])
    assert sorted(fetch_all(database.duty("ingest"), "SELECT name FROM entries")) == sorted((name,) for name in HOSTILE)


@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.binary(min_size=1, max_size=300), max_size=30))
def test_any_bytes_round_trip_through_copy(database, names):
    with ledger.connect("ingest") as connection:
        connection.execute("CREATE TEMPORARY TABLE names (name bytea) ON COMMIT DROP")
        assert ledger.copy_rows(connection, "names", ("name",), ((name,) for name in names)) == len(names)
        assert {row["name"] for row in connection.execute("SELECT name FROM names")} == names


# Listings


def test_a_listing_is_recorded_with_what_it_settles(database):
    run = Run("run 1", seeding.register(), [File("a.jpg"), File("b.jpg", shard="shard 2"), rejected("readme.txt")])
    run.record()
    assert fetch_all(database.duty("ingest"), "SELECT listed, kind FROM runs") == [(3, "manual")]
    with ledger.connect("ingest") as connection:
        shards = ledger.fetch(connection, "select_run_shards", {"run_id": "run 1"})
        assert {row["shard_id"]: row["entries"] for row in shards} == dict.fromkeys(run.shards(), 1)
        manifest = ledger.fetch(
            connection, "select_shard_entries", {"run_id": "run 1", "shard_id": shards[0]["shard_id"]}
        )
        assert [(row["entry"], row["version"]) for row in manifest] == [(0, "100-1")]
    assert fetch_all(
        database.duty("ingest"), "SELECT display_name, state FROM outcomes JOIN entries USING (entry_id)"
    ) == [(f"{HOUR:%Y-%m-%dT%H}/cat/readme.txt", "rejected")]


def test_the_first_listing_of_a_run_stays(database):
    first = record("run 1", [entry(b"a.jpg")])
    again = record("run 1", [entry(b"b.jpg"), entry(b"c.jpg")])
    assert again == first
    assert fetch_all(database.duty("ingest"), "SELECT name FROM entries") == [(b"a.jpg",)]


def test_another_run_of_the_same_files_adds_no_entry_and_no_outcome(database):
    record("run 1", [entry(b"a.jpg")])
    before = fetch_all(database.duty("ingest"), "SELECT * FROM entries JOIN outcomes USING (entry_id)")
    record("run 2", [entry(b"a.jpg", reason="SYMLINK"), entry(b"a.jpg", version="1-2")])
    assert (
        fetch_all(database.duty("ingest"), "SELECT * FROM entries JOIN outcomes USING (entry_id) ORDER BY 1")[:1]
        == before
    )
    assert fetch_all(database.duty("ingest"), "SELECT run_id, count(*) FROM run_entries GROUP BY 1 ORDER BY 1") == [
        ("run 1", 1),
        ("run 2", 2),
    ]


@pytest.mark.parametrize(
    ("entries", "listed", "error"),
    [
        ([entry(b"a.jpg")], 2, ledger.LedgerError),
        ([entry(b"a.jpg"), entry(b"a.jpg")], 2, psycopg.errors.UniqueViolation),
        ([entry(b"a.jpg", drop_at=HOUR.replace(minute=1))], 1, psycopg.errors.CheckViolation),
        ([entry(b"a.jpg", source="shop1")], 1, psycopg.errors.CheckViolation),
        ([entry(b"a.jpg", source="shop1/2026", display_name="shop1/2026/a.jpg")], 1, psycopg.errors.CheckViolation),
    ],
    ids=["another number", "a file twice", "no full hour", "another source", "two folders as a source"],
)
def test_a_wrong_listing_leaves_nothing(database, entries, listed, error):
    with pytest.raises(error):
        record("run 1", entries, files_seen=listed, listed=listed)
    assert fetch_all(
        database.duty("ingest"), "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM runs) AS r"
    ) == [(0, 0)]


def test_one_run_listed_by_many_at_once_is_recorded_once(database):
    runs = [Run("run 1", seeding.register(), [File(f"{i}.jpg"), File("a.jpg")]) for i in range(4)]
    threads = [threading.Thread(target=run.record) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetch_all(database.duty("ingest"), "SELECT count(*) FROM runs") == [(1,)]
    assert fetch_all(database.duty("ingest"), "SELECT count(*) FROM entries") == [(2,)]


def test_an_hour_is_a_drop_of_each_source(database):
    files = [File("a.jpg"), File("b.jpg", source="shop1"), File("c.jpg", source="shop1"), File("d.jpg", source="shop2")]
    Run("run 1", seeding.register(), files).record()
    drops = "SELECT source, drop_at FROM drops ORDER BY 1"
    assert fetch_all(database.duty("ingest"), drops) == [("", HOUR), ("shop1", HOUR), ("shop2", HOUR)]
    assert fetch_all(database.duty("ingest"), "SELECT source, count(*) FROM entries GROUP BY 1 ORDER BY 1") == [
        ("", 1),
        ("shop1", 2),
        ("shop2", 1),
    ]


# Closing


def test_closing_counts_and_closing_again_changes_nothing(database):
    run = Run("run 1", seeding.register(), [File("a.jpg"), File("b.jpg", content="a.jpg"), rejected("c.txt")])
    predictions.load(run.run_id, run.ready())
    counts = ledger.close_run(run.run_id)
    assert counts == {
        "listed": 3,
        "ingested": 1,
        "duplicates": 1,
        "quarantined": 0,
        "rejected": 1,
        "vanished": 0,
        "classified": 1,
        "failed": 0,
    }
    closed_at = fetch_all(database.duty("ingest"), "SELECT closed_at FROM closings")
    assert ledger.close_run(run.run_id) == counts
    assert fetch_all(database.duty("ingest"), "SELECT closed_at FROM closings") == closed_at


def test_a_run_that_was_not_loaded_stays_open(database):
    run = Run("run 1", seeding.register(), [File(f"{i}.jpg") for i in range(50)])
    run.record()
    with pytest.raises(ledger.InvariantViolation) as raised:
        ledger.close_run(run.run_id)
    message = str(raised.value)
    assert message.startswith("the books of run run 1 do not close: 01_closed_entries_are_terminal,")
    assert re.search(r"\n  run_id=run 1, entry_id=\d+\n", message)
    assert fetch_all(database.duty("ingest"), "SELECT * FROM closings") == []


def test_the_whole_ledger_is_proved(database):
    run = Run("run 1", seeding.register(), [File("a.jpg"), File("b.jpg")])
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)
    assert ledger.prove() == len(ledger.invariant_files()) > 20
    with psycopg.connect(database.superuser) as connection:
        connection.execute("DELETE FROM predictions WHERE image_id = %s", [File("a.jpg").image_id])
    with pytest.raises(ledger.InvariantViolation, match=r"the ledger is not as it must be: \d\d_"):
        ledger.prove()


def test_a_run_that_was_never_listed_is_not_closed(database):
    with pytest.raises(ledger.LedgerError, match="no run nowhere: nothing was listed"):
        ledger.close_run("nowhere")


def test_a_run_is_closed_by_its_own_books(database):
    open_run = Run("open", seeding.register(), [File("a.jpg")])
    open_run.record()
    run = Run("run 1", open_run.version, [File("b.jpg")])
    predictions.load(run.run_id, run.ready())
    assert ledger.close_run(run.run_id)["classified"] == 1


# Roles


def attempt(connection, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute(statement)


def test_the_app_changes_no_fact(database):
    tables = [
        name for (name,) in fetch_all(database.owner, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    assert set(FACTS) < set(tables)
    tables.remove("locks")  # no facts: a row is taken by who may update it
    with psycopg.connect(database.duty("ingest")) as connection:
        for table in tables:
            columns = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).description
            names = [sql.Identifier(name) for name in (table, columns[-1].name, columns[-1].name)]
            verbs = ["DELETE FROM {}", "TRUNCATE {} CASCADE", "DROP TABLE {} CASCADE"]
            if table != "locks":  # which says nothing: its rows are taken by an update
                verbs.append("UPDATE {} SET {} = {}")
            for verb in verbs:
                attempt(connection, sql.SQL(verb).format(*names))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO champions VALUES (repeat('0', 64), tstzrange(now(), NULL), 'me', 'because')",
        "INSERT INTO schema_migrations VALUES (99, 'x', 'x')",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "SET ROLE strandline_owner",
        "ALTER TABLE predictions DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ],
)
@pytest.mark.parametrize("duty", ledger.DUTIES)
def test_no_duty_may_get_around_it(database, statement, duty):
    with psycopg.connect(database.duty(duty)) as connection:
        attempt(connection, statement)


OWN = {
    "ingest": {
        *("drops", "entries", "runs", "shards", "run_entries", "images", "outcomes", "batches", "predictions"),
        *("prediction_failures", "validation_results", "closings", "drift_reports", "replays"),
    },
    "labels": {
        *("label_files", "label_rejections", "label_waits", "label_wait_ends", "labels"),
        *("audit_samples", "audit_images"),
    },
    "people": {"labels", "label_claims"},
    "training": {"model_versions", "model_lineage", "model_parity", "datasets", "dataset_images", "trainings"},
    "gate": {"gates", "gate_plans", "gate_results", "champion_checks"},
    "promotion": set(),
    "serving": {"served_predictions", "served_feedback", "served_refused_lines", "serving_spools", "offered_bundles"},
}


@pytest.mark.parametrize("duty", ledger.DUTIES)
def test_each_duty_inserts_what_is_its_own_and_nothing_else(database, duty):
    """Among them no approval and no champion: those come by functions, which one duty alone may call."""
    with psycopg.connect(database.owner) as connection:
        query = """
            SELECT relname, has_any_column_privilege(%(role)s, oid, 'INSERT'),
                   has_table_privilege(%(role)s, oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
            FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"""
        rows = connection.execute(query, {"role": f"strandline_{duty}"}).fetchall()
        functions = {
            "install_first_champion(text, text)": "promotion",
            "promote(text, text)": "promotion",
            "start_rollout(text, text, double precision, text, text)": "promotion",
            "step_rollout(text, integer, double precision, text, text)": "promotion",
            "end_rollout(text, text, text, text)": "promotion",
            "answer_rollout(text, text, text, text)": "promotion",
            "add_rollout_step(rollout_steps, text, double precision, text, text)": None,
            "audit()": None,
            "discard(text, text, text, jsonb, bigint[])": "people",
            "create_consumer(text, text, double precision, text, text)": "people",
            "revoke_consumer(text, text)": "people",
            "label_feedback(interval)": "serving",
        }
        may = [
            connection.execute("SELECT has_function_privilege(%s, %s, 'EXECUTE')", [f"strandline_{duty}", name])
            for name in functions
        ]
        called = [one.fetchone() == (True,) for one in may]
    assert {name for name, inserts, _ in rows if inserts} == OWN[duty]
    assert not [name for name, _, changes in rows if changes]
    assert called == [duty == whose for whose in functions.values()]


def test_a_url_that_names_a_user_is_refused_with_what_to_do(database):
    url = database.duty("ingest")
    with pytest.raises(ledger.Unreachable, match="leave user and password out") as raised, ledger.connect("gate", url):
        pass
    assert PASSWORD not in str(raised.value).split()


def test_a_host_takes_only_the_roles_whose_passwords_it_holds(database, tmp_path, monkeypatch):
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:strandline_ingest:{PASSWORD}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    url = database.address.partition("?")[0]
    with ledger.connect("ingest", url) as connection:
        assert connection.execute("SELECT current_user AS me").fetchone() == {"me": "strandline_ingest"}
    with pytest.raises(ledger.Unreachable, match="PGPASSFILE"), ledger.connect("promotion", url):
        pass


def test_the_analyst_reads_views_and_nothing_else(database):
    views = fetch_all(
        database.owner, "SELECT table_name FROM information_schema.views WHERE table_schema = 'reporting'"
    )
    assert views
    for (view,) in views:
        fetch_all(database.analyst, f"SELECT * FROM reporting.{view}")
    fetch_all(database.analyst, "SELECT * FROM category_results")
    with psycopg.connect(database.analyst) as connection:
        for table in (*FACTS, "champions", "run_images"):
            attempt(connection, f"SELECT * FROM {table}")
        attempt(connection, "CREATE TEMPORARY TABLE mine (id int)")
        attempt(connection, "SELECT install_first_champion('', '')")


def test_strangers_may_not_connect(database):
    ledger.provision(database.superuser, {"stranger": PASSWORD}, database=database.name)
    with pytest.raises(psycopg.OperationalError, match="permission denied"), psycopg.connect(database.url("stranger")):
        pass


def test_only_the_first_champion_is_installed_without_a_gate(database):
    first = seeding.register("first")
    second = seeding.register("second")
    with ledger.connect("ingest") as connection:
        assert ledger.fetch(connection, "select_champion")[0]["version"] == first
    with ledger.connect("promotion") as connection:
        again = ledger.fetch(connection, "install_first_champion", {"version": second, "by": "me"})
    assert again == [{"installed": False}]
    assert fetch_all(database.duty("ingest"), "SELECT version, promoted_by FROM champions") == [(first, "tester")]


# What people read


def test_category_results_has_one_row_a_file(database):
    files = [File("cat.jpg"), File("copy.jpg", content="cat.jpg"), refused("torn.jpg"), rejected("notes.txt")]
    run = Run("run 1", seeding.register(), files)
    predictions.load(run.run_id, run.ready())
    rows = fetch_all(database.analyst, "SELECT * FROM category_results ORDER BY fname")
    label, confidence = fetch_all(database.duty("ingest"), "SELECT label, confidence FROM predictions")[0]
    folder = f"{HOUR:%Y-%m-%dT%H}/cat"
    assert rows == [
        (f"{folder}/cat.jpg", "cat", label, confidence),
        (f"{folder}/copy.jpg", "cat", label, confidence),
        (f"{folder}/notes.txt", "cat", None, None),
        (f"{folder}/torn.jpg", "cat", None, None),
    ]


def test_category_results_shows_the_newest_version_and_the_champions_word(database):
    run = Run("run 1", seeding.register(), [File("cat.jpg", content="old")])
    predictions.load(run.run_id, run.ready())
    with ledger.connect("ingest") as connection:
        newer = [e._replace(version="100-2") for e in run.entries()]
        ledger.record_listing(connection, run.row(run_id="run 2"), newer)
    assert fetch_all(database.analyst, "SELECT prediction FROM category_results") == [(None,)]

    newest = Run("run 2", run.version, [File("cat.jpg", content="new")])
    newest.write_outcomes()
    predictions.load("run 2", newest.classify())
    other = newest.of("run 3", version=seeding.register("second"))
    with ledger.connect("ingest") as connection:
        ledger.record_listing(connection, other.row(), newer)
    other.write_outcomes()
    predictions.load("run 3", other.classify(shift=0.2))
    by_champion = fetch_all(database.duty("ingest"), "SELECT label, confidence FROM predictions WHERE run_id = 'run 2'")
    assert fetch_all(database.analyst, "SELECT prediction, confidence FROM category_results") == by_champion


def test_reports_can_be_read_by_source(database):
    sources = [File("cat.jpg", source="shop1"), File("copy.jpg", content="cat.jpg", source="shop2")]
    sources += [refused("torn.jpg", source="shop2"), vanished("gone.jpg", source="shop2"), rejected("notes.txt")]
    run = Run("run 1", seeding.register(), sources)
    run.record()
    numbers = "SELECT source, listed, ingested, duplicates, quarantined, rejected, vanished, open"
    balance = f"{numbers} FROM reporting.run_sources ORDER BY source"
    assert fetch_all(database.analyst, balance) == [
        ("", 1, 0, 0, 0, 1, 0, 0),
        ("shop1", 1, 0, 0, 0, 0, 0, 1),
        ("shop2", 3, 0, 0, 0, 0, 0, 3),
    ]
    run.write_outcomes()
    predictions.load(run.run_id, run.classify())
    ledger.close_run(run.run_id)
    assert fetch_all(database.analyst, balance) == [
        ("", 1, 0, 0, 0, 1, 0, 0),
        ("shop1", 1, 1, 0, 0, 0, 0, 0),
        ("shop2", 3, 0, 1, 1, 0, 1, 0),
    ]
    assert fetch_all(database.analyst, "SELECT source, fname FROM reporting.predictions") == [
        ("shop1", f"shop1/{HOUR:%Y-%m-%dT%H}/cat/cat.jpg")
    ]
    refusals = "SELECT source, reason FROM reporting.quarantine ORDER BY 2"
    assert fetch_all(database.analyst, refusals) == [("", "NOT_IMAGE"), ("shop2", "TRUNCATED"), ("shop2", "VANISHED")]
    assert fetch_all(database.analyst, "SELECT source, labelled FROM reporting.accuracy") == [("shop1", 1)]
    assert fetch_all(database.analyst, "SELECT source, class FROM reporting.class_accuracy") == [("shop1", "cat")]
    labelling = "SELECT source, period_start, images, from_path FROM reporting.labelling"
    assert fetch_all(database.analyst, labelling) == [("shop1", HOUR, 1, 1)]


def test_reports_account_for_a_run(database):
    files = [File("cat.jpg"), refused("torn.jpg"), rejected("notes.txt")]
    run = Run("run 1", seeding.register(), files)
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)
    [row] = fetch_all(
        database.analyst, "SELECT ingested, quarantined, rejected, classified, classify_seconds FROM reporting.runs"
    )
    assert row == (1, 1, 1, 1, 0.5)
    assert fetch_all(database.analyst, "SELECT reason, decoded FROM reporting.quarantine ORDER BY 1") == [
        ("NOT_IMAGE", False),
        ("TRUNCATED", False),
    ]
    [batch] = fetch_all(
        database.analyst, "SELECT images, startup, startup_share, images_per_second FROM reporting.batches"
    )
    assert batch == (1, pytest.approx(0.5), pytest.approx(0.5), 2)
    [(fname, label, correct)] = fetch_all(database.analyst, "SELECT fname, label, correct FROM reporting.predictions")
    assert fname.endswith("cat.jpg")
    assert correct == (label == "cat")


# Connections and migrations


def test_an_unreachable_ledger_says_what_to_do(monkeypatch):
    url = f"postgresql://127.0.0.1:{free_port()}/strandline?password=secret"
    with pytest.raises(ledger.Unreachable, match="make up") as raised, ledger.connect("ingest", url):
        pass
    assert "secret" not in str(raised.value)
    monkeypatch.delenv("STRANDLINE_DATABASE_URL", raising=False)
    settings.get.cache_clear()
    with pytest.raises(ledger.Unreachable, match="STRANDLINE_DATABASE_URL"), ledger.connect("ingest"):
        pass


def test_an_error_rolls_everything_back(database):
    rows = [model_version("a"), model_version("b") | {"classes": []}]
    with pytest.raises(psycopg.errors.CheckViolation), ledger.connect("training") as connection:
        assert [ledger.execute(connection, "insert_model_version", row) for row in rows]
    assert fetch_all(database.duty("ingest"), "SELECT * FROM model_versions") == []


def model_version(name):
    row = {"version": seeding.digest(name), "name": name, "network": "n", "classes": ["cat"], "bundle": "b"}
    return row | {"metrics": None, "registered_by": "me"}


@pytest.fixture
def checkout(tmp_path):
    """A folder of SQL as a checkout has it, to be changed."""
    return shutil.copytree(ledger.SQL, tmp_path / "sql")


def names(url):
    return fetch_all(url, "SELECT number, name FROM schema_migrations ORDER BY number")


def add_migration(checkout, name, text):
    (checkout / "migrations" / name).write_text(text)


def next_number():
    return len(list((ledger.SQL / "migrations").glob("*.sql"))) + 1


def test_migrations_are_applied_once_and_recorded(empty_database, checkout):
    applied = ledger.migrate(empty_database.owner, folder=checkout)
    assert applied == sorted(path.name for path in (ledger.SQL / "migrations").glob("*.sql"))
    assert names(empty_database.owner) == list(enumerate(applied, start=1))
    assert ledger.migrate(empty_database.owner, folder=checkout) == []
    new = f"{next_number():04}_more.sql"
    add_migration(checkout, new, "CREATE TABLE more (id int); INSERT INTO more VALUES (1);")
    assert ledger.migrate(empty_database.owner, folder=checkout) == [new]
    assert fetch_all(empty_database.duty("ingest"), "SELECT id FROM more") == [(1,)]  # grants are given again


def test_a_failing_migration_leaves_nothing_of_itself(empty_database, checkout):
    add_migration(checkout, f"{next_number():04}_bad.sql", "CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        ledger.migrate(empty_database.owner, folder=checkout)
    assert len(names(empty_database.owner)) == next_number() - 1
    assert fetch_all(empty_database.owner, "SELECT to_regclass('half')") == [(None,)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files[0].write_text("SELECT 1"), "changed after it was applied"),
        (lambda files: files[-1].rename(files[-1].with_stem(f"{len(files):04}_other")), "use a newer checkout"),
        (lambda files: [path.unlink() for path in files], "use a newer checkout"),
        (lambda files: files[0].with_stem("0099_later").write_text("SELECT 1"), "numbered without gaps"),
        (lambda files: files[0].rename(files[0].with_stem("0001_other")), "of an older schema, begun with 0001_"),
    ],
    ids=["changed", "renamed", "missing", "gap", "another beginning"],
)
def test_a_checkout_that_does_not_fit_the_database_is_refused(empty_database, checkout, change, says):
    ledger.migrate(empty_database.owner, folder=checkout)
    before = names(empty_database.owner)
    change(sorted((checkout / "migrations").iterdir()))
    with pytest.raises(ledger.MigrationError, match=says):
        ledger.migrate(empty_database.owner, folder=checkout)
    assert names(empty_database.owner) == before


def test_many_may_migrate_at_once(empty_database):
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(ledger.migrate(empty_database.owner))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(applied) == 4
    once = sorted(path.name for path in (ledger.SQL / "migrations").glob("*.sql"))
    assert sorted(name for names_of_one in applied for name in names_of_one) == once
    assert [name for _, name in names(empty_database.owner)] == once


def test_provisioning_again_changes_passwords_only(postgres_port):
    superuser = Database(postgres_port, "postgres").superuser
    ledger.provision(superuser, {"someone": "old"}, database="theirs", owner="someone")
    ledger.provision(superuser, {"someone": "it's \\new"}, database="theirs", owner="someone")
    assert fetch_all(postgres.url(postgres_port, "someone", "it's \\new", "theirs"), "SELECT 1") == [(1,)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        fetch_all(postgres.url(postgres_port, "someone", "old", "theirs"), "SELECT 1")


def test_a_database_is_open_to_those_only_who_were_granted_something(postgres_port):
    superuser = Database(postgres_port, "postgres").superuser
    ledger.provision(superuser, {"owner of it": "a", "another": "b"}, database="closed", owner="owner of it")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        fetch_all(postgres.url(postgres_port, "another", "b", "closed"), "SELECT 1")


def test_waits_end(database):
    with ledger.connect("ingest") as connection:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"SHOW {name}").fetchone() == {name: "15min"}
        assert connection.execute("SELECT now()").fetchone()["now"].utcoffset() == datetime.timedelta(0)


def test_the_page_names_every_table_view_and_invariant(database):
    page = (settings.REPOSITORY / "docs" / "ledger.md").read_text()
    tables = fetch_all(
        database.owner, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    views = fetch_all(database.owner, "SELECT 'reporting.' || viewname FROM pg_views WHERE schemaname = 'reporting'")
    invariants = [(path.stem,) for path in ledger.invariant_files()]
    expected = {name for (name,) in (*tables, *views, *invariants)} - {"schema_migrations"}
    assert {name for name in expected if f"`{name}`" not in page} == set()
