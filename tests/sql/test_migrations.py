"""Each migration meets a filled ledger of the schema before it: what was recorded is still sound afterwards.

`rows/` has what ledgers held: a file `NNNN_name.sql`, named like the migration that was their last.
"""

import shutil
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from psycopg import sql

from strandline import ledger

ROWS = Path(__file__).with_name("rows")


def bring_forward(database: Database, checkout: Path, step: Path) -> None:
    """Bring an empty database to the checkout's schema by way of each schema that there are rows of."""
    (step / "migrations").mkdir(parents=True)
    (step / "grants.sql").write_text("SELECT 1")
    for path in sorted((checkout / "migrations").iterdir()):
        shutil.copy(path, step / "migrations")
        if (held := ROWS / path.name).exists():
            ledger.migrate(database.owner, folder=step)
            with psycopg.connect(database.owner) as owner:
                owner.execute(held.read_bytes())
    ledger.migrate(database.owner, folder=checkout)


def unsound(database: Database) -> list[str]:
    """The invariants that do not hold, and the tables without a row: on those the next migration proves nothing."""
    with ledger.connect("ingest", database.address) as connection:
        broken = [name for name, rows in ledger.check_invariants(connection).items() if rows]
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        for table in connection.execute(query).fetchall():
            name = sql.Identifier(table["tablename"])
            if not connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(name)).fetchall():
                broken.append(table["tablename"])
    return broken


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder of SQL as a checkout has it, to be changed."""
    return shutil.copytree(ledger.SQL, tmp_path / "sql")


def test_a_filled_ledger_is_brought_forward(empty_database, tmp_path):
    bring_forward(empty_database, ledger.SQL, tmp_path / "step")
    assert unsound(empty_database) == []


def test_rows_are_named_like_a_migration():
    assert {path.name for path in ROWS.iterdir()} <= {path.name for path in (ledger.SQL / "migrations").iterdir()}


def plant(checkout: Path, migration: str) -> None:
    number = len(list((checkout / "migrations").iterdir())) + 1
    (checkout / "migrations" / f"{number:04}_planted.sql").write_text(migration)


@pytest.mark.parametrize(
    ("migration", "found"),
    [
        ("ALTER TABLE images ADD COLUMN depth integer NOT NULL DEFAULT 8", []),
        ("DELETE FROM audit_images", ["18_audit_samples_are_whole", "audit_images"]),
        ("CREATE TABLE more (id integer)", ["more"]),
    ],
    ids=["sound", "loses facts", "a table without rows"],
)
def test_what_a_migration_makes_of_a_filled_ledger_is_seen(empty_database, checkout, tmp_path, migration, found):
    plant(checkout, migration)
    bring_forward(empty_database, checkout, tmp_path / "step")
    assert unsound(empty_database) == found


def test_a_migration_that_fits_an_empty_ledger_alone_fails(empty_database, checkout, tmp_path):
    plant(checkout, "ALTER TABLE images ADD COLUMN depth integer NOT NULL")
    with pytest.raises(psycopg.errors.NotNullViolation):
        bring_forward(empty_database, checkout, tmp_path / "step")
