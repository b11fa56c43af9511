"""Which bundles a vision command loads."""

import json
from pathlib import Path

import pytest

import strandline_contract as contract
from vision.models import bundles

FILES = {"weights.params": b"w", "classes.json": b'["a", "b"]', "preprocessing.json": b""}
SIZE = {"height": 32, "width": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}


def make(store: Path, *left_out: str, **renamed: str) -> contract.BundleRef:
    """A bundle; `renamed` are its manifest's names of files."""
    folder = store / "bundle"
    folder.mkdir()
    for name, content in (FILES | {"preprocessing.json": json.dumps(SIZE).encode()}).items():
        (folder / name).write_bytes(content)
    bundles.seal(folder, "n", "n")
    manifest = json.loads((folder / contract.BUNDLE_MANIFEST).read_bytes())
    for name in left_out:
        del manifest["files"][name]
    for name, other in renamed.items():
        manifest["files"][other] = manifest["files"][f"{name}.params"]
    (folder / contract.BUNDLE_MANIFEST).write_text(json.dumps(manifest))
    return contract.BundleRef("bundle", contract.sha256_file(folder / contract.BUNDLE_MANIFEST))


def test_a_whole_bundle_is_loaded(tmp_path):
    assert bundles.load(tmp_path, make(tmp_path)).classes == ("a", "b")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b", "..", "", "a\\b", "a\0b"])
def test_a_manifest_names_files_of_its_folder_only(tmp_path, name):
    with pytest.raises(contract.BadInput, match=r"plain name|NUL"):
        bundles.load(tmp_path, make(tmp_path, weights=name))


@pytest.mark.parametrize("name", ["classes.json", "preprocessing.json"])
def test_what_is_read_is_what_the_manifest_seals(tmp_path, name):
    with pytest.raises(contract.BadInput, match=name):
        bundles.load(tmp_path, make(tmp_path, name))


def test_a_bundle_has_a_graph_or_weights(tmp_path):
    reference = make(tmp_path)
    (tmp_path / "bundle" / contract.WEIGHTS_FILE).rename(tmp_path / "bundle" / contract.GRAPH_FILE)
    version = bundles.seal(tmp_path / "bundle", "n", "n")
    assert bundles.load(tmp_path, contract.BundleRef("bundle", version)).graph.is_file()
    (tmp_path / "bundle" / contract.GRAPH_FILE).unlink()
    version = bundles.seal(tmp_path / "bundle", "n", "n")
    with pytest.raises(contract.BadInput, match="names no network"):
        bundles.load(tmp_path, contract.BundleRef(reference.path, version))


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"height": 32}', b'{"mean": 7}', b"[" * 100_000])
def test_a_malformed_file_is_bad_input(tmp_path, content):
    make(tmp_path)
    (tmp_path / "bundle" / contract.PREPROCESSING_FILE).write_bytes(content)
    bundles.seal(tmp_path / "bundle", "n", "n")
    version = contract.sha256_file(tmp_path / "bundle" / contract.BUNDLE_MANIFEST)
    with pytest.raises(contract.BadInput, match="malformed"):
        bundles.load(tmp_path, contract.BundleRef("bundle", version))
