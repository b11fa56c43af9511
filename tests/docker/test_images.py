"""The images: what they are called, what is in them, and what is not."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest

import strandline_contract as contract
from local.build import images, model_store
from strandline import settings

LARGEST = {"vision": 950_000_000, "airflow": 1_500_000_000, "serve": 650_000_000}
USERS = {"vision": "10001", "airflow": "50000", "serve": "10001"}
LOCKS = {name: f"{name}/requirements.txt" for name in ("vision", "airflow")} | {
    "serve": "vision/requirements-serve.txt"
}
TOOLS = ("gcc", "cc", "g++", "make", "ld", "as", "pip", "uv", "git", "curl", "wget")

pytestmark = pytest.mark.timeout(1200)  # a first build downloads all packages


@pytest.fixture(params=images.IMAGES)
def name(request) -> str:
    return request.param


@pytest.fixture
def image(name, request) -> str:
    return request.getfixturevalue(f"{name}_image")


def run(engine, image: str, *command: str, read_only: bool = True, user: str | None = None) -> str:
    """What a command prints in a container as unprivileged as a task's."""
    container = engine.containers.run(
        image,
        entrypoint=command[0],
        command=list(command[1:]),
        detach=True,
        read_only=read_only,
        user=user,
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": ""},
    )
    try:
        status = container.wait(timeout=300)["StatusCode"]
        assert status == 0, container.logs().decode()
        return container.logs(stderr=False).decode()  # now that it has ended: followed, a log may lose its end
    finally:
        container.remove(force=True)


def test_it_is_labelled(engine, image):
    labels = engine.images.get(image).labels
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert labels["strandline.model_version"] == contract.sha256_file(images.CHAMPION / contract.BUNDLE_MANIFEST)


def test_it_is_tagged_by_content_and_revision(engine, image, name):
    found = engine.images.get(image)
    revision = found.labels["org.opencontainers.image.revision"]
    named = {f"0.1.0-{image.removeprefix('sha256:')[:12]}", f"revision-{revision[:12]}"}
    assert {f"strandline/{name}:{tag}" for tag in named} <= set(found.tags)


def test_it_is_not_root(engine, image, name):
    assert run(engine, image, "id", "-u").strip() == USERS[name]


def test_its_bill_is_its_lock(engine, image, name):
    bill = json.loads(run(engine, image, "cat", "/opt/sbom/python.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {_normal(component["name"]): component["version"] for component in bill["components"]}
    lock = (settings.REPOSITORY / "docker" / LOCKS[name]).read_text()
    assert listed == dict(re.findall(r"^([a-z0-9.-]+)(?:\[.*?\])?==(\S+)", lock, flags=re.MULTILINE))


def _normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_its_bill_lists_debian_packages(engine, image):
    packages = dict(line.split()[:2] for line in run(engine, image, "cat", "/opt/sbom/debian.txt").splitlines())
    assert {"libc6", "base-files"} <= packages.keys()


def test_nothing_in_it_raises_privileges_compiles_or_downloads(engine, image):
    assert run(engine, image, "sh", "-c", "find / -xdev -type f -perm /6000 2>/dev/null || true") == ""
    assert run(engine, image, "sh", "-c", f"command -v {' '.join(TOOLS)} || true") == ""


def test_it_is_small(engine, image, name):
    assert engine.images.get(image).attrs["Size"] < LARGEST[name]


def test_vision_says_how_to_use_it(engine, vision_image):
    usage = run(engine, vision_image, "python", "-m", "vision", "--help")
    assert engine.images.get(vision_image).attrs["Config"]["Entrypoint"] == ["python", "-m", "vision"]
    assert all(command in usage for command in contract.REQUESTS)


def test_vision_imports_all_it_calls_on_a_read_only_root(engine, vision_image):
    program = "from vision.commands import pack; from vision.commands import classify, evaluate, package, train"
    run(engine, vision_image, "python", "-c", program)


def test_serve_imports_all_it_calls_and_has_no_mxnet(engine, serve_image):
    absent = "import importlib.util as u; print([u.find_spec(name) for name in ('mxnet', 'gluoncv')])"
    run(engine, serve_image, "python", "-c", "from vision.serving import application, __main__")
    assert run(engine, serve_image, "python", "-c", absent).strip() == "[None, None]"


def test_vision_holds_the_champion(engine, vision_image):
    listed = run(engine, vision_image, "sh", "-c", "cd /opt/champion && sha256sum *")
    found = {name: digest for digest, name in (line.split() for line in listed.splitlines())}
    assert found == {path.name: contract.sha256_file(path) for path in images.CHAMPION.iterdir()}


def test_an_altered_champion_stops_the_build(engine, vision_image, capfd):
    images.FETCHED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=images.FETCHED) as folder:
        bundle = shutil.copytree(images.CHAMPION, Path(folder) / "bundle")
        weights = bundle / contract.WEIGHTS_FILE
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        with pytest.raises(images.ImageError):
            images.build("vision", champion=bundle)
    assert "weights.params is missing or not what the bundle's manifest says" in capfd.readouterr().err


def test_a_champion_of_the_model_store_is_built_in(engine, vision_image):
    version = contract.sha256_file(images.CHAMPION / contract.BUNDLE_MANIFEST)
    with tempfile.TemporaryDirectory() as store:
        shutil.copytree(images.CHAMPION, Path(store) / version)
        bundle = model_store.fetch(version, store, images.FETCHED)
    try:
        image = images.build("vision", champion=bundle)
    finally:
        shutil.rmtree(bundle)
    assert engine.images.get(image).labels["strandline.model_version"] == version


def test_vision_user_owns_nothing(engine, vision_image):
    """What it cannot write it cannot change, even where a root file system is writable."""
    writable = "find / -xdev -writable -not -type l -not -path '/tmp*' 2>/dev/null || true"
    found = run(engine, vision_image, "sh", "-c", writable).split()
    assert [path for path in found if not path.startswith(("/proc", "/dev", "/sys", "/var/tmp", "/run/lock"))] == []


def test_airflow_runs_for_any_user_of_group_0(engine, airflow_image):
    assert run(engine, airflow_image, "airflow", "version", user="12345:0", read_only=False).strip() == "3.3.2"


def test_airflow_parses_every_dag(engine, airflow_image):
    program = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("/opt/strandline/dags")
assert not bag.import_errors, bag.import_errors
print(",".join(sorted(bag.dags)))
"""
    parsed = run(engine, airflow_image, "python", "-c", program, read_only=False).splitlines()[-1]
    assert parsed.split(",") == sorted(path.stem for path in (settings.REPOSITORY / "dags").glob("*.py"))


@pytest.mark.parametrize(
    "module",
    ["celery.executors.celery_executor", "fab.auth_manager.fab_auth_manager", "cncf.kubernetes.operators.pod"],
)
def test_airflow_imports_what_its_executors_and_users_need(engine, airflow_image, module):
    run(engine, airflow_image, "python", "-c", f"import airflow.providers.{module}", read_only=False)


def test_airflow_compares_with_evidently(engine, airflow_image):
    program = """
import numpy, pandas
from strandline.drift import evidently_report
def frame(seed):
    random = numpy.random.default_rng(seed)
    numbers = {name: random.normal(size=500) for name in evidently_report.NUMBERS}
    return pandas.DataFrame({**numbers, "label": random.choice(["cat", "dog"], 500)})
compared = evidently_report.compare(frame(0), frame(1))
print(len(compared.html) > 1_000_000, *(column.score is not None for column in compared.columns))
"""
    said = run(engine, airflow_image, "python", "-W", "ignore", "-c", program)
    assert set(said.split()) == {"True"}
