"""The two databases of the one-machine stack, the ledger's and Airflow's own, on one embedded Postgres."""

from pathlib import Path

from embedded import configuration, postgres
from strandline import ledger
from strandline.settings import Settings

OWNER, APP, ANALYST = ledger.ROLES
AIRFLOW = "airflow"
DATABASES = dict.fromkeys(ledger.ROLES, "strandline") | {AIRFLOW: "airflow", postgres.SUPERUSER: "postgres"}


def start(settings: Settings) -> None:
    """Start Postgres, make what is missing in it, and bring the ledger to this checkout's schema.

    Raises:
        PostgresError: the port is taken, or the server cannot run here.
        LedgerError: the ledger and this checkout's migrations do not fit together.
    """
    postgres.start(_folder(settings), settings.postgres_port, _password(settings, postgres.SUPERUSER))
    superuser = url(settings, postgres.SUPERUSER)
    ledger.provision(superuser, {role: _password(settings, role) for role in ledger.ROLES})
    ledger.provision(superuser, {AIRFLOW: _password(settings, AIRFLOW)}, database=DATABASES[AIRFLOW], owner=AIRFLOW)
    ledger.migrate(url(settings, OWNER))


def stop(settings: Settings) -> None:
    """Stop Postgres; nothing happens where it does not run."""
    postgres.stop(_folder(settings))


def running(settings: Settings) -> bool:
    return postgres.running_port(_folder(settings)) is not None


def url(settings: Settings, role: str, driver: str = "") -> str:
    """Where the role's database is, with its password; `driver` is SQLAlchemy's, as in `+psycopg2`."""
    found = postgres.url(settings.postgres_port, role, _password(settings, role), DATABASES[role])
    return found.replace("postgresql:", f"postgresql{driver}:", 1)


def another(settings: Settings, name: str) -> str:
    """An empty ledger beside the one in use; where it is, for the role of the app."""
    superuser, owner, app = (
        postgres.url(settings.postgres_port, role, _password(settings, role), database)
        for role, database in ((postgres.SUPERUSER, "postgres"), (OWNER, name), (APP, name))
    )
    ledger.provision(superuser, {role: _password(settings, role) for role in ledger.ROLES}, database=name)
    ledger.migrate(owner)
    return app


def _password(settings: Settings, role: str) -> str:
    return configuration.secret(settings, f"postgres_{role}")


def _folder(settings: Settings) -> Path:
    return settings.home / "postgres"
