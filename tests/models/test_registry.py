"""Bundles are registered whole and under plain names, or not at all; what is registered is not written to."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import gate_evaluations
import pytest

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models import bundles, registry
from strandline.models.bundles import BundleError

pytestmark = pytest.mark.usefixtures("database")

HOSTILE = ["../CHAMPION/weights.params", "/etc/hostname", "a/b", "..", ".", "", "a\\b", "a\0b", "a\nb", "x" * 256]


@pytest.fixture
def champion() -> Path:
    """The registered champion's folder."""
    version = gate_evaluations.make_version("champion")
    registry.install_first(version, "tester")
    return settings.get().store / "models" / version


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that nobody registered, as `vision package` may leave it."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    contract.write_json(folder / contract.CLASSES_FILE, ["cat", "dog"])
    (folder / contract.WEIGHTS_FILE).write_bytes(b"hostile weights")
    return folder


def seal(folder: Path, names: dict[str, Path] | None = None, **changes: Any) -> None:
    """The manifest; `names` are of files, wherever they are."""
    found = names or {path.name: path for path in folder.iterdir() if path.name != contract.BUNDLE_MANIFEST}
    files = {name: {"sha256": contract.sha256_file(path)} for name, path in found.items()}
    (folder / contract.BUNDLE_MANIFEST).write_text(json.dumps({"name": "n", "network": "n", "files": files} | changes))


def store() -> dict[str, bytes]:
    return {
        str(path.relative_to(settings.get().store)): path.read_bytes()
        for path in settings.get().store.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_of_a_manifest_leads_out_of_its_folder(champion, bundle, name):
    hostile = name.replace("CHAMPION", champion.name)
    seal(bundle, {"classes.json": bundle / contract.CLASSES_FILE, hostile: bundle / contract.WEIGHTS_FILE})
    before = store()
    with pytest.raises(BundleError, match=r"plain name|NUL"):
        registry.register(bundle, "mallory")
    assert store() == before
    bundles.verify(champion, champion.name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"files": ["weights.params"]}, "files must be"),
        ({"files": {"weights.params": "00"}}, "must be a JSON object"),
        ({"files": {f"{number}": {"sha256": "00"} for number in range(1000)}}, "more than 64"),
        ({"files": {}}, "classes.json"),
        ({"name": 7}, "name must be str"),
        ({"name": "a\0b"}, "NUL"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_malformed_manifest_is_refused_in_a_sentence(bundle, changes, says):
    seal(bundle, **changes)
    with pytest.raises(BundleError, match=says):
        registry.register(bundle, "mallory")
    assert store() == {}


def test_a_graph_that_no_golden_image_proves_is_refused(bundle):
    (bundle / contract.GRAPH_FILE).write_bytes(b"a graph")
    seal(bundle)
    with pytest.raises(BundleError, match=r"has a model\.onnx and no golden\.parquet"):
        registry.register(bundle, "mallory")
    assert store() == {}
    (bundle / contract.GOLDEN_FILE).write_bytes(b"golden images")
    seal(bundle)
    assert registry.register(bundle, "tester")


@pytest.mark.parametrize("raw", ["[" * 100_000, "{", "NaN", '"\\ud800"', "1e999", " " * 2**21, "[]"])
def test_a_manifest_that_is_no_json_of_ours_is_refused(bundle, raw):
    (bundle / contract.BUNDLE_MANIFEST).write_text(raw)
    with pytest.raises(BundleError, match="is not a model bundle"):
        registry.register(bundle, "mallory")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classes.json", {"cat": 1}),
        ("classes.json", ["cat", "cat"]),
        ("classes.json", ["cat", 7]),
        ("classes.json", []),
        ("metrics.json", ["accuracy"]),
        ("lineage.json", {"parent": 7}),
    ],
)
def test_malformed_facts_of_a_bundle_are_refused_before_a_byte_is_copied(bundle, file, content):
    (bundle / file).write_text(json.dumps(content))
    seal(bundle)
    with pytest.raises(BundleError, match=file):
        registry.register(bundle, "mallory")
    assert store() == {}


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_regular_file_is_not_copied(bundle, tmp_path, kind):
    seal(bundle)
    weights = bundle / contract.WEIGHTS_FILE
    weights.rename(tmp_path / "elsewhere")
    {"link": lambda: weights.symlink_to(tmp_path / "elsewhere"), "pipe": lambda: os.mkfifo(weights)}.get(
        kind, weights.mkdir
    )()
    with pytest.raises(BundleError, match=r"weights.params is missing or not what"):
        registry.register(bundle, "mallory")
    assert store() == {}


def test_a_registered_bundle_is_read_only_and_holds_what_its_manifest_names(champion, bundle):
    (bundle / contract.WEIGHTS_FILE).chmod(0o4777)
    seal(bundle)
    (bundle / "left behind").write_bytes(b"x")
    kept = settings.get().store / "models" / registry.register(bundle, "trainer")
    assert {path.name for path in kept.iterdir()} == {"classes.json", "weights.params", "manifest.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {0o444}
    shutil.rmtree(kept)  # is still possible for who owns the store


def test_an_altered_bundle_is_not_taken_for_the_registered_one(champion, bundle):
    seal(bundle)
    version = registry.register(bundle, "trainer")
    weights = settings.get().store / "models" / version / contract.WEIGHTS_FILE
    weights.unlink()
    weights.write_bytes(b"other weights")
    with pytest.raises(BundleError, match=r"weights.params"):
        registry.register(bundle, "trainer")


def test_the_ledger_has_what_the_manifest_seals_and_nothing_beside_it(bundle):
    seal(bundle)
    contract.write_json(bundle / contract.METRICS_FILE, {"accuracy": 1.0})
    version = registry.register(bundle, "trainer")
    with ledger.connect("training") as connection:
        (row,) = ledger.fetch(connection, "select_model_version", {"version": version})
        found = connection.execute("SELECT metrics FROM model_versions").fetchone()
    assert row["classes"] == ["cat", "dog"]
    assert found == {"metrics": None}
