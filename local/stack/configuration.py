"""The environment that Airflow's processes start with, and the secrets in it.

The environment is made from nothing: of the caller's, a process sees the search path and the language. Passwords of
Airflow's users and all other secrets are made once a checkout, and only their owner can read them.
"""

import base64
import json
import os
import secrets
import sys
from pathlib import Path

import strandline_contract as contract
from strandline import ledger
from strandline.settings import REPOSITORY, Settings

USERS = ("viewer", "user", "op", "admin")  # each named after its role in Airflow's simple auth manager
PYTHONPATH = os.pathsep.join([str(REPOSITORY / "plugins"), str(REPOSITORY)])
DATABASE_ROLES = ("postgres", "airflow", *ledger.ROLES)


def passwords(settings: Settings) -> dict[str, str]:
    """The password of each of Airflow's users; made when first asked for."""
    return _kept(_passwords_file(settings), {user: secrets.token_urlsafe(12) for user in USERS})


def environment(settings: Settings, airflow_url: str, dags: Path) -> dict[str, str]:
    """The whole environment of Airflow's processes, and so of every task.

    Args:
        settings: are handed on to the tasks, `database_url` (the ledger's) among them.
        airflow_url: the database of Airflow's own metadata, in SQLAlchemy's form.
        dags: the folder of DAG files.
    """
    return _surroundings(settings) | variables(settings) | _airflow(settings, airflow_url, dags)


def _surroundings(settings: Settings) -> dict[str, str]:
    user = settings.home / "user"
    temporary = settings.home / "tmp"
    for folder in (user, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        "PATH": path,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(user),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(user / "cache"),
        "XDG_CONFIG_HOME": str(user / "config"),
        "XDG_DATA_HOME": str(user / "data"),
        "XDG_STATE_HOME": str(user / "state"),
        "MPLCONFIGDIR": str(user / "matplotlib"),
        "PYTHONPATH": os.pathsep.join([PYTHONPATH, str(REPOSITORY / "docker" / "airflow" / "config")]),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "true",
        "OPENBLAS_NUM_THREADS": "1",  # tasks share the cores: threads of linear algebra would wait for each other
    }


def variables(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    return {name: str(value) for name, value in settings.variables().items() if value not in (None, "")}


def _airflow(settings: Settings, airflow_url: str, dags: Path) -> dict[str, str]:
    home = settings.home / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    passwords(settings)
    base_url = api_url(settings)
    sections: dict[str, dict[str, object]] = {
        "core": {
            "executor": "local.stack.executor.WakingExecutor",
            "dags_folder": dags,
            "plugins_folder": REPOSITORY / "plugins",
            "load_examples": False,
            "dag_discovery_safe_mode": False,
            "dags_are_paused_at_creation": False,
            "default_timezone": "utc",
            "parallelism": max(4, 2 * settings.vision.cores),
            "execution_api_server_url": f"{base_url}/execution/",
            "fernet_key": secret(settings, "fernet_key"),
            "simple_auth_manager_users": ",".join(f"{user}:{user}" for user in USERS),
            "simple_auth_manager_passwords_file": _passwords_file(settings),
        },
        "database": {"sql_alchemy_conn": airflow_url},
        "api": {
            "host": "127.0.0.1",
            "port": settings.local.api_port,
            "base_url": base_url,
            "workers": 1,
            "secret_key": secret(settings, "api_secret_key"),
            "expose_config": False,
        },
        "api_auth": {"jwt_secret": secret(settings, "jwt_secret")},
        # A DAG file that has changed is parsed at once; others, again and again, would take a tenth of a core.
        "dag_processor": {"refresh_interval": 10, "min_file_process_interval": 300},
        "scheduler": {"task_instance_heartbeat_timeout": 60, "scheduler_idle_sleep_time": 0},
        "logging": {"base_log_folder": home / "logs"},
    }
    options = {f"AIRFLOW__{s}__{k}".upper(): str(v) for s, values in sections.items() for k, v in values.items()}
    return {"AIRFLOW_HOME": str(home), **options}


def api_url(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.local.api_port}"


def _passwords_file(settings: Settings) -> Path:
    return settings.home / "passwords.json"


def secret(settings: Settings, name: str) -> str:
    """A secret of this home folder; all are made when the first is asked for."""
    fresh = {
        "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "jwt_secret": secrets.token_urlsafe(64),
        "api_secret_key": secrets.token_urlsafe(32),
        **{f"postgres_{role}": secrets.token_urlsafe(24) for role in DATABASE_ROLES},
    }
    return _kept(settings.home / "secrets.json", fresh)[name]


def _kept(path: Path, fresh: dict[str, str]) -> dict[str, str]:
    """The secrets of a file; those that it lacks, it gets."""
    kept: dict[str, str] = json.loads(path.read_bytes()) if path.exists() else {}
    if fresh.keys() - kept.keys():
        path.parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            contract.write_json(path, kept := fresh | kept)
        finally:
            os.umask(before)
    return kept
