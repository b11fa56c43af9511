"""The pages of docs/how-to: the edit of each is made in a copy of the checkout, and does there what the page says.

What is run in a copy is a function of this file as well: one whose name begins with `there_`.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import strandline_contract as contract
from local.stack.processes import free_port
from strandline import settings

PAGES = settings.REPOSITORY / "docs" / "how-to"
DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def edited(tmp_path) -> Callable[[str], Path]:
    """Makes a copy of the checkout with the edit of a page."""

    def edit(page: str) -> Path:
        copy = tmp_path / "checkout"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=settings.REPOSITORY, capture_output=True, text=True, check=True).stdout
        for name in names.rstrip("\0").split("\0"):
            if (settings.REPOSITORY / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(settings.REPOSITORY / name, copy / name, follow_symlinks=False)
        diff = "".join(DIFF.findall((PAGES / f"{page}.md").read_text()))
        number = len(list((copy / "sql" / "migrations").iterdir())) + 1
        # Not a repository itself, and the temporary folder may lie in one.
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
        command = ["git", "apply", "-"]
        done = subprocess.run(
            command,
            input=diff.replace("NNNN", f"{number:04}"),
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"docs/how-to/{page}.md is of another state of the code: {done.stderr}"
        return copy

    return edit


def run(copy: Path, function: Callable[..., None], *arguments: object, **environment: object) -> None:
    """Call a function of this file in a copy, with arguments as text."""
    code = "import sys, test_how_to; getattr(test_how_to, sys.argv[1])(*sys.argv[2:])"
    folders = [copy / "plugins", copy, copy / "tests" / "support", copy / "tests" / "how_to"]
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    environment |= {"STRANDLINE_VISION_PYTHON": settings.get().vision.python}
    done = subprocess.run(
        [sys.executable, "-c", code, function.__name__, *map(str, arguments)],
        cwd=copy,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def there_validate_a_black_picture(home: str, url: str) -> None:
    import straight_run as straight
    from PIL import Image

    from strandline.ingest import listing, tasks

    hour = straight.HOUR
    with straight.settled(Path(home), url) as chosen:
        straight.install_champion()
        straight.drop(chosen.landing, good=1, broken=0)
        Image.new("RGB", (32, 32), "black").save(chosen.landing / f"{hour:%Y-%m-%dT%H}" / "cat" / "black.png")
        listed = listing.list_entries(listing.Run(straight.RUN, "manual", hour, hour + datetime.timedelta(hours=1)))
        packed = [straight.Ingestion().vision("pack", request.to_dict()) for request in listed.pack]
        tasks.validate(listed.run.to_dict(), packed)


def test_an_expectation_is_added(edited, database, tmp_path):
    run(edited("add-an-expectation"), there_validate_a_black_picture, tmp_path, database.address)

    (result,) = (tmp_path / "store" / "runs").glob("*/validation/validation.json")
    (found,) = [
        expectation
        for expectation in json.loads(result.read_bytes())["expectations"]
        if expectation["name"] == "not_black"
    ]
    assert (found["severity"], found["evaluated"], found["unexpected"]) == ("quarantine", 3, 1)
    ends = pq.read_table(result.with_name("outcomes.parquet")).select(["state", "reason", "detail"]).to_pylist()
    refused = {
        "state": "quarantined",
        "reason": "TOO_DARK",
        "detail": "expected a brightness of at least 0.02, found 0",
    }
    accepted = {"state": "accepted", "reason": None, "detail": None}
    assert sorted(ends, key=str) == [accepted, accepted, refused]


def there_report_a_light_picture(home: str, url: str, owner: str) -> None:
    """By a champion whose reference profile has no light ones."""
    import drift_windows
    import straight_run as straight
    from PIL import Image

    from strandline import ledger
    from strandline.drift import report, schedule

    hour = straight.HOUR
    with straight.settled(Path(home), url) as chosen:
        ledger.migrate(owner)
        reference, _ = drift_windows.halves()
        reference = reference.append_column("clipping", pa.array([0.0, 0.01] * (len(reference) // 2), pa.float32()))
        pq.write_table(reference, chosen.home / "reference.parquet")
        profile = (chosen.home / "reference.parquet").read_bytes()
        drift_windows.register(chosen.home, **{"reference.parquet": profile})
        straight.drop(chosen.landing, good=1, broken=0)
        Image.new("RGB", (32, 32), "white").save(chosen.landing / f"{hour:%Y-%m-%dT%H}" / "cat" / "white.png")
        straight.Ingestion().run()
        end = hour + datetime.timedelta(hours=1)
        report.report("a test", schedule.AskedWindow(hour.isoformat(), end.isoformat(), None, alarms=False))


def test_an_image_statistic_is_added(edited, database, tmp_path):
    run(edited("add-an-image-statistic"), there_report_a_light_picture, tmp_path, database.address, database.owner)

    (shard,) = (tmp_path / "store" / "runs").glob(f"*/pack/*/*/{contract.SHARD_FILE}")
    packed = pq.read_table(shard, columns=["image_id", "clipping"]).to_pylist()
    assert max(one["clipping"] for one in packed) == 1
    assert min(one["clipping"] for one in packed) < 0.1
    with psycopg.connect(database.superuser) as connection:
        recorded = connection.execute("SELECT image_id, clipping FROM reporting.predictions").fetchall()
    assert dict(recorded) == {one["image_id"]: one["clipping"] for one in packed}
    (report,) = (tmp_path / "store" / "drift").glob("*/report.json")
    said = json.loads(report.read_bytes())
    (column,) = [one for one in said["columns"] if one["column"] == "clipping"]
    assert column["score"] > 1
    assert "clipping" in said["column_p_values"]
    assert "Clipping" in report.with_name("index.html").read_text()


def there_run_red() -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils import db

    db.initdb()
    DagBag("dags").dags["check_host"].test(run_conf={"surprise": "<b>"})


def test_a_red_task_sends_a_mail(edited, tmp_path):
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Mailbox

    server = Controller(Mailbox(tmp_path / "mails"), hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        plain = {"conn_type": "smtp", "host": server.hostname, "port": server.port}
        plain |= {"extra": {"disable_ssl": True, "disable_tls": True}}
        copy = edited("mail-red-tasks")
        airflow = {"AIRFLOW_HOME": tmp_path, "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(plain)}
        airflow |= {"AIRFLOW__CORE__DAGS_FOLDER": copy / "dags", "AIRFLOW__CORE__LOAD_EXAMPLES": False}
        airflow |= {"AIRFLOW__CORE__PLUGINS_FOLDER": copy / "plugins"}
        run(copy, there_run_red, **airflow)
    finally:
        server.stop()

    (mail,) = Mailbox(tmp_path / "mails").mailbox
    (part,) = mail.get_payload()
    assert mail["Subject"] == "plan of check_host is red"
    assert mail["To"] == "on-call@example.org"
    assert "there is no parameter &#39;surprise&#39;" in part.get_payload(decode=True).decode()
