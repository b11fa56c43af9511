"""Bundles come from the model store by hash, whole and unaltered, or not at all."""

import functools
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import strandline_contract as contract
from local.build import model_store
from strandline import settings

CHAMPION = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
VERSION = contract.sha256_file(CHAMPION / contract.BUNDLE_MANIFEST)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    shutil.copytree(CHAMPION, tmp_path / "store" / VERSION)
    return tmp_path / "store"


@pytest.fixture
def address(store: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=store)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def contents(folder: Path) -> dict[str, str]:
    return {path.name: contract.sha256_file(path) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["folder", "web address"])
def test_a_bundle_is_fetched_once(kind, store, address, tmp_path):
    found = model_store.fetch(VERSION, address if kind == "web address" else str(store), tmp_path / "kept")
    assert contents(found) == contents(CHAMPION)
    shutil.rmtree(store)
    assert model_store.fetch(VERSION, str(store), tmp_path / "kept") == found


@pytest.mark.parametrize("name", ["manifest.json", "weights.params"])
def test_an_altered_file_is_refused_and_nothing_is_kept(name, store, tmp_path):
    with (store / VERSION / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(model_store.StoreError, match=rf"{name} has SHA-256 [0-9a-f]{{64}}, and should have"):
        model_store.fetch(VERSION, str(store), tmp_path / "kept")
    assert list((tmp_path / "kept").glob("*")) == []


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "a\\b", ""])
def test_no_file_is_written_out_of_the_bundles_folder(name, store, tmp_path):
    manifest = json.loads((store / VERSION / contract.BUNDLE_MANIFEST).read_bytes())
    manifest["files"][name] = manifest["files"]["weights.params"]
    hostile = json.dumps(manifest).encode()
    version = hashlib.sha256(hostile).hexdigest()
    (store / VERSION).rename(store / version)
    (store / version / contract.BUNDLE_MANIFEST).write_bytes(hostile)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(model_store.StoreError, match=r"is malformed: .* is not the plain name of a file"):
        model_store.fetch(version, str(store), tmp_path / "kept")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("where", "says"), [("", "STRANDLINE_MODEL_STORE"), ("http://127.0.0.1:9", "cannot be read")])
def test_a_store_that_is_not_there_is_said(where, says, tmp_path):
    with pytest.raises(model_store.StoreError, match=says):
        model_store.fetch(VERSION, where, tmp_path / "kept")
