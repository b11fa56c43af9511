"""Write what docker-compose.yml reads: `.env`, and a folder of secrets. `python -m local.stack.dotenv`.

Secrets are made once and then kept. `passwords` of the folder has all of them, for people; each other file has what one
service needs, and is mounted into that one alone. `.env` has no secret in it, and every line may be edited.
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from strandline import settings

PATH = settings.REPOSITORY / ".env"
FOLDER = "STRANDLINE_SECRETS_ON_HOST"
WORKER = 50_000  # user of the Airflow image; if root runs compose, containers do not run as root
IMAGE = "STRANDLINE_VISION_IMAGE"
# Which database roles a service may take: libpq's passfile of each.
DUTIES = {
    "worker": ("INGEST", "LABELS", "TRAINING"),
    "governance": ("GATE", "PROMOTION"),
    "migrate": ("TRAINING", "PROMOTION"),
    "api-server": ("ANALYST", "PEOPLE"),
    "serving": ("SERVING",),
}
USERS = ("VIEWER", "USER", "OP", "ADMIN")
DATABASE_ROLES = (
    *("OWNER", "INGEST", "LABELS", "PEOPLE", "TRAINING", "GATE", "PROMOTION", "SERVING", "ANALYST"),
    *("AIRFLOW", "CELERY"),
)

# Who may do what at the broker, in its virtual host `airflow`: configure, write and read queues and exchanges of these
# names. An ordinary worker can give no task to `governance`, which holds what changes the champion.
_CONTROL, _EVENTS = r".*celery\.pidbox", "celeryev.*"
BROKER = {
    "scheduler": ".*",
    "worker": f"^(default|gpu|{_EVENTS}|{_CONTROL})$",
    "governance": f"^(governance|{_EVENTS})$",
    "flower": f"^({_EVENTS}|{_CONTROL})$",
}
BROKER_ADMIN = "strandline"  # of RabbitMQ's own page


def main() -> int:
    made = not PATH.exists()
    values = make(PATH, settings.load())
    print(f"{PATH} is {'made' if made else 'up to date'}. Passwords, admin's of Airflow among them, are in")
    print(Path(values[FOLDER]) / "passwords")
    if not values.get(IMAGE):
        print(f"No vision image is built yet: make images, then make secrets again, for {IMAGE}")
    return 0


def make(path: Path, config: settings.Settings, **changes: str) -> dict[str, str]:
    """Write what is missing in `.env` and in the folder of secrets, and the vision image built last.

    Returns:
        The variables of `.env`, and the passwords, which are not in it.
    """
    values = _fresh(config) | read(path) | _built_image() | changes
    folder, user = Path(values[FOLDER]), int(values["STRANDLINE_UID"])
    _make_folder(folder, os.getuid())
    folder.chmod(0o700)
    passwords = _fresh_passwords() | read(folder / "passwords")
    for name in ("LANDING", "LABELS", "STORE", "SERVING"):
        _make_folder(Path(values[f"STRANDLINE_{name}_ON_HOST"]), user)
    _write(path, "# For docker compose. Every line may be edited.\n" + _lines(values))
    _write(folder / "passwords", "# Made by `make secrets`; keep this file.\n" + _lines(passwords))
    for name, content in _of_services(passwords).items():
        # Postgres and RabbitMQ have users of their own, whose numbers are their images': the folder keeps others out.
        _write(folder / name, content, *((0o444, None) if name in ("postgres", "rabbitmq") else (0o400, user)))
    return values | passwords


def read(path: Path) -> dict[str, str]:
    """The variables of a file; none if there is no file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _fresh(config: settings.Settings) -> dict[str, str]:
    in_folder = isinstance(config.landing, Path)
    return {
        "STRANDLINE_UID": str(os.getuid() or WORKER),
        "STRANDLINE_ENGINE_SOCKET": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix(
            "unix://"
        ),
        "STRANDLINE_CORES": str(config.vision.cores),
        # What is mounted as one, though nothing lands there.
        "STRANDLINE_LANDING_ON_HOST": str(config.landing if in_folder else config.home / "compose" / "landing"),
        **({} if in_folder else {"STRANDLINE_LANDING_BUCKET": str(config.landing)}),
        "STRANDLINE_LABELS_ON_HOST": str(config.labels.folder),
        "STRANDLINE_STORE_ON_HOST": str(config.home / "compose" / "store"),
        "STRANDLINE_SERVING_ON_HOST": str(config.home / "compose" / "serving"),
        FOLDER: str(config.home / "compose" / "secrets"),
    }


def _fresh_passwords() -> dict[str, str]:
    return {
        **{f"STRANDLINE_PASSWORD_{name}": secrets.token_urlsafe(16) for name in (*USERS, *DATABASE_ROLES)},
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "RABBITMQ_PASSWORD": secrets.token_urlsafe(24),
        **{f"RABBITMQ_PASSWORD_{name.upper()}": secrets.token_urlsafe(24) for name in BROKER},
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW_SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
    }


def _of_services(passwords: dict[str, str]) -> dict[str, str]:
    """The content of each file of the folder, by its name: what docker-compose.yml mounts."""
    role = {name: passwords[f"STRANDLINE_PASSWORD_{name}"] for name in (*USERS, *DATABASE_ROLES)}
    superuser, broker = passwords["POSTGRES_PASSWORD"], passwords["RABBITMQ_PASSWORD"]
    migrate = {f"STRANDLINE_PASSWORD_{name}": password for name, password in role.items()} | {
        "STRANDLINE_SUPERUSER_URL": f"postgresql://postgres:{superuser}@postgres/postgres",
        "STRANDLINE_OWNER_URL": f"postgresql://strandline_owner:{role['OWNER']}@postgres/strandline",
    }
    users = {name: passwords[f"RABBITMQ_PASSWORD_{name.upper()}"] for name in BROKER}
    return {
        "postgres": superuser,
        "rabbitmq": json.dumps(_definitions({BROKER_ADMIN: broker, **users}), indent=1),
        "migrate": json.dumps(migrate, indent=1),
        "airflow-database": f"postgresql+psycopg2://airflow:{role['AIRFLOW']}@postgres/airflow",
        "airflow-fernet-key": passwords["AIRFLOW_FERNET_KEY"],
        "airflow-secret-key": passwords["AIRFLOW_SECRET_KEY"],
        "airflow-jwt-secret": passwords["AIRFLOW_JWT_SECRET"],
        "celery-results": f"db+postgresql+psycopg2://celery:{role['CELERY']}@postgres/celery",
        "flower": f"admin:{role['ADMIN']}",
        **{f"broker-{name}": f"amqp://{name}:{users[name]}@rabbitmq:5672/airflow" for name in BROKER},
        **{f"pgpass-{service}": _passfile(duties, role) for service, duties in DUTIES.items()},
    }


def _passfile(duties: tuple[str, ...], role: dict[str, str]) -> str:
    return "".join(f"*:*:strandline:strandline_{duty.lower()}:{role[duty]}\n" for duty in duties)


def _definitions(users: dict[str, str]) -> dict[str, Any]:
    """The broker's users, with hashes of their passwords, and what each may do: RabbitMQ loads them when it starts."""
    names = "configure", "write", "read"
    return {
        "vhosts": [{"name": "airflow"}],
        "users": [
            {
                "name": name,
                "password_hash": _rabbitmq_hash(name, password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"] if name == BROKER_ADMIN else [],
            }
            for name, password in users.items()
        ],
        "permissions": [
            {"user": name, "vhost": "airflow", **dict.fromkeys(names, BROKER.get(name, ".*"))} for name in users
        ],
    }


def _rabbitmq_hash(name: str, password: str) -> str:
    """As RabbitMQ stores it. The salt is the same each time, so that the file is."""
    salt = hashlib.sha256(f"{name}:{password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _write(path: Path, content: str, mode: int = 0o600, owner: int | None = None) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        if owner is not None and os.getuid() == 0:
            os.fchown(file.fileno(), owner, 0)
    partial.rename(path)


def _make_folder(folder: Path, owner: int) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        if os.getuid() == 0:
            os.chown(folder, owner, owner)


def _built_image() -> dict[str, str]:
    """The vision image that `make images` has built last; none if it has not."""
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", "strandline/vision:latest"]
    try:
        found = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return {}
    return {IMAGE: found.stdout.strip()} if found.returncode == 0 else {}


if __name__ == "__main__":
    sys.exit(main())
