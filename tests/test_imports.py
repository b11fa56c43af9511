"""Who may import whom: the guards are proved by planting what each of them has to refuse."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.utils.file import find_path_from_directory

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [PROGRAMS / program, *arguments]
    path = f"{folder / 'plugins'}:{folder / 'docker' / 'vision'}"
    environment = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path) -> Path:
    for folder in ("plugins", "dags", "docker/vision/vision"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def plant(file: Path, line: str) -> None:
    """After the docstring and the imports."""
    text = file.read_text()
    last = max(node.end_lineno or 0 for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom))
    lines = text.splitlines(keepends=True)
    file.write_text("".join([*lines[:last], line + "\n", *lines[last:]]))


S, V = "plugins/strandline", "docker/vision/vision"


@pytest.mark.parametrize(
    ("module", "line", "says"),
    [
        (f"{S}/scan.py", "import airflow", "strandline.scan is not allowed to import airflow"),
        (
            f"{S}/ingest/listing.py",
            "from airflow.sdk import Param",
            "strandline.ingest is not allowed to import airflow",
        ),
        (f"{S}/labels/load.py", "from strandline import assets", "strandline.labels is not allowed to import airflow"),
        (f"{S}/ingest/load.py", "from strandline.drift import verdict", "strandline.ingest is not allowed"),
        (f"{S}/stats/paired.py", "from strandline import ledger", "strandline.stats is not allowed"),
        (f"{S}/settings.py", "from strandline import ledger", "strandline.settings is not allowed"),
        (f"{S}/models/registry.py", "from strandline.promotion import gate", "strandline.models is not allowed"),
        (f"{V}/decoding/decode.py", "from vision.models import bundles", "vision.decoding is not allowed"),
        (f"{V}/models/bundles.py", "from vision.decoding import pixels", "vision.models is not allowed"),
        (f"{V}/models/guard.py", "from vision.commands import classify", "vision.models is not allowed"),
        (f"{V}/shards.py", "from vision.models import bundles", "vision.shards is not allowed"),
        (f"{V}/commands/train.py", "from vision.commands import pack", "vision.commands.train is not allowed"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_refused(copy, module, line, says):
    plant(copy / module, line)
    done = run(copy, "lint-imports")
    assert done.returncode != 0, done.stdout
    assert says in " ".join(done.stdout.split())


@pytest.mark.parametrize("package", [S, V])
def test_a_package_that_has_no_place_yet_is_refused(copy, package):
    (copy / package / "drawer.py").write_text('"""What has no room."""\n')
    done = run(copy, "lint-imports")
    assert done.returncode != 0
    assert "drawer" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("dags/report_drift.py", "import numpy", "TID253"),
        ("dags/report_drift.py", "from evidently import Report", "TID253"),
        ("plugins/strandline/drift/tasks.py", "import pandas", "TID253"),
        ("plugins/strandline/drift/report.py", "def late(): import pandas", "PLC0415"),
    ],
)
def test_what_makes_a_dag_file_slow_is_refused(copy, file, line, rule):
    plant(copy / file, line)
    done = run(copy, "ruff", "check", "--no-cache", "--output-format", "concise", "--select", "TID253,PLC0415", ".")
    (found,) = [text for text in done.stdout.splitlines() if rule in text]
    assert found.startswith(file)


def test_the_contract_imports_the_standard_library_only():
    for path in (REPOSITORY / "plugins" / "strandline_contract").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "strandline_contract"}, path.name


def test_airflow_loads_our_plugin_files_and_nothing_else_of_ours():
    found = find_path_from_directory(REPOSITORY / "plugins", ".airflowignore")
    files = {Path(path).name for path in found if path.endswith(".py")}
    assert files == {"airflow_plugin.py", "airflow_door.py", "airflow_pages.py"}
