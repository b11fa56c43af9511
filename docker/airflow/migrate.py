"""Bring databases, users and the first champion to where this image wants them; then everything else may start.

Run once by each `docker compose up`, and by the cluster's job: doing it again changes nothing that is right already.
Needs the settings of the tasks, and:

    STRANDLINE_SUPERUSER_URL   a Postgres superuser's URL; without it, roles and databases have to be there
    STRANDLINE_OWNER_URL       the ledger, as role strandline_owner
    PGPASSFILE                 with the passwords of strandline_training and strandline_promotion
    STRANDLINE_PASSWORD_<X>    of the database roles OWNER, INGEST, LABELS, PEOPLE, TRAINING, GATE, PROMOTION, SERVING,
                               ANALYST, AIRFLOW and CELERY, when there is a superuser
    STRANDLINE_PASSWORD_<X>    of Airflow's users VIEWER, USER, OP and ADMIN, whose roles are named like them

URLs and passwords come from the environment, or from a JSON file that STRANDLINE_SECRETS names.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from strandline import ledger, settings
from strandline.models import registry

USERS = ("viewer", "user", "op", "admin")
POOL = "classifier"
RESULTS = "celery"  # database of what Celery's workers report


def main() -> None:
    if superuser := _secret("STRANDLINE_SUPERUSER_URL"):
        ledger.provision(superuser, {role: _password(role.removeprefix("strandline_")) for role in ledger.ROLES})
        ledger.provision(superuser, {"airflow": _password("airflow")}, database="airflow", owner="airflow")
        ledger.provision(superuser, {"celery": _password("celery")}, database=RESULTS, owner="airflow")
    _make_results()
    for migration in ledger.migrate(_needed("STRANDLINE_OWNER_URL"), approvers=settings.get().promotion.approver_ids):
        print(f"Ledger: {migration}", flush=True)
    for line in registry.install_bundles(settings.REPOSITORY / "models", "migrate"):
        print(line, flush=True)
    _airflow("db", "migrate")
    _make_users()
    _airflow("pools", "set", POOL, str(settings.get().vision.max_parallel_tasks), "vision tasks that may run at once")


def _make_users() -> None:
    """Of Airflow's UI and API. The password of one that exists stays what its owner has made of it."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        builder.sm.sync_roles()
        for name in USERS:
            if builder.sm.find_user(name) is None:
                role = builder.sm.find_role(name.capitalize())
                added = builder.sm.add_user(
                    name, name.capitalize(), "Strandline", f"{name}@localhost", role, _password(name)
                )
                if not added:
                    raise SystemExit(f"Airflow did not make the user {name}: see the lines above")
                print(f"User {name}", flush=True)
        for name, number in settings.get().promotion.approver_ids.items():
            user = builder.sm.find_user(name)
            if user is None or str(user.id) != number:
                found = f"has the id {user.id}" if user else "is no user of Airflow"
                raise SystemExit(f"STRANDLINE_APPROVERS says {name}={number}, but {name} {found}: fix it in .env")


def _make_results() -> None:
    """The tables of Celery's results: workers write them, and own them not."""
    import sqlalchemy
    from airflow.configuration import conf
    from celery.backends.database.models import ResultModelBase

    url = sqlalchemy.make_url(conf.get_mandatory_value("database", "sql_alchemy_conn")).set(database=RESULTS)
    engine = sqlalchemy.create_engine(url)
    ResultModelBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql((ledger.SQL / "provision" / "own_results.sql").read_text())
    engine.dispose()


def _password(name: str) -> str:
    return _needed(f"STRANDLINE_PASSWORD_{name.upper()}")


def _needed(name: str) -> str:
    value = _secret(name)
    if not value:
        raise SystemExit(f"{name} is not set: `make secrets` writes it")
    return value


def _secret(name: str) -> str | None:
    return os.environ.get(name) or _file_of_secrets().get(name)


@functools.cache
def _file_of_secrets() -> dict[str, str]:
    path = os.environ.get("STRANDLINE_SECRETS")
    found: dict[str, str] = json.loads(Path(path).read_bytes()) if path else {}
    return found


def _airflow(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "airflow", *arguments], check=True)


if __name__ == "__main__":
    main()
