"""What `make serve` starts holds no password, and what `make consumer` prints lets an application in."""

import json

import pytest
from gate_evaluations import make_version
from served import rows

import strandline_contract as contract
from local.stack import configuration, consumer, serving
from strandline import settings


def started(component: str, tmp_path, **environment: str) -> tuple[list[str], dict[str, str]]:
    given = {"STRANDLINE_HOME": str(tmp_path)} | {f"STRANDLINE_{name}": value for name, value in environment.items()}
    config = settings.load(given | {"STRANDLINE_DATABASE_URL": "postgresql://127.0.0.1/strandline?passfile=secret"})
    surroundings = configuration.environment(config, "postgresql://airflow:secret@127.0.0.1/airflow", tmp_path)
    return serving.program(component, config, surroundings)


def test_what_answers_is_told_no_secret_and_nothing_of_the_ledger(tmp_path):
    command, environment = started(serving.SERVER, tmp_path)
    assert environment.keys() == {"PATH", "PYTHONPATH", "LANG", "HOME", "TMPDIR", "PYTHONUNBUFFERED"}
    assert "secret" not in str(command) + str(environment)
    assert command[1:3] == ["-m", "vision.serving"]


def test_it_answers_as_the_settings_say(tmp_path):
    changes = {"SERVE_PORT": "9", "SERVE_KEEP": "0.5", "SERVE_DECODERS": "3", "MAX_SIDE": "77", "PRECISION": "bf16"}
    command, _ = started(serving.SERVER, tmp_path, **changes)
    options = dict(zip(command[3::2], command[4::2], strict=True))
    said = [options[f"--{name}"] for name in ("port", "kept-share", "decoders", "precision", "backend")]
    assert said == ["9", "0.5", "3", "bf16", "openvino"]
    assert contract.Limits.from_dict(json.loads(options["--limits"])).max_side == 77
    assert options["--folder"] == str(tmp_path / "serving")
    assert "--threads" not in options


def test_the_agent_has_the_ledger_and_no_secret_of_airflow(tmp_path):
    command, environment = started(serving.AGENT, tmp_path)
    assert command[1:] == ["-m", "strandline.serving"]
    assert "STRANDLINE_DATABASE_URL" in environment
    assert not [name for name in environment if name.startswith("AIRFLOW")]


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8090"), ("0.0.0.0", "http://127.0.0.1:8090"), ("::", "http://[::1]:8090")],
)
def test_where_it_answers(host, url):
    assert serving.url(settings.load({"STRANDLINE_SERVE_HOST": host})) == url


def test_the_verbs_let_an_application_in_and_refuse_it(database, capsys):
    version = make_version("first")
    assert consumer.main(["create", "--name", "shop", "--rate", "5", "--version", version[:8]]) == 0
    token = capsys.readouterr().out.strip()
    assert len(token) == 43
    assert consumer.main(["create", "--name", "shop"]) == 1
    assert "revoke it first" in capsys.readouterr().err
    assert consumer.main(["create", "--name", "lab", "--rate", "many"]) == 1
    assert consumer.main(["revoke", "--name", "shop"]) == 0
    steps = rows("SELECT name, what, requests_per_second, version FROM consumer_steps ORDER BY step_id")
    assert steps == [("shop", "created", 5, version), ("shop", "revoked", None, None)]
