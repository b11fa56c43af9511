"""`make secrets`: what it writes, for whom, and what it says."""

import json
import stat
from pathlib import Path

import pytest

from local.stack import dotenv
from strandline import settings

COMPOSE = (settings.REPOSITORY / "docker-compose.yml").read_text()


@pytest.fixture
def made(tmp_path) -> dict[str, str]:
    return dotenv.make(tmp_path / "env", settings.load({"STRANDLINE_HOME": str(tmp_path)}))


def passwords(values: dict[str, str]) -> set[str]:
    return set(dotenv.read(Path(values[dotenv.FOLDER]) / "passwords").values())


def files(values: dict[str, str]) -> dict[str, Path]:
    return {path.name: path for path in Path(values[dotenv.FOLDER]).iterdir()}


def test_no_secret_is_in_the_environment_of_compose(made, tmp_path):
    assert len(passwords(made)) > 15
    for text in ((tmp_path / "env").read_text(), COMPOSE):
        assert [secret for secret in passwords(made) if secret in text] == []
    assert "PASSWORD}" not in COMPOSE
    assert "PASSWORD:" not in COMPOSE


def test_each_file_is_for_its_reader_alone(made):
    folder = Path(made[dotenv.FOLDER])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in files(made).items()}
    assert {mode for name, mode in modes.items() if name not in ("postgres", "rabbitmq", "passwords")} == {0o400}
    assert modes["passwords"] == 0o600


def test_what_a_worker_gets_opens_neither_airflows_database_nor_the_champion(made):
    texts = {name: path.read_text() for name, path in files(made).items()}
    worker = "".join(texts[name] for name in ("celery-results", "broker-worker", "pgpass-worker"))
    for name in ("AIRFLOW", "OWNER", "GATE", "PROMOTION", "ANALYST", "ADMIN"):
        assert made[f"STRANDLINE_PASSWORD_{name}"] not in worker, name
    for name in ("POSTGRES_PASSWORD", "AIRFLOW_JWT_SECRET", "AIRFLOW_FERNET_KEY", "RABBITMQ_PASSWORD_GOVERNANCE"):
        assert made[name] not in worker, name
    assert made["STRANDLINE_PASSWORD_INGEST"] in worker


def test_the_agent_of_serving_gets_its_own_role_alone(made):
    assert files(made)["pgpass-serving"].read_text() == (
        f"*:*:strandline:strandline_serving:{made['STRANDLINE_PASSWORD_SERVING']}\n"
    )


def test_the_broker_knows_hashes_and_lets_no_worker_give_tasks_to_governance(made):
    text = files(made)["rabbitmq"].read_text()
    assert [secret for secret in passwords(made) if secret in text] == []
    allowed = {row["user"]: row["write"] for row in json.loads(text)["permissions"]}
    assert allowed["worker"] == r"^(default|gpu|celeryev.*|.*celery\.pidbox)$"
    assert allowed["flower"] == r"^(celeryev.*|.*celery\.pidbox)$"
    assert allowed["scheduler"] == ".*"


def test_made_again_nothing_changes(made, tmp_path):
    before = {name: path.read_text() for name, path in files(made).items()}
    config = settings.load({"STRANDLINE_HOME": str(tmp_path)})
    assert dotenv.make(tmp_path / "env", config) == made
    assert {name: path.read_text() for name, path in files(made).items()} == before
    (tmp_path / "env").write_text("STRANDLINE_CORES=7\n")
    assert dotenv.make(tmp_path / "env", config) == made | {"STRANDLINE_CORES": "7"}


def test_it_says_where_passwords_are_and_none_of_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path))
    monkeypatch.setattr(dotenv, "PATH", tmp_path / ".env")
    dotenv.main()
    said = capsys.readouterr().out
    kept = dotenv.read(tmp_path / "compose" / "secrets" / "passwords")
    assert str(tmp_path / "compose" / "secrets" / "passwords") in said
    assert [secret for secret in kept.values() if secret in said] == []


def test_a_bucket_is_named_and_an_empty_folder_stands_in_its_place(tmp_path):
    config = settings.load({"STRANDLINE_HOME": str(tmp_path), "STRANDLINE_LANDING": "s3://photos/landing"})
    made = dotenv.make(tmp_path / "env", config)
    assert made["STRANDLINE_LANDING_BUCKET"] == "s3://photos/landing/"
    assert not list(Path(made["STRANDLINE_LANDING_ON_HOST"]).iterdir())
    assert 'STRANDLINE_LANDING: "${STRANDLINE_LANDING_BUCKET:-/landing}"' in COMPOSE
