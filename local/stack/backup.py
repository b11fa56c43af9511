"""Ledger and store kept together, and put back elsewhere: `python -m local.stack.backup backup|restore FOLDER`.

Files of the store are whole before the ledger names them, and never change. So the ledger is dumped first, in one
snapshot, and the store is copied after it: nothing has to stop, and whatever the dump names is in the copy.
"""

import argparse
import datetime
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import strandline_contract as contract
from local.stack import databases, postgres
from strandline import ledger
from strandline.leftovers import PATTERNS
from strandline.settings import Settings, SettingsError, load

LEDGER, STORE, MANIFEST = "ledger.dump", "store", "backup.json"
CHUNK = 2**20
SHOWN = 5  # of files with which something is wrong


class BackupError(Exception):
    """Nothing was kept, or nothing restored; the message says why and what to do."""


def backup(settings: Settings, target: Path) -> dict[str, Any]:
    """Keep the ledger and the store of a running stack in a new folder, which is there once it is whole.

    Returns:
        `files` and `bytes` of the store; `faults`: what is wrong with files that the ledger names, a sentence each.

    Raises:
        BackupError: the folder exists, or the stack is down.
        PostgresError: the ledger cannot be dumped.
    """
    if target.exists():
        raise BackupError(f"{target} exists: name a folder that does not, and the backup is made there")
    if not databases.running(settings):
        raise BackupError("Postgres does not run: make up, then try again")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    named = _named(settings)
    databases.dump(settings, partial / LEDGER)
    copied = _copy(settings.store, _files(settings.store), partial / STORE)
    manifest = {
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "ledger": contract.sha256_file(partial / LEDGER),
        "files": copied,
    }
    contract.write_json(partial / MANIFEST, manifest)
    os.sync()
    partial.rename(target)
    size = sum(path.stat().st_size for path in (target / STORE).rglob("*") if path.is_file())
    return {"files": len(copied), "bytes": size, "faults": list(_faults(target / STORE, named))}


def restore(settings: Settings, source: Path) -> dict[str, Any]:
    """Put a backup into a home folder that has neither ledger nor store, and prove it. Postgres runs on.

    Returns:
        `files` of the store, `invariants` that hold, and `made_at`: when the backup was made.

    Raises:
        BackupError: there is a ledger or a store already; the backup is not whole; what came of it is not sound.
        PostgresError: the ledger cannot be restored.
    """
    manifest = _manifest(source)
    if settings.store.exists() and any(settings.store.iterdir()):
        raise BackupError(f"{settings.store} is not empty: restore into a checkout, or a STRANDLINE_HOME, without one")
    if contract.sha256_file(source / LEDGER) != manifest["ledger"]:
        raise BackupError(f"{source / LEDGER} is not what {source / MANIFEST} says: use another backup")
    partial = settings.home / f"{STORE}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    copied = _copy(source / STORE, manifest["files"], partial)
    if wrong := sorted(name for name, digest in manifest["files"].items() if copied.get(name) != digest):
        raise BackupError(f"{_list(wrong)} of {source / STORE} missing or altered: use another backup")
    databases.start_server(settings)
    databases.provision(settings)
    if databases.has_ledger(settings):
        raise BackupError(f"{settings.home} has a ledger: restore into a checkout, or a STRANDLINE_HOME, without one")
    databases.restore(settings, source / LEDGER)
    if settings.store.exists():
        settings.store.rmdir()
    partial.rename(settings.store)
    databases.migrate(settings)
    with ledger.connect("owner", databases.owner_url(settings)) as connection:
        invariants = ledger.check_invariants(connection)
    broken = [name for name, rows in invariants.items() if rows] + list(_faults(settings.store, _named(settings)))
    if broken:
        raise BackupError(f"it is restored, but this does not hold: {_list(broken)}")
    return {"files": len(copied), "invariants": len(invariants), "made_at": manifest["made_at"]}


def _named(settings: Settings) -> list[Mapping[str, Any]]:
    with ledger.connect("owner", databases.owner_url(settings)) as connection:
        return list(ledger.fetch(connection, "select_named_files"))


def _faults(store: Path, named: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with files that the ledger names: with their hash, or with those that they name in turn."""
    for row in named:
        path = store / row["path"]
        try:
            if row["kind"] == "batch":
                contract.read_result(path, "classify")
            else:
                contract.verified(store, contract.FileRef(row["path"], row["sha256"]))
            if row["kind"] == "bundle":
                files = json.loads(path.read_bytes())["files"]
                for name, entry in files.items():
                    contract.verified(path.parent, contract.FileRef(name, entry["sha256"]))
        except (contract.ContractError, OSError) as error:
            yield f"{row['kind']}: {error}"


def _files(store: Path) -> Iterator[str]:
    """All whole files of a store, relative to it."""
    for folder, folders, names in os.walk(store):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _unfinished(name))
        for name in sorted(names):
            if not _unfinished(name) and (here / name).is_file() and not (here / name).is_symlink():
                yield str((here / name).relative_to(store))


def _unfinished(name: str) -> bool:
    return any(Path(name).match(pattern) for pattern in PATTERNS)


def _copy(source: Path, names: Iterable[str], target: Path) -> dict[str, str]:
    """Copy files; the SHA-256 of each that was there."""
    digests = {}
    target.mkdir(parents=True)
    for name in names:
        path = contract.store_path(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with (source / name).open("rb") as read, path.open("xb") as written:
                while chunk := read.read(CHUNK):
                    digest.update(chunk)
                    written.write(chunk)
        except FileNotFoundError:  # an attempt that ends tidies up behind itself
            path.unlink(missing_ok=True)
        else:
            digests[name] = digest.hexdigest()
    return digests


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((source / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise BackupError(f"{source} is not a backup: {error}") from error
    return manifest


def _list(faults: list[str]) -> str:
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return "; ".join(faults[:SHOWN]) + more


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="backup", description=__doc__)
    parser.add_argument("command", choices=["backup", "restore"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(argv)
    try:
        settings, folder = load(), arguments.folder.absolute()
        if arguments.command == "restore":
            done = restore(settings, folder)
            print(
                f"Restored the backup of {done['made_at']}: {done['files']:,} files, and all {done['invariants']}"
                " invariants hold. Next: make up"
            )
            return 0
        done = backup(settings, folder)
    except (BackupError, SettingsError, postgres.PostgresError, ledger.LedgerError) as error:
        print(f"make {arguments.command} stopped: {error}", file=sys.stderr)
        return 1
    print(f"Kept the ledger and {done['files']:,} files ({done['bytes'] / 2**20:,.0f} MiB) in {folder}.")
    if done["faults"]:
        print(f"Of the files that the ledger names, {len(done['faults'])} are not sound: {_list(done['faults'])}")
    return 1 if done["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
