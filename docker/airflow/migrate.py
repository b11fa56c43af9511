"""Bring databases, users and the first champion to where this image wants them; then everything else may start.

Run once by each `docker compose up`, and by the cluster's job: doing it again changes nothing that is right already.
Needs the settings of the tasks, and:

    STRANDLINE_SUPERUSER_URL   a Postgres superuser's URL; without it, roles and databases have to be there
    STRANDLINE_OWNER_URL       the ledger, as role strandline_owner
    PGPASSFILE                 with the passwords of strandline_training and strandline_promotion
    STRANDLINE_PASSWORD_<X>    of the database roles OWNER, INGEST, LABELS, PEOPLE, TRAINING, GATE, PROMOTION, ANALYST
                               and AIRFLOW, when there is a superuser
    STRANDLINE_PASSWORD_<X>    of Airflow's users VIEWER, USER, OP and ADMIN, whose roles are named like them
"""

import os
import subprocess
import sys

from strandline import ledger, registry, settings

USERS = ("viewer", "user", "op", "admin")
POOL = "classifier"


def main() -> None:
    if superuser := os.environ.get("STRANDLINE_SUPERUSER_URL"):
        ledger.provision(superuser, {role: _password(role.removeprefix("strandline_")) for role in ledger.ROLES})
        ledger.provision(superuser, {"airflow": _password("airflow")}, database="airflow", owner="airflow")
    for migration in ledger.migrate(os.environ["STRANDLINE_OWNER_URL"], settings.get().approver_ids):
        print(f"Ledger: {migration}", flush=True)
    for line in registry.install_bundles(settings.REPOSITORY / "models", "migrate"):
        print(line, flush=True)
    _airflow("db", "migrate")
    _make_users()
    _airflow("pools", "set", POOL, str(settings.get().at_once), "vision tasks that may run at once")


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
        for name, number in settings.get().approver_ids.items():
            user = builder.sm.find_user(name)
            if user is None or str(user.id) != number:
                found = f"has the id {user.id}" if user else "is no user of Airflow"
                raise SystemExit(f"STRANDLINE_APPROVERS says {name}={number}, but {name} {found}: mend it in .env")


def _password(name: str) -> str:
    variable = f"STRANDLINE_PASSWORD_{name.upper()}"
    if not os.environ.get(variable):
        raise SystemExit(f"{variable} is not set: `make secrets` writes .env")
    return os.environ[variable]


def _airflow(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "airflow", *arguments], check=True)


if __name__ == "__main__":
    main()
