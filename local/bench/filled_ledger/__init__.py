"""A ledger of any size, filled by SQL in bulk as months of runs would have: each statement is a file, in order."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from local.bench.bench import say

FOLDER = Path(__file__).parent
LARGE = ["entries", "run_entries", "images", "outcomes", "predictions"]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RUN = 10_000  # entries, on average
SHARD = 2_000
FEWEST_RUNS = 10
KEYS = """
SELECT conrelid::regclass::text AS of_table, conname, pg_get_constraintdef(oid) AS says
FROM pg_constraint
WHERE contype = ANY (%(kinds)s::"char"[])
  AND conname <> 'entries_pkey'  -- by which the trigger of outcomes finds entries
  AND (conrelid = ANY (%(tables)s::regclass[]) OR contype = 'f' AND confrelid = ANY (%(tables)s::regclass[]))
"""
INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS says
FROM pg_index
WHERE indrelid = ANY (%(tables)s::regclass[])
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
"""


def fill(url: str, entries: int) -> None:
    """Fill an empty ledger; half of the entries become predictions, a tenth is refused.

    Args:
        url: of its owner.
        entries: at least a few thousand.

    Raises:
        psycopg.Error: a constraint does not hold: all are proven in the end.
    """
    asked = {"entries": entries, "runs": max(entries // RUN, FEWEST_RUNS), "shard": SHARD, "classes": list(CLASSES)}
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for setting, value in (("work_mem", "256MB"), ("maintenance_work_mem", "1GB"), ("synchronous_commit", "off")):
            connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(setting), value))
        with _without_indexes(connection, LARGE):
            for path in sorted((FOLDER / "large").glob("*.sql")):
                _run(connection, path, asked)
        for path in sorted((FOLDER / "small").glob("*.sql")):
            _run(connection, path, asked)
        connection.execute("VACUUM ANALYZE")


def _run(connection: psycopg.Connection, path: Path, asked: Mapping[str, Any]) -> None:
    started = time.perf_counter()
    connection.execute(path.read_bytes(), asked)
    say(f"  {path.stem}: {time.perf_counter() - started:,.1f} s")


@contextlib.contextmanager
def _without_indexes(connection: psycopg.Connection, tables: Sequence[str]) -> Iterator[None]:
    """Within the block these tables have no keys and no indexes: row by row, they take most of the time. Making them
    again proves them.
    """
    made = []
    for kinds in (["f"], ["p", "u"]):
        for table, name, says in connection.execute(KEYS, {"tables": tables, "kinds": kinds}).fetchall():
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
            made.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {says}")
    for name, says in connection.execute(INDEXES, {"tables": tables}).fetchall():
        connection.execute(f"DROP INDEX {name}".encode())
        made.append(says)
    yield
    for statement in reversed(made):
        started = time.perf_counter()
        connection.execute(statement.encode())
        say(f"  {statement[:100]}: {time.perf_counter() - started:,.1f} s")
