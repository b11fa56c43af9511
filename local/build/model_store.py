"""Fetch a model bundle by the hash of its manifest, from the store that STRANDLINE_MODEL_STORE names.

A model store is a folder or a web address, in which a bundle's files lie under `<version>/`. What comes of it is what
was asked for, or an error: the version is the hash of the manifest, and the manifest has the hash of every file.
"""

import hashlib
import shutil
import tempfile
import urllib.request
from pathlib import Path

import strandline_contract as contract

TIMEOUT = 60  # seconds without a byte


class StoreError(Exception):
    """The store has no such bundle, or another one under its name."""


def fetch(version: str, store: str, folder: Path) -> Path:
    """The folder of a bundle, in the folder of all bundles: fetched, or kept from an earlier time.

    Raises:
        StoreError: no store is set or it does not answer, or a file has another hash or name than it should.
    """
    kept = folder / version
    if kept.is_dir():
        return kept
    if not store:
        raise StoreError("no model store is set: STRANDLINE_MODEL_STORE names a folder or a web address")
    manifest = _read(store, version, contract.BUNDLE_MANIFEST, version)
    try:
        files = contract.BundleManifest.from_json(manifest).files
    except contract.BadRequest as error:
        raise StoreError(f"bundle {version} of {store} is malformed: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        partial = Path(unfinished) / version
        partial.mkdir()
        (partial / contract.BUNDLE_MANIFEST).write_bytes(manifest)
        for name, entry in files.items():
            (partial / name).write_bytes(_read(store, version, name, entry.sha256))
        shutil.move(partial, kept)
    return kept


def _read(store: str, version: str, name: str, digest: str) -> bytes:
    where = f"{store.rstrip('/')}/{version}/{name}"
    url = where if "://" in where else Path(where).absolute().as_uri()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            content: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise StoreError(f"{where} cannot be read: {error}") from error
    if (found := hashlib.sha256(content).hexdigest()) != digest:
        raise StoreError(f"{where} has SHA-256 {found}, and should have {digest}: nothing of it is used")
    return content
