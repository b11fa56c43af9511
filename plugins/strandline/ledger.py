"""The ledger, and the only door to it: every statement is a file under `sql/`, every fact is inserted once."""

import contextlib
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from strandline import settings
from strandline.errors import PermanentError

SQL = settings.REPOSITORY / "sql"
PROVISION = SQL / "provision"
# A database role each, `strandline_<duty>`, that may insert what is its own, and read all: `sql/grants.sql`.
Duty = Literal["ingest", "labels", "people", "training", "gate", "promotion", "serving"]
DUTIES: tuple[Duty, ...] = get_args(Duty)
OWNER, ANALYST = "strandline_owner", "strandline_analyst"
ROLES = (OWNER, *(f"strandline_{duty}" for duty in DUTIES), ANALYST)
BROKEN_ROWS = 20  # shown of an invariant that does not hold
STREAMED_ROWS = 4096  # fetched at a time

# Every wait ends: for the server, for a statement, and for a peer that has gone without a word.
CONNECTION = {
    "application_name": "strandline",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "options": " ".join(
        f"-c {name}={value}"
        for name, value in {
            "statement_timeout": "15min",
            "idle_in_transaction_session_timeout": "15min",
            "timezone": "UTC",
            "work_mem": "64MB",
            "random_page_cost": "1.1",  # no disk heads any more: 60,000 look-ups beat reading the whole history
            "temp_buffers": "64MB",
            "default_statistics_target": "10",  # for the temporary tables of a load, analyzed each time
            "jit": "off",
        }.items()
    ),
}

# Of roles: what an analyst opens is not missing to the tasks, nor what they open to Airflow. The defaults of an
# analyst's session are no bounds, since Postgres lets everybody set their own.
CONNECTION_LIMITS = {ANALYST: 20, **{f"strandline_{duty}": 30 for duty in DUTIES}}
DEFAULTS = {
    ANALYST: {
        "statement_timeout": "15min",
        "idle_in_transaction_session_timeout": "1min",
        "idle_session_timeout": "1h",
    }
}

Connection = psycopg.Connection[DictRow]


class LedgerError(Exception):
    """
    LedgerError
    ├── Unreachable         the database does not answer, or refuses us
    ├── MigrationError      the database and the migrations of this checkout do not fit together
    │   └── OlderSchema     it was made by other migrations from the first on: no way leads to those of today
    ├── PeriodChanged       its drops are of another length than STRANDLINE_PERIOD says
    └── InvariantViolation  a run cannot be closed: an invariant does not hold
    """


class Unreachable(LedgerError):
    pass


class MigrationError(LedgerError):
    pass


class OlderSchema(MigrationError):
    pass


class PeriodChanged(LedgerError, PermanentError):
    pass


class InvariantViolation(LedgerError, PermanentError):
    pass


class ListedEntry(NamedTuple):
    """One file of a listing. In a shard at `ordinal`, or else settled by the listing alone: `state` and `reason`."""

    drop_at: datetime
    name: bytes
    version: str
    display_name: str
    path_label: str | None
    size: int
    modified_at: datetime
    shard_id: str | None = None
    ordinal: int | None = None
    state: str | None = None
    reason: str | None = None
    detail: str | None = None
    source: str = ""


@contextlib.contextmanager
def connect(duty: Duty | Literal["owner", "analyst"], url: str | None = None) -> Iterator[Connection]:
    """One transaction on the ledger: committed at the end, rolled back by an exception.

    Args:
        duty: as whose role, `strandline_<duty>`. This host needs its password, which libpq reads from its passfile.
        url: of the database, without a user; the setting `database_url` by default.

    Raises:
        Unreachable: no answer, or no such role, password or database.
    """
    with _open(url or settings.get().database_url, user=f"strandline_{duty}") as connection:
        yield connection


def execute(connection: Connection, query: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Run `sql/queries/<package>/<query>.sql`; returns the number of rows it touched."""
    return connection.execute(_query(query), parameters or {}).rowcount


def fetch(connection: Connection, query: str, parameters: Mapping[str, Any] | None = None) -> list[DictRow]:
    """The rows of `sql/queries/<package>/<query>.sql`."""
    return connection.execute(_query(query), parameters or {}).fetchall()


def stream(connection: Connection, query: str, parameters: Mapping[str, Any] | None = None) -> Iterator[DictRow]:
    """The rows of `sql/queries/<package>/<query>.sql`, a few thousand at a time: for more than memory should hold."""
    with connection.cursor(name=query) as cursor:
        cursor.itersize = STREAMED_ROWS
        yield from cursor.execute(_query(query), parameters or {}, binary=True)


@functools.cache
def query_files(folder: Path = SQL / "queries") -> dict[str, Path]:
    """The file of each query by its name, which says nothing of the package's folder that it lies in.

    Raises:
        LedgerError: two packages have a query of the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*/*.sql")):
        if path.stem in found:
            raise LedgerError(f"{path} and {found[path.stem]} have the same name: rename the one or the other")
        found[path.stem] = path
    return found


def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """COPY rows into a table through the driver's typed row writer, whatever bytes are in them; returns how many."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table), names)
    types = fetch(connection, "select_column_types", {"table": table, "columns": list(columns)})
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.set_types([row["type"] for row in types])
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount


def check_period(connection: Connection) -> None:
    """A ledger keeps to one period: windows, labels and reports are of drops of one length.

    Raises:
        PeriodChanged: STRANDLINE_PERIOD is not that of the drops which are there.
    """
    period = settings.get().ingest.period
    names = {length: name for name, length in settings.PERIODS.items()}
    for row in fetch(connection, "select_period"):
        if row["length"] != settings.PERIODS[period]:
            known = names.get(row["length"], str(row["length"]))
            raise PeriodChanged(
                f"STRANDLINE_PERIOD is {period}, and the drops of this ledger are of another length, {known}: set"
                f" STRANDLINE_PERIOD={known} again, or begin a new ledger"
            )


def stage(connection: Connection, query: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Fill a temporary table as `copy_rows` does, and let Postgres count what is in it; returns how many rows that are.

    Args:
        query: `create_<table>`, which makes the table.
    """
    table = query.removeprefix("create_")
    execute(connection, query)
    count = copy_rows(connection, table, columns, rows)
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
    return count


def record_listing(connection: Connection, run: Mapping[str, Any], entries: Iterable[ListedEntry]) -> DictRow:
    """Freeze what a run takes up: its row, its entries and shards, and the outcomes that the listing settles.

    The first listing of a run stays; a later one for the same run id is not even read. An entry that is settled
    already keeps its outcome.

    Args:
        run: run_id, kind, interval_start, interval_end, model_version, files_seen, known, deferred, listed; perhaps
            `future`, how many of those deferred lie in periods that have not begun.
        entries: as many as `listed` says, each file version once.

    Returns:
        The run's row as the ledger has it.

    Raises:
        LedgerError: `listed` is not the number of entries.
        PeriodChanged: the drops of this ledger are of another length.
        psycopg.IntegrityError: a file version is listed twice, or a drop is not a full period.
    """
    execute(connection, "lock_ledger")
    if recorded := fetch(connection, "select_run", run):
        return recorded[0]
    check_period(connection)
    if stage(connection, "create_staged_entries", ListedEntry._fields, entries) != run["listed"]:
        raise LedgerError(f"run {run['run_id']} says that it lists {run['listed']} entries, and lists another number")
    execute(connection, "insert_drops", {"length": settings.get().ingest.period_length})
    execute(connection, "insert_entries")
    recorded = fetch(connection, "insert_run", {"future": 0, **run})
    execute(connection, "insert_shards")
    if execute(connection, "insert_run_entries", run) != run["listed"]:
        raise LedgerError(f"run {run['run_id']} lists a file version that the ledger does not find again")
    execute(connection, "insert_listed_outcomes", run)
    return recorded[0]


def close_run(run_id: str) -> dict[str, int]:
    """Close the books of a run: count its outcomes, and prove every invariant for it. Closing again changes nothing.

    Returns:
        listed, ingested, duplicates, quarantined, rejected, vanished, classified and failed.

    Raises:
        InvariantViolation: an invariant does not hold; the run stays open.
        LedgerError: there is no such run.
    """
    with connect("ingest") as connection:
        execute(connection, "lock_ledger")
        if not fetch(connection, "select_run", {"run_id": run_id}):
            raise LedgerError(f"the ledger has no run {run_id}: nothing was listed for it")
        execute(connection, "insert_closing", {"run_id": run_id})
        _prove(connection, f"the books of run {run_id} do not close", run_id)
        return dict(fetch(connection, "select_closing", {"run_id": run_id})[0])


class Head(NamedTuple):
    """The last step of the audit log: whoever notes its hash elsewhere can tell later that none before it is gone."""

    steps: int
    hash: str


def audit_head() -> Head:
    """The last step of the audit log; no steps and an empty hash if there is none."""
    with connect("ingest") as connection:
        (row,) = fetch(connection, "select_audit_head")
    return Head(**row)


def verify(noted: str | None = None) -> Head:
    """Prove every invariant of the whole ledger, the chain of the audit log among them; returns its last step.

    Args:
        noted: a hash that was returned before, and has to be in the log still.

    Raises:
        InvariantViolation: an invariant has rows, or the noted hash is gone.
    """
    prove()
    with connect("ingest") as connection:
        if noted and not fetch(connection, "select_audit_step", {"hash": noted}):
            raise InvariantViolation(
                f"step {noted} is not in the audit log: its end was cut off, or another ledger restored"
            )
    return audit_head()


def prove() -> int:
    """Prove every invariant of the whole ledger; returns how many there are.

    Raises:
        InvariantViolation: one has rows; the message names it and them.
    """
    with connect("ingest") as connection:
        return _prove(connection, "the ledger is not as it must be")


def _prove(connection: Connection, complaint: str, run_id: str | None = None) -> int:
    found = check_invariants(connection, run_id)
    if broken := {name: rows for name, rows in found.items() if rows}:
        raise InvariantViolation(_describe(complaint, broken))
    return len(found)


def check_invariants(connection: Connection, run_id: str | None = None) -> dict[str, list[DictRow]]:
    """Every invariant by name, with the first rows that break it: none, if all is well.

    Args:
        run_id: look at this run only, and at what is of no run, but for what was answered over HTTP; at the whole
            ledger by default.
    """
    waited_for = [path for path in invariant_files() if run_id is None or path.parent.name != "serving"]
    return {path.stem: _broken(connection, path, run_id) for path in waited_for}


def invariant_files(folder: Path = SQL / "invariants") -> list[Path]:
    """By their numbers: what is proven of a run (`run/`); what is of none and always proven whole (`ledger/`); and what
    grows with every answer over HTTP (`serving/`), for which no run waits.
    """
    return sorted(folder.glob("*/*.sql"), key=lambda path: path.name)


def provision(
    superuser_url: str, passwords: Mapping[str, str], database: str = "strandline", owner: str = OWNER
) -> None:
    """Make roles and a database if they are missing, and set passwords, limits and defaults of the roles. Who is
    granted nothing in the database cannot open it.

    Args:
        passwords: of each role to make; a ledger needs all of `ROLES`.
        owner: of the database.

    Raises:
        Unreachable: no answer from the server.
    """
    with _open(superuser_url, autocommit=True) as connection:
        for role, password in passwords.items():
            verb = "alter" if fetch(connection, "select_role", {"role": role}) else "create"
            values = {"role": sql.Identifier(role), "password": sql.Literal(password)}
            connection.execute(_template(PROVISION / f"{verb}_role.sql").format(**values))
            if limit := CONNECTION_LIMITS.get(role):
                number = sql.Literal(limit)
                connection.execute(_template(PROVISION / "limit_role.sql").format(role=values["role"], limit=number))
            for name, value in DEFAULTS.get(role, {}).items():
                default = {"role": values["role"], "name": sql.Identifier(name), "value": sql.Literal(value)}
                connection.execute(_template(PROVISION / "set_default.sql").format(**default))
        names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner)}
        if not fetch(connection, "select_database", {"database": database}):
            connection.execute(_template(PROVISION / "create_database.sql").format(**names))
        connection.execute(_template(PROVISION / "close_database.sql").format(**names))


def migrate(owner_url: str, folder: Path = SQL, approvers: Iterable[str] | None = None) -> list[str]:
    """Bring the database to this checkout's schema: new migrations in order, then all views and grants again.

    Each migration commits together with the record of it. Several at once wait for each other.

    Args:
        approvers: who may approve and roll back from now on; who may already by default.

    Returns:
        The names of the migrations that this call applied.

    Raises:
        MigrationError: an applied migration was changed or is missing here, or numbers are not 1, 2, 3...
        OlderSchema: the database has another first migration.
        Unreachable: no answer from the server.
    """
    files = _migrations(folder)
    with _open(owner_url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        # Another one has made it at the same time; which catalogue says so is chance.
        errors = psycopg.errors
        with contextlib.suppress(errors.UniqueViolation, errors.DuplicateObject, errors.DuplicateTable):
            execute(connection, "create_schema_migrations")
        new: list[str] = []
        while not _migrated(connection, folder, files, new):
            pass
        if approvers is not None:
            with connection.transaction():
                names = {"names": sorted(set(approvers))}
                execute(connection, "delete_other_approvers", names)
                execute(connection, "insert_approvers", names)
        return new


def _migrated(connection: Connection, folder: Path, files: Sequence[Path], new: list[str]) -> bool:
    """Apply the next migration, whose name joins `new`; or, after the last one, views and grants, and say so."""
    with connection.transaction():
        execute(connection, "lock_migrations")
        applied = fetch(connection, "select_schema_migrations")
        _check_applied(applied, files)
        if len(applied) == len(files):
            for path in (*sorted((folder / "views").glob("*.sql")), folder / "grants.sql"):
                connection.execute(path.read_bytes())
            return True
        path = files[len(applied)]
        connection.execute(path.read_bytes())
        record = {"number": len(applied) + 1, "name": path.name, "sha256": _sha256(path)}
        execute(connection, "insert_schema_migration", record)
    new.append(path.name)
    return False


@contextlib.contextmanager
def _open(url: str, user: str | None = None, autocommit: bool = False) -> Iterator[Connection]:
    if not url:
        raise Unreachable("No ledger is set: start one with `make up`, or set STRANDLINE_DATABASE_URL")
    parts = conninfo_to_dict(url)
    if user and "user" in parts:
        raise Unreachable(
            f"STRANDLINE_DATABASE_URL names the user {parts['user']}, and each task takes the role of its duty: leave"
            " user and password out of it, and put a line for each role into the file that PGPASSFILE names"
        )
    who: dict[str, Any] = {"user": user} if user else {}
    try:
        opened = psycopg.connect(url, row_factory=dict_row, autocommit=autocommit, **who, **cast(Any, CONNECTION))
    except psycopg.OperationalError as error:
        where = f"{parts.get('host')}:{parts.get('port', 5432)}/{parts.get('dbname')} as {user or parts.get('user')}"
        raise Unreachable(
            f"The ledger at {where} cannot be used ({error}): start it with `make up`, or fix STRANDLINE_DATABASE_URL;"
            " a password that is missing belongs into the file that PGPASSFILE names"
        ) from error
    with opened as connection:
        yield connection


def _query(name: str) -> bytes:
    try:
        return _text(query_files()[name])
    except KeyError:
        raise LedgerError(f"no folder of {SQL / 'queries'} has the file {name}.sql") from None


@functools.cache
def _text(path: Path) -> bytes:
    return path.read_bytes()


def _template(path: Path) -> sql.SQL:
    return sql.SQL(_text(path).decode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _broken(connection: Connection, path: Path, run_id: str | None) -> list[DictRow]:
    """The first rows of an invariant, which is a whole statement; Postgres pushes the run into it.

    Materialized, or the planner would look for the quickest way to the first few rows, of which there are none.
    """
    statement = sql.SQL(
        "WITH broken AS MATERIALIZED (SELECT * FROM ({}) AS invariant {}) SELECT * FROM broken LIMIT {}"
    )
    whole = run_id is None or path.parent.name != "run"
    condition = sql.SQL("") if whole else sql.SQL("WHERE run_id = {}").format(sql.Literal(run_id))
    invariant = _template(path)
    return connection.execute(statement.format(invariant, condition, sql.Literal(BROKEN_ROWS))).fetchall()


def _describe(complaint: str, broken: Mapping[str, list[DictRow]]) -> str:
    lines = [f"{complaint}: {', '.join(broken)}"]
    for name, rows in broken.items():
        lines += [f"{name} (the first {len(rows)} rows; none is allowed):"]
        lines += [f"  {', '.join(f'{column}={value}' for column, value in row.items())}" for row in rows[:3]]
    return "\n".join(lines)


def _migrations(folder: Path) -> list[Path]:
    files = sorted((folder / "migrations").glob("*.sql"))
    for number, path in enumerate(files, start=1):
        if not re.fullmatch(rf"{number:04}_[a-z0-9_]+\.sql", path.name):
            raise MigrationError(f"{path} should be number {number:04}: migrations are numbered without gaps")
    return files


def _check_applied(applied: Sequence[DictRow], files: Sequence[Path]) -> None:
    if applied and files and applied[0]["name"] != files[0].name:
        raise OlderSchema(
            f"the ledger is of an older schema, begun with {applied[0]['name']}, that cannot be brought forward: go on"
            " with the checkout that made it, or set its database and its store aside and begin with empty ones"
        )
    for row in applied:
        path = files[row["number"] - 1] if row["number"] <= len(files) else None
        if path is None or path.name != row["name"]:
            raise MigrationError(
                f"the database has migration {row['name']}, which this checkout lacks: use a newer checkout"
            )
        if _sha256(path) != row["sha256"]:
            raise MigrationError(
                f"{path} was changed after it was applied: restore it, and put the change into a new migration"
            )
