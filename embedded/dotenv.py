"""Write `.env`, which docker-compose.yml reads: `python -m embedded.dotenv`.

Secrets are made once and then kept; every other line may be edited. Only the file's owner can read it.
"""

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

from strandline import settings

PATH = settings.REPOSITORY / ".env"
WORKER = 50_000  # user of the Airflow image; where root runs compose, containers do not run as root
IMAGE = "STRANDLINE_VISION_IMAGE"
PASSWORDS = (
    *("OWNER", "INGEST", "LABELS", "PEOPLE", "TRAINING", "GATE", "PROMOTION", "ANALYST", "AIRFLOW"),
    *("VIEWER", "USER", "OP", "ADMIN"),
)
# Which database roles a service may take: libpq's passfile of each.
DUTIES = {
    "worker": ("INGEST", "LABELS", "TRAINING"),
    "governance": ("GATE", "PROMOTION"),
    "migrate": ("TRAINING", "PROMOTION"),
}


def main() -> int:
    made = not PATH.exists()
    values = make(PATH, settings.load())
    print(
        f"{PATH} {'is made' if made else 'keeps its secrets'}. Airflow's admin: {values['STRANDLINE_PASSWORD_ADMIN']}"
    )
    if not values.get(IMAGE):
        print(f"No vision image is built yet: make images, then make secrets again, for {IMAGE}")
    return 0


def make(path: Path, chosen: settings.Settings, **changes: str) -> dict[str, str]:
    """Write what is missing in the file, and the vision image built last; its variables."""
    values = _fresh(chosen) | read(path) | _built_image() | changes
    for name in ("STRANDLINE_LANDING_ON_HOST", "STRANDLINE_LABELS_ON_HOST", "STRANDLINE_STORE_ON_HOST"):
        _make_folder(Path(values[name]), int(values["STRANDLINE_UID"]))
    write(values, path)
    _write_passfiles(Path(values["STRANDLINE_PGPASS_ON_HOST"]), values)
    return values


def read(path: Path) -> dict[str, str]:
    """The variables of a file; none where there is no file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def write(values: dict[str, str], path: Path) -> None:
    lines = ["# For docker compose. Secrets were made by `make secrets`; do not commit this file."]
    _write_private(path, [*lines, *(f"{name}={value}" for name, value in values.items())])


def _write_passfiles(folder: Path, values: dict[str, str]) -> None:
    """What each service needs to enter the ledger; libpq ignores a file that others than its owner may read."""
    _make_folder(folder, int(values["STRANDLINE_UID"]))
    for service, duties in DUTIES.items():
        passwords = {duty.lower(): values[f"STRANDLINE_PASSWORD_{duty}"] for duty in duties}
        path = folder / service
        _write_private(path, [f"*:*:strandline:strandline_{duty}:{password}" for duty, password in passwords.items()])
        if os.getuid() == 0:
            os.chown(path, int(values["STRANDLINE_UID"]), 0)


def _write_private(path: Path, lines: list[str]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{line}\n" for line in lines)
    partial.rename(path)


def _fresh(chosen: settings.Settings) -> dict[str, str]:
    return {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "RABBITMQ_PASSWORD": secrets.token_urlsafe(24),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW_SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
        **{f"STRANDLINE_PASSWORD_{name}": secrets.token_urlsafe(16) for name in PASSWORDS},
        "STRANDLINE_UID": str(os.getuid() or WORKER),
        "STRANDLINE_ENGINE_SOCKET": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix(
            "unix://"
        ),
        "STRANDLINE_CORES": str(chosen.cores),
        "STRANDLINE_LANDING_ON_HOST": str(chosen.landing),
        "STRANDLINE_LABELS_ON_HOST": str(chosen.labels),
        "STRANDLINE_STORE_ON_HOST": str(chosen.home / "compose" / "store"),
        "STRANDLINE_PGPASS_ON_HOST": str(chosen.home / "compose" / "pgpass"),
    }


def _make_folder(folder: Path, owner: int) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        if os.getuid() == 0:
            os.chown(folder, owner, owner)


def _built_image() -> dict[str, str]:
    """The vision image that `make images` has built last; none where it has not."""
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", "strandline/vision:latest"]
    try:
        found = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return {}
    return {IMAGE: found.stdout.strip()} if found.returncode == 0 else {}


if __name__ == "__main__":
    sys.exit(main())
