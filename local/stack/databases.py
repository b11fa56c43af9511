"""The two databases of the one-machine stack, the ledger's and Airflow's own, on one Postgres."""

import os
from pathlib import Path
from urllib.parse import quote, urlencode

from local.stack import configuration, postgres
from strandline import ledger
from strandline.settings import Settings

AIRFLOW = "airflow"
DATABASES = dict.fromkeys(ledger.ROLES, "strandline") | {AIRFLOW: "airflow", postgres.SUPERUSER: "postgres"}
PASSFILE = "pgpass"


def start(settings: Settings) -> None:
    """Start Postgres, make what is missing in it, and bring the ledger to this checkout's schema.

    Raises:
        PostgresError: the port is taken, or the server cannot run here.
        LedgerError: the ledger and this checkout's migrations do not fit together.
    """
    start_server(settings)
    provision(settings)
    migrate(settings)


def start_server(settings: Settings, durable: bool = True) -> None:
    """Start Postgres alone, as after a crash.

    Args:
        durable: False trades safety against power loss for speed.

    Raises:
        PostgresError: the port is taken, or the server cannot run here.
    """
    password = _password(settings, postgres.SUPERUSER)
    postgres.start(_folder(settings), settings.local.postgres_port, password, durable)


def provision(settings: Settings) -> None:
    """Make the roles and the databases that are missing, and set the passwords."""
    superuser = url(settings, postgres.SUPERUSER)
    ledger.provision(superuser, {role: _password(settings, role) for role in ledger.ROLES})
    ledger.provision(superuser, {AIRFLOW: _password(settings, AIRFLOW)}, database=DATABASES[AIRFLOW], owner=AIRFLOW)


def migrate(settings: Settings) -> None:
    """Bring the ledger to this checkout's schema.

    Raises:
        LedgerError: the ledger and this checkout's migrations do not fit together.
    """
    try:
        ledger.migrate(url(settings, ledger.OWNER), approvers=settings.promotion.approver_ids)
    except ledger.OlderSchema as error:
        raise ledger.OlderSchema(
            f"the ledger in {_folder(settings)} is of an older schema that cannot be brought forward: go on with the"
            f" checkout that made it; or make down, move that folder and {settings.store} elsewhere, and make up begins"
            " a new ledger"
        ) from error


def has_ledger(settings: Settings) -> bool:
    """Whether the ledger's database holds anything."""
    with ledger.connect("owner", owner_url(settings)) as connection:
        return bool(ledger.fetch(connection, "select_has_tables")[0]["has_tables"])


def dump(settings: Settings, path: Path) -> None:
    """Write one snapshot of the ledger, with who owns what and who may do what in it.

    Raises:
        PostgresError: it cannot be read or written.
    """
    postgres.client("pg_dump", _as_superuser(settings), "--format=custom", f"--file={path}")


def restore(settings: Settings, path: Path) -> None:
    """Read what `dump` wrote into the ledger's database, which is empty: all of it, or nothing.

    Raises:
        PostgresError: it does not fit.
    """
    postgres.client("pg_restore", _as_superuser(settings), "--single-transaction", "--exit-on-error", path)


def stop(settings: Settings) -> None:
    """Stop Postgres; nothing happens if it does not run."""
    postgres.stop(_folder(settings))


def running(settings: Settings) -> bool:
    return postgres.running_port(_folder(settings)) is not None


def alive(settings: Settings) -> bool:
    """Whether Postgres has its process: a look that costs nothing."""
    return process_id(settings) is not None


def process_id(settings: Settings) -> int | None:
    """Of Postgres; None if it does not run."""
    return postgres.process_id(_folder(settings))


def url(settings: Settings, role: str, driver: str = "") -> str:
    """Where the role's database is, with its password; `driver` is SQLAlchemy's, as in `+psycopg2`."""
    found = postgres.url(settings.local.postgres_port, role, _password(settings, role), DATABASES[role])
    return found.replace("postgresql:", f"postgresql{driver}:", 1)


def ledger_url(settings: Settings, database: str = "strandline") -> str:
    """Where the ledger is, without a role: those that its tasks take have their passwords in a file, libpq's own."""
    path = settings.home / PASSFILE
    roles = [*(f"strandline_{duty}" for duty in ledger.DUTIES), ledger.ANALYST]  # as whom pages read
    lines = [f"{postgres.HOST}:*:*:{role}:{_password(settings, role)}\n" for role in roles]
    partial = path.with_name(f"{PASSFILE}.{os.getpid()}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(lines)
    partial.rename(path)
    query = urlencode({"passfile": str(path.absolute())}, quote_via=quote)
    return f"postgresql://{postgres.HOST}:{settings.local.postgres_port}/{quote(database)}?{query}"


def owner_url(settings: Settings) -> str:
    """Where the ledger is, with its owner's password, for `ledger.connect`."""
    password = quote(_password(settings, ledger.OWNER), safe="")
    return f"postgresql://{postgres.HOST}:{settings.local.postgres_port}/{DATABASES[ledger.OWNER]}?password={password}"


def another(settings: Settings, name: str) -> str:
    """An empty ledger beside the one in use; where it is."""
    superuser, owner = (
        postgres.url(settings.local.postgres_port, role, _password(settings, role), database)
        for role, database in ((postgres.SUPERUSER, "postgres"), (ledger.OWNER, name))
    )
    ledger.provision(superuser, {role: _password(settings, role) for role in ledger.ROLES}, database=name)
    ledger.migrate(owner, approvers=settings.promotion.approver_ids)
    return ledger_url(settings, name)


def _as_superuser(settings: Settings) -> str:
    password = _password(settings, postgres.SUPERUSER)
    return postgres.url(settings.local.postgres_port, postgres.SUPERUSER, password, DATABASES[ledger.OWNER])


def _password(settings: Settings, role: str) -> str:
    return configuration.secret(settings, f"postgres_{role}")


def _folder(settings: Settings) -> Path:
    return settings.home / "postgres"
