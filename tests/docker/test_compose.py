"""`docker compose up`: the whole stack in containers, with two workers; what it computes, and what it survives."""

import contextlib
import datetime
import ipaddress
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
import requests
import running_stack as running
from docker.models.containers import Container
from psycopg.rows import dict_row

import docker
import strandline_contract as contract
from local.build import images
from local.demo import training_sets
from local.stack import backup, dotenv
from local.stack.api import Api, ApiError
from local.stack.processes import free_port
from strandline import ledger, settings
from strandline.operators import docker as docker_runner
from strandline.operators.process import vision_environment

pytestmark = pytest.mark.timeout(1800)
DAG = "ingest_images"
PROJECT = "strandline-test"
HOUR = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
SETTINGS = """\
STRANDLINE_RETRAIN_EPOCHS=1
STRANDLINE_RETRAIN_IMAGES=1500
STRANDLINE_GATE_RECENT_RULE=non-inferior
STRANDLINE_GATE_RECENT_MARGIN=0.05
STRANDLINE_GATE_LATENCY_RATIO=5
"""
LASTING = ("postgres", "rabbitmq", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "engine-proxy")
LASTING += ("worker-governance",)


class Compose:
    """One deployment of docker-compose.yml, with its own project name, ports, secrets and folders."""

    def __init__(self, home: Path, engine: docker.DockerClient, vision_image: str) -> None:
        self.home, self.engine, self.env_file = home, engine, home / "env"
        self.ports = {name: str(free_port()) for name in ("API", "POSTGRES", "RABBITMQ")}
        folders = {"HOME": home, "LANDING": home / "landing", "LABELS": home / "labels"}
        config = settings.load({f"STRANDLINE_{name}": str(folder) for name, folder in folders.items()})
        (home / "settings.env").write_text(SETTINGS)
        self.values = dotenv.make(
            self.env_file,
            config,
            STRANDLINE_SETTINGS_ON_HOST=str(home / "settings.env"),
            STRANDLINE_VISION_IMAGE=vision_image,
            STRANDLINE_API_PORT=self.ports["API"],
            STRANDLINE_POSTGRES_PORT=self.ports["POSTGRES"],
            RABBITMQ_MANAGEMENT_PORT=self.ports["RABBITMQ"],
            STRANDLINE_STABLE_SECONDS="0.5",
            STRANDLINE_SERVE_PORTS="0",  # any that is free
        )
        self.landing, self.store = home / "landing", Path(self.values["STRANDLINE_STORE_ON_HOST"])

    def run(self, *arguments: str, project: str = PROJECT, **variables: str) -> str:
        command = ["docker", "compose", "--project-name", project, "--env-file", str(self.env_file), *arguments]
        done = subprocess.run(
            command, cwd=settings.REPOSITORY, env=os.environ | variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def shell(self, script: str, folder: Path) -> None:
        """Lines of a document, in a folder with this deployment's `.env`; `docker compose` in them is of it."""
        compose = f"docker compose --project-name {PROJECT} --env-file {self.env_file}"
        compose += f" --file {settings.REPOSITORY / 'docker-compose.yml'}"
        script = script.replace("docker compose", compose).replace("./.env", str(self.env_file))
        done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"

    def api(self, user: str = "admin") -> Api:
        return Api(f"http://127.0.0.1:{self.ports['API']}", user, self.values[f"STRANDLINE_PASSWORD_{user.upper()}"])

    def containers(self, service: str) -> list[Container]:
        labels = [f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}"]
        return self.engine.containers.list(all=True, filters={"label": labels})

    def vision(self, command: str | None = None) -> list[Container]:
        """Running containers of tasks."""
        labels = [docker_runner.RUN] + ([f"{docker_runner.COMMAND}={command}"] if command else [])
        return self.engine.containers.list(filters={"label": labels})

    def rows(self, query: str, database: str = "strandline", **parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.url("owner", database), row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()

    def url(self, role: str, database: str = "strandline") -> str:
        password = self.values[f"STRANDLINE_PASSWORD_{role.upper()}"]
        return f"postgresql://strandline_{role}:{password}@127.0.0.1:{self.ports['POSTGRES']}/{database}"

    def ledger_url(self, service: str = "worker") -> str:
        """With the database roles of a service."""
        passfile = Path(self.values[dotenv.FOLDER]) / f"pgpass-{service}"
        return f"postgresql://127.0.0.1:{self.ports['POSTGRES']}/strandline?passfile={passfile}"

    def drop(self, hour: datetime.datetime, count: int) -> None:
        with contextlib.closing(self.api("admin")) as api:
            running.let_the_hour_pass(api)
        running.drop(self.landing, hour, count)

    def closing(self, run_id: str) -> dict[str, Any]:
        (row,) = self.rows("SELECT * FROM closings WHERE run_id = %(run_id)s", run_id=run_id)
        return row


@pytest.fixture(scope="module")
def compose(engine, vision_image) -> Iterator[Compose]:
    images.build("airflow")
    home = Path(tempfile.mkdtemp(prefix="strandline-compose-"))
    home.chmod(0o755)
    deployment = Compose(home, engine, vision_image)
    try:
        deployment.run("down", "--volumes", "--remove-orphans", "--timeout", "1")  # what a killed test left
        deployment.run("up", "--detach", "--wait", "--scale", "worker=2", "--quiet-pull")
        yield deployment
    finally:
        deployment.run("down", "--volumes", "--remove-orphans", "--timeout", "1")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def api(compose) -> Iterator[Api]:
    with contextlib.closing(compose.api()) as session:
        yield session


def test_all_parts_are_up_healthy_and_bounded(compose):
    for service in LASTING:
        found = compose.containers(service)
        assert len(found) == (2 if service == "worker" else 1), service
        for container in found:
            assert container.status == "running", service
            assert container.attrs["State"]["Health"]["Status"] == "healthy", service
            host = container.attrs["HostConfig"]
            assert host["Memory"] > 0, service
            assert host["RestartPolicy"]["Name"] == "unless-stopped", service
            assert not host["Privileged"], service
            assert host["ReadonlyRootfs"], service
            assert host["CapDrop"] == ["ALL"], service
            assert not host["CapAdd"], service
            assert "no-new-privileges:true" in host["SecurityOpt"], service
            assert 0 < host["PidsLimit"] <= 512, service
    (migrate,) = compose.containers("migrate")
    assert migrate.attrs["State"]["ExitCode"] == 0


def test_only_the_filter_has_the_engines_socket_and_no_other_service_is_root(compose):
    for service in LASTING:
        for container in compose.containers(service):
            sources = {mount["Source"] for mount in container.attrs["Mounts"]}
            has_socket = compose.values["STRANDLINE_ENGINE_SOCKET"] in sources
            assert has_socket == (service == "engine-proxy"), service
            if service != "engine-proxy":
                assert container.attrs["Config"]["User"].split(":")[0] not in ("", "0", "root"), service


def test_ports_are_on_loopback_only(compose):
    published = [
        binding["HostIp"]
        for service in LASTING
        for container in compose.containers(service)
        for bindings in container.attrs["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    ]
    assert len(published) == 3
    assert set(published) == {"127.0.0.1"}


PROBE = """
import json, sys, urllib.error, urllib.request
def ask(method, path):
    request = urllib.request.Request("http://engine-proxy:2375" + path, method=method)
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps([ask(method, path) for method, path in json.loads(sys.argv[1])]))
"""


def test_the_filter_lets_through_what_tasks_need_and_nothing_else(compose):
    """From a real worker; what else it refuses, `tests/engine_proxy/test_policy.py` has."""
    [postgres] = compose.containers("postgres")
    asked = {
        ("GET", "/_ping"): 200,
        ("GET", "/v1.41/containers/json"): 200,
        ("GET", f"/v1.41/images/{compose.values['STRANDLINE_VISION_IMAGE']}/json"): 200,
        ("GET", "/v1.41/images/strandline/vision:latest/json"): 403,
        ("GET", "/v1.41/info"): 403,
        ("GET", f"/v1.41/containers/{postgres.id}/json"): 404,
        ("GET", f"/v1.41/containers/{postgres.name}/logs?stdout=1"): 404,
        ("DELETE", f"/v1.41/containers/{postgres.id}?force=1"): 404,
        ("POST", f"/v1.41/containers/{postgres.id}/exec"): 403,
        ("POST", "/v1.41/containers/create?name=x"): 403,
        ("POST", "/v1.41/images/create?fromSrc=http://192.0.2.1/x"): 403,
        ("POST", "/v1.41/build"): 403,
        ("GET", "/v1.41/containers/%2e%2e/json/../../info"): 403,
    }
    worker = compose.containers("worker")[0]
    code, output = worker.exec_run(["python", "-c", PROBE, json.dumps(list(asked))])
    assert code == 0, output
    assert dict(zip(asked, json.loads(output), strict=True)) == asked
    scheduler = compose.containers("scheduler")[0]
    code, output = scheduler.exec_run(["python", "-c", PROBE, json.dumps([["GET", "/_ping"]])])
    assert code != 0, "only workers share a network with the filter"


# Of each process in a container and of each file that a secret could be in: which of the given texts are there.
LOOK = """
import json, pathlib, sys
texts = {name: value.encode() for name, value in json.load(sys.stdin).items()}
places = [*pathlib.Path("/proc").glob("[0-9]*/environ"), *pathlib.Path("/proc").glob("[0-9]*/cmdline")]
for folder in ("/run/secrets", "/opt/airflow", "/tmp", "/etc"):
    places += [path for path in pathlib.Path(folder).rglob("*") if path.is_file() and "/logs/" not in str(path)]
found = set()
for place in places:
    try:
        content = place.read_bytes()
    except OSError:
        continue
    found |= {name for name, value in texts.items() if value in content}
print(json.dumps([len(places), sorted(found)]))
"""
SECRETS = {
    "worker": {"PASSWORD_INGEST", "PASSWORD_LABELS", "PASSWORD_TRAINING", "PASSWORD_CELERY", "RABBITMQ_WORKER"},
    "worker-governance": {"PASSWORD_GATE", "PASSWORD_PROMOTION", "PASSWORD_CELERY", "RABBITMQ_GOVERNANCE"},
    "dag-processor": {"PASSWORD_AIRFLOW", "FERNET_KEY"},
    "triggerer": {"PASSWORD_AIRFLOW", "FERNET_KEY"},
    "api-server": {"PASSWORD_AIRFLOW", "FERNET_KEY", "SECRET_KEY", "JWT_SECRET", "PASSWORD_ANALYST", "PASSWORD_PEOPLE"},
    "scheduler": {"PASSWORD_AIRFLOW", "FERNET_KEY", "JWT_SECRET", "PASSWORD_CELERY", "RABBITMQ_SCHEDULER"},
    "engine-proxy": set(),
}


@pytest.mark.parametrize("service", SECRETS)
def test_a_service_holds_its_own_secrets_and_no_other(compose, service):
    """Workers, above all, neither the key that makes a token for anybody nor Airflow's database."""
    secret = dotenv.read(Path(compose.values[dotenv.FOLDER]) / "passwords")
    names = {
        name: name.removeprefix("STRANDLINE_").removeprefix("AIRFLOW_").replace("MQ_PASSWORD_", "MQ_")
        for name in secret
    }
    container = compose.containers(service)[0]
    command = ["docker", "exec", "--interactive", container.id, "python", "-c", LOOK]
    told = json.dumps({names[name]: value for name, value in secret.items()})
    looked, found = json.loads(subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout)
    assert looked > 10
    assert set(found) == SECRETS[service]


def test_no_secret_is_in_what_the_engine_says_of_a_container(compose):
    secret = dotenv.read(Path(compose.values[dotenv.FOLDER]) / "passwords").values()
    for service in (*LASTING, "migrate"):
        for container in compose.containers(service):
            said = json.dumps(container.attrs)
            assert [value for value in secret if value in said] == [], service


REACH = """
import socket
socket.create_connection(("192.0.2.1", 80), timeout=3)
"""


@pytest.mark.parametrize("service", ["worker", "worker-governance", "scheduler", "api-server"])
def test_nothing_gets_out_of_the_stack(compose, service):
    code, output = compose.containers(service)[0].exec_run(["python", "-c", REACH])
    assert code == 1
    assert b"unreachable" in output or b"timed out" in output, output


def test_a_worker_gives_governance_no_task_and_leaves_no_pickle_for_the_scheduler(compose):
    publish = "from airflow.providers.celery.executors.celery_executor import app\n"
    publish += "app.send_task('execute_workload', args=['{}'], queue='governance', retry=False)"
    code, output = compose.containers("worker")[0].exec_run(["python", "-c", publish])
    assert code == 1
    assert b"ACCESS_REFUSED" in output, output
    url = f"postgresql://celery:{compose.values['STRANDLINE_PASSWORD_CELERY']}@127.0.0.1:{compose.ports['POSTGRES']}/celery"
    with psycopg.connect(url) as connection:
        insert = "INSERT INTO celery_taskmeta VALUES (nextval('task_id_sequence'), 'x', 'SUCCESS', %s)"
        connection.execute(insert, [b"cos\nsystem\n(S'true'\ntR."])
        assert connection.execute("SELECT result FROM celery_taskmeta WHERE task_id = 'x'").fetchone() == (None,)
        connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE celery_taskmeta DISABLE TRIGGER ALL")
    for database in ("airflow", "strandline"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(url.removesuffix("celery") + database)


def test_wrong_passwords_wait_and_are_in_the_audit_log(compose, api):
    """Of an account that nobody has, so that the tests after this one need not wait; the door knows no difference."""
    url = f"http://127.0.0.1:{compose.ports['API']}"
    login = {"username": "stranger", "password": "wrong"}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: requests.post(f"{url}/auth/token", json=login), range(10)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 5
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
    logged = api.request("GET", "/eventLogs", event="wrong_password", owner="stranger")
    assert logged["total_entries"] == 5
    for page in ("/openapi.json", "/docs", "/execution/docs", "/execution/openapi.json"):
        assert requests.get(url + page).status_code == 404, page


def test_the_databases_are_apart_and_each_role_has_its_own(compose):
    names = compose.rows("SELECT datname, pg_get_userbyid(datdba) AS owner FROM pg_database WHERE NOT datistemplate")
    owners = {row["datname"]: row["owner"] for row in names}
    assert owners == {
        **{"postgres": "postgres", "strandline": "strandline_owner"},
        **{"airflow": "airflow", "celery": "airflow"},
    }
    with psycopg.connect(compose.url("analyst")) as connection:
        connection.execute("SELECT * FROM reporting.runs")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM outcomes")


def test_each_worker_has_the_database_roles_of_its_duties_only(compose):
    promotes = {"worker": False, "worker-governance": True}
    code = "from strandline import ledger\nwith ledger.connect('{}'): pass"
    for service, may in promotes.items():
        container = compose.containers(service)[0]
        for duty, expected in (("ingest", not may), ("gate", may), ("promotion", may)):
            done = container.exec_run(["python", "-c", code.format(duty)])
            assert (done.exit_code == 0) == expected, (service, duty, done.output)


@pytest.mark.parametrize(("user", "allowed"), [("viewer", False), ("user", True), ("op", True), ("admin", True)])
def test_each_user_may_do_what_its_role_says(compose, user, allowed):
    with contextlib.closing(compose.api(user)) as session:
        assert {row["dag_id"] for row in session.dags()} >= {DAG}
        hour = HOUR + datetime.timedelta(days=1)
        if allowed:
            run_id = session.trigger(DAG, (hour, hour + datetime.timedelta(hours=1)), {"dry_run": True})
            assert session.wait(DAG, run_id, timeout=600) == "success"
        else:
            with pytest.raises(ApiError) as refused:
                session.trigger(DAG, (hour, hour + datetime.timedelta(hours=1)))
            assert refused.value.status == 403


def test_a_drop_is_ingested_by_hardened_containers_on_two_workers(compose, api):
    compose.drop(HOUR, 6000)  # enough for a shard a core
    run_id = api.trigger(DAG, (HOUR, HOUR + datetime.timedelta(hours=1)))
    assert api.wait(DAG, run_id, timeout=900) == "success", logs_of_failures(api, run_id)
    counts = compose.closing(run_id)
    assert (counts["listed"], counts["ingested"], counts["classified"]) == (6000, 6000, 6000)
    batches = compose.rows("SELECT image_digest, device, seconds FROM batches WHERE run_id = %(run)s", run=run_id)
    assert {batch["image_digest"] for batch in batches} == {compose.values["STRANDLINE_VISION_IMAGE"]}
    assert all(batch["seconds"].keys() >= {"spawn", "import", "first_batch"} for batch in batches)
    assert same_rows_as_processes(compose, run_id)
    assert compose.vision() == []
    (link,) = api.request("GET", f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/validate/links")["extra_links"].values()
    assert link.startswith(f"http://localhost:{compose.ports['API']}/strandline/reports/validation/")
    login = {"username": "viewer", "password": compose.values["STRANDLINE_PASSWORD_VIEWER"]}
    local = link.replace("localhost", "127.0.0.1")
    token = requests.post(f"http://127.0.0.1:{compose.ports['API']}/auth/token", json=login).json()["access_token"]
    assert "6,000" in requests.get(local, headers={"Authorization": f"Bearer {token}"}).text
    assert "6,000" not in requests.get(local).text


def test_its_report_follows_by_itself(compose, api):
    query = "SELECT images, compared, action FROM drift_reports WHERE window_start = %(hour)s"
    [report] = wait_for(lambda: compose.rows(query, hour=HOUR), 600)
    assert (report["images"], report["compared"], report["action"]) == (6000, 6000, "none")
    for dag in ("report_drift", "monitor_champion"):  # these would follow every other run, and take more than it does
        api.wait_quiet(dag)
        api.pause(dag)


def test_fabs_users_see_the_pages_as_their_roles_allow(compose, browser):
    """By FAB's own login, and back; pictures come from the store that the workers wrote."""
    with browser.new_context(base_url=f"http://localhost:{compose.ports['API']}") as context:
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto("/strandline/explore")
        page.locator("input[name=username]").fill("viewer")
        page.locator("input[name=password]").fill(compose.values["STRANDLINE_PASSWORD_VIEWER"])
        page.locator("input[type=submit]").click()
        page.wait_for_url("**/strandline/explore")
        thumbnail = page.locator("img.thumb").first
        thumbnail.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=thumbnail.element_handle())
        page.goto("/strandline/labels")
        assert "may read labels, and give none" in page.locator("main").inner_text()
        page.goto("/strandline/")
        assert "6,000 images were classified" in page.locator("main").inner_text()


def test_two_processes_answer_an_application_and_one_does_when_the_other_dies(compose, serve_image):
    """Over HTTP, by the commands of docs/compose.md: as the batch, and on record."""
    serving = "--profile", "serve"
    compose.run(*serving, "up", "--detach", "--wait", "--no-deps", "--scale", "serve=2", "serve", "serving-agent")
    program = "from strandline.serving import consumers; print(consumers.create('shop', 500, 'ann'))"
    token = compose.run("exec", "-T", "api-server", "python", "-c", program).split()[-1]
    picture = min((compose.landing / f"{HOUR:%Y-%m-%dT%H}").glob("*/*.jpg"))
    services = compose.containers("serve")
    first, second = map(address, services)

    def asked(service: str) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.post(f"{service}/classify", data=picture.read_bytes(), headers=headers, timeout=60)
        return answer.json() if answer.ok else None

    answers = [wait_for(lambda service=service: asked(service), 60) for service in (first, second)]
    services[0].kill()
    answers += [asked(second), asked(second)]
    query = (
        "SELECT server, prediction_id, served.probabilities = batch.probabilities AS same"
        " FROM served_predictions AS served JOIN predictions AS batch USING (image_id)"
        " WHERE consumer = 'shop' AND model_version = version"
    )
    rows = wait_for(lambda: len(found := compose.rows(query)) == 4 and found, 60)
    assert {row["prediction_id"] for row in rows} == {answer["prediction_id"] for answer in answers}
    assert {row["same"] for row in rows} == {True}
    assert len({row["server"] for row in rows}) == 2
    wait_for(lambda: list(compose.landing.glob(f"serving/*/{contract.sha256_file(picture)}.jpeg")), 60)
    for service in ("serve", "serving-agent"):
        host = compose.containers(service)[-1].attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
    compose.run(*serving, "rm", "--stop", "--force", "serve", "serving-agent")


def address(container: Container) -> str:
    """The address at which one of the services answers."""
    [port] = container.attrs["NetworkSettings"]["Ports"]["8090/tcp"]
    return f"http://127.0.0.1:{port['HostPort']}"


def test_nothing_is_lost_when_a_worker_the_broker_and_the_ledger_go_away(compose, api):
    """F06, F10, F38: a worker is killed in mid-batch; Postgres and RabbitMQ go and come back while the run goes on."""
    hour = HOUR + datetime.timedelta(hours=1)
    compose.drop(hour, 4000)
    run_id = api.trigger(DAG, (hour, hour + datetime.timedelta(hours=1)))
    wait_for(lambda: compose.vision("classify"), 600)
    victim = wait_for(lambda: busy_worker(compose, api, run_id), 60)
    victim.kill()  # SIGKILL to its first process: the whole container goes, and nobody tidies up
    for service in ("postgres", "rabbitmq"):
        (container,) = compose.containers(service)
        container.kill()
        container.start()
    victim.start()
    assert wait_for(lambda: ended(api, run_id), 1200) == "success", logs_of_failures(api, run_id)
    counts = compose.closing(run_id)
    assert counts["listed"] == counts["ingested"] + counts["duplicates"] == 4000
    assert (counts["classified"], counts["failed"]) == (4000, 0)
    assert same_rows_as_processes(compose, run_id)
    with ledger.connect("ingest", compose.ledger_url()) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}
    wait_for(lambda: not compose.vision(), 60)


def test_what_containers_trained_and_tested_is_promoted_by_a_person(compose, api):
    """It learns from the images of the tests before, and is tested on those of another hour."""
    hour = HOUR + datetime.timedelta(hours=2)
    compose.drop(hour, 1200)
    run_id = api.trigger(DAG, (hour, hour + datetime.timedelta(hours=1)))
    assert api.wait(DAG, run_id, timeout=600) == "success", logs_of_failures(api, run_id)
    config = training_sets.of_compose(settings.load(), compose.env_file)
    assert config.store == compose.store
    training_sets.make(config)
    owner = int(compose.values["STRANDLINE_UID"])
    assert {path.stat().st_uid for path in (compose.store / "datasets").iterdir()} == {owner}
    user, op = compose.api("user"), compose.api("op")
    trained = op.trigger("retrain_model", conf={"reason": "to see that containers do it"})
    assert api.wait("retrain_model", trained, timeout=1200) == "success", logs_of_failures(
        api, trained, "retrain_model"
    )
    [model] = compose.rows(
        "SELECT model_lineage.*, images FROM model_lineage JOIN datasets ON dataset_id = training_set"
        " WHERE run_id = %(run)s",
        run=trained,
    )
    assert (model["asked_by"], model["image_digest"]) == ("op", compose.values["STRANDLINE_VISION_IMAGE"])
    assert model["parameters"]["epochs"] == 1  # as settings.env says
    assert 1000 < model["images"] <= 1500

    gate = wait_for(lambda: api.runs("promote_model"), 120)[-1]["dag_run_id"]
    question = api.wait_approval_request("promote_model", gate, "request_approval", timeout=1200)
    assert model["version"][:12] in question["subject"]
    answer = "promote_model", gate, "request_approval", "Approve", "the report was read"
    with pytest.raises(ApiError) as refused:
        user.answer(*answer)
    assert refused.value.status == 403
    compose.api("admin").answer(*answer)  # op has asked for it
    assert api.wait("promote_model", gate, timeout=300) == "success", logs_of_failures(api, gate, "promote_model")
    [approval] = compose.rows("SELECT approver FROM approvals WHERE gate_id = %(run)s", run=gate)
    champions = compose.rows("SELECT version FROM champions WHERE period @> now()")
    assert (approval["approver"], champions) == ("admin", [{"version": model["version"]}])
    assert compose.vision() == []


def commands(document: str, heading: str) -> list[list[str]]:
    """The commands of each block below a heading of a document, those of more than one line as one."""
    section = (settings.REPOSITORY / "docs" / document).read_text().partition(f"{heading}\n")[2]
    section = re.split("^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [block.replace("\\\n", "").splitlines() for block in blocks]


def test_a_backup_holds_the_store_and_a_ledger_that_an_empty_database_takes(compose):
    """By the commands of docs/backup.md, while the stack runs on."""
    keep, restore = commands("backup.md", "## Docker compose")
    _, _, _, create, load, _ = restore  # all but what unpacks the store, makes roles, drops, and starts what runs here
    recorded = "SELECT * FROM closings", "SELECT * FROM champions", "SELECT image_id, run_id FROM predictions"
    before = [compose.rows(query) for query in recorded]
    compose.shell("\n".join(keep), compose.home)
    compose.shell(re.sub(r" strandline\b", " restored", f"{create}\n{load}"), compose.home)
    try:
        for query, rows in zip(recorded, before, strict=True):
            assert rows
            restored = {tuple(row.values()) for row in compose.rows(query, "restored")}
            assert {tuple(row.values()) for row in rows} <= restored, query
        named = compose.rows(ledger.query_files()["select_named_files"].read_text(), "restored")
    finally:
        compose.shell("docker compose exec -T postgres dropdb --username postgres restored", compose.home)
    unpacked = compose.home / "unpacked" / "store"
    unpacked.mkdir(parents=True)
    subprocess.run(["tar", "-C", unpacked, "-xf", compose.home / "store.tar"], check=True)
    assert named
    assert list(backup._faults(unpacked, named)) == []


# In a worker of another host: whether it speaks TLS to each server as it is set up; and then, with another authority's
# certificate in the place of its own, what it says of each.
JOIN = """
import json, os, pathlib, ssl, sys, httpx, psycopg
from airflow.configuration import conf
from airflow.providers.celery.executors.celery_executor import app
from airflow.sdk.api import client
from strandline import ledger
def attempt(connect):
    try:
        return connect()
    except Exception as error:
        return str(error)
def ask_ledger():
    with ledger.connect("ingest") as connection:
        return connection.pgconn.ssl_in_use
def ask_results():
    url = conf.get("celery", "result_backend").removeprefix("db+").replace("+psycopg2", "")
    with psycopg.connect(url) as connection:
        return connection.pgconn.ssl_in_use
def ask_broker(**changes):
    with app.connection(ssl=app.conf.broker_use_ssl | changes) as connection:
        connection.connect()
        return isinstance(connection.connection.transport.sock, ssl.SSLSocket)
def ask_api():
    context = client.Client._get_ssl_context_cached(os.environ["AIRFLOW__API__SSL_CA_FILE"])
    url = conf.get("core", "execution_api_server_url")
    return url.startswith("https:") and httpx.get(url + "health", verify=context, timeout=240).is_success
def ask_all(**changes):
    return [attempt(ask) for ask in (ask_ledger, ask_results, lambda: ask_broker(**changes), ask_api)]
right = ask_all()
other = pathlib.Path("/tmp/other.pem")
other.write_text(sys.argv[1])
os.environ |= {"PGSSLROOTCERT": str(other), "AIRFLOW__API__SSL_CA_FILE": str(other)}
print(json.dumps([right, ask_all(ca_certs=str(other))]))
"""


def test_a_worker_of_another_host_speaks_tls_and_believes_its_authority_alone(compose, engine):
    """The last test here: it starts Postgres and RabbitMQ again. Certificates are made as docs/second-host.md says."""
    for name in ("right", "other"):
        (compose.home / name).mkdir()
        compose.shell("\n".join(commands("second-host.md", "### Certificates")[0]), compose.home / name)
    [bridge] = engine.networks.get("bridge").attrs["IPAM"]["Config"]
    address = str(ipaddress.ip_network(bridge["Subnet"])[1])  # of this host, as its containers see it
    places = {"STRANDLINE_ADDRESS": address, "STRANDLINE_FIRST_HOST": address}
    places["STRANDLINE_TLS_ON_HOST"] = str(compose.home / "right" / "tls")
    files = {
        name: ["-f", "docker-compose.yml", "-f", f"deploy/compose/{name}-host.yml"] for name in ("first", "second")
    }
    behind_tls = "postgres", "rabbitmq", "api-server-tls"
    compose.run(*files["first"], "up", "--detach", "--wait", "--no-deps", *behind_tls, **places)
    joined = f"{PROJECT}-joined"
    run = "run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "worker", "-c", JOIN
    try:
        other = (compose.home / "other" / "tls" / "ca.pem").read_text()
        output = compose.run(*files["second"], *run, other, project=joined, **places)
    finally:
        compose.run(*files["second"], "down", "--volumes", project=joined, **places)
    right, refused = json.loads(output.splitlines()[-1])
    assert right == [True] * 4
    assert ["certificate verify failed" in said.lower() for said in refused] == [True] * 4, refused


def ended(api: Api, run_id: str) -> str | None:
    """The run's end, once it has one; while the stack fixes itself, nobody answers."""
    try:
        state = api.run(DAG, run_id)["state"]
    except (ApiError, json.JSONDecodeError):
        return None
    return state if state in ("success", "failed") else None


def logs_of_failures(api: Api, run_id: str, dag: str = DAG) -> str:
    failed = [row for row in api.task_instances(dag, run_id) if row["state"] == "failed"]
    return "\n".join(f"--- {row['task_id']}\n" + "\n".join(api.log(dag, run_id, row)[-25:]) for row in failed)


def busy_worker(compose: Compose, api: Api, run_id: str) -> Container | None:
    """A worker that is classifying, by the name that its task gives."""
    rows = [row for row in api.task_instances(DAG, run_id) if row["task_id"] == "classify"]
    busy = {row["hostname"] for row in rows if row["state"] == "running"}
    return next((worker for worker in compose.containers("worker") if worker.short_id in busy), None)


def same_rows_as_processes(compose: Compose, run_id: str) -> bool:
    """Each shard classified once more by a plain process on this machine: the ledger's rows are the same."""
    run = settings.load({"STRANDLINE_HOME": str(compose.store.parent)}).run_folder(run_id)
    config = settings.load({"STRANDLINE_HOME": str(compose.home / "control")})
    expected: dict[str, tuple[str, list[float]]] = {}
    for number, sealed in enumerate(sorted((run / "classify").glob(f"*/*/{contract.RESULT_FILE}"))):
        folder = compose.home / "control" / str(number)
        folder.mkdir(parents=True)
        shutil.copy(sealed.with_name(contract.REQUEST_FILE), folder)
        environment = vision_environment(config, folder) | {"STRANDLINE_STORE": str(compose.store)}
        command = [settings.load().vision.python, "-m", "vision", "classify"]
        subprocess.run([*command, "--request", folder / contract.REQUEST_FILE], env=environment, check=True)
        for row in pq.read_table(folder / contract.PREDICTIONS_FILE).to_pylist():
            expected[row["image_id"]] = (row["label"], row["probabilities"])
    shutil.rmtree(compose.home / "control")
    loaded = compose.rows("SELECT image_id, label, probabilities FROM predictions WHERE run_id = %(run)s", run=run_id)
    assert loaded
    for row in loaded:
        label, probabilities = expected[row["image_id"]]
        assert row["label"] == label
        assert row["probabilities"] == pytest.approx(probabilities, abs=1e-5)
    return True


def wait_for(found: Callable[[], Any], seconds: float) -> Any:
    give_up = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < give_up
        time.sleep(0.2)
    return value
