"""`make convert`: a registered bundle of the first format gets its graph, as another version with the same answers."""

import shutil
from pathlib import Path

import pytest
from drift_windows import BUNDLE, register

import strandline_contract as contract
from local.build import convert
from strandline import ledger, settings
from strandline.models import bundles

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def first_format(tmp_path: Path) -> str:
    """The version of a bundle without its graph and its golden images."""
    return register(tmp_path, **{contract.GRAPH_FILE: None, contract.GOLDEN_FILE: None})


def versions() -> dict[str, Path]:
    """The folder of each."""
    with ledger.connect("training") as connection:
        rows = connection.execute("SELECT version, bundle FROM model_versions").fetchall()
    return {row["version"]: settings.get().store / row["bundle"] for row in rows}


def test_a_bundle_of_the_first_format_becomes_another_version(first_format, capsys):
    assert convert.convert(settings.get(), first_format[:8]) == 0
    ((version, folder),) = (pair for pair in versions().items() if pair[0] != first_format)
    assert f"is registered as model version {version}, beside {first_format}" in capsys.readouterr().out
    files = bundles.verify(folder, version).files
    assert {contract.GRAPH_FILE, contract.GOLDEN_FILE, contract.REFERENCE_FILE, contract.METRICS_FILE} <= files.keys()
    kept = contract.sha256_file(BUNDLE / contract.WEIGHTS_FILE)
    assert files[contract.WEIGHTS_FILE].sha256 == kept
    assert contract.parse_json((folder / contract.CONVERTED_FILE).read_bytes()) == {"version": first_format}


def test_there_is_nothing_to_convert_of_what_has_its_graph(tmp_path, capsys):
    version = register(tmp_path)
    assert convert.convert(settings.get(), version) == 0
    assert "there is nothing to convert" in capsys.readouterr().out
    assert list(versions()) == [version]


def test_a_version_that_there_is_not_is_said(capsys):
    assert convert.convert(settings.get(), "abc") == 1
    assert "no model version that begins with abc" in capsys.readouterr().err


def test_an_altered_bundle_is_not_converted(first_format, capsys):
    folder = versions()[first_format]
    shutil.copy(BUNDLE / contract.CLASSES_FILE, folder / "new")
    (folder / "new").rename(folder / contract.PREPROCESSING_FILE)
    assert convert.convert(settings.get(), first_format) == 1
    assert "not what the bundle's manifest says" in capsys.readouterr().err
