"""Model bundles: registered in the ledger, kept in the store under the hash of their manifest."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from strandline import contract, ledger, settings
from strandline.bundles import MANIFEST, verify


def register(folder: Path, by: str) -> str:
    """Copy a bundle into the store and record it; doing so again changes nothing.

    Args:
        folder: a bundle as `vision package` makes it.
        by: the person or program that registers it.

    Returns:
        The model version: the SHA-256 of the bundle's manifest, in hex.

    Raises:
        BundleError: a file of the bundle is missing or altered.
    """
    manifest = verify(folder)
    version = contract.sha256_file(folder / MANIFEST)
    kept = _keep(folder, version)
    row = {
        "version": version,
        "name": manifest["name"],
        "network": manifest["network"],
        "classes": json.loads((folder / "classes.json").read_bytes()),
        "bundle": kept,
        "metrics": json.dumps(_metrics(folder)),
        "registered_by": by,
    }
    with ledger.connect() as connection:
        ledger.execute(connection, "insert_model_version", row)
        if (folder / contract.LINEAGE_FILE).is_file():
            ledger.execute(connection, "insert_model_lineage", {"version": version, **_lineage(folder)})
    return version


def install_first(version: str, by: str) -> bool:
    """Make a version the champion where there has never been one; says whether it did."""
    with ledger.connect() as connection:
        installed = ledger.fetch(connection, "install_first_champion", {"version": version, "by": by})
    return bool(installed[0]["installed"])


def install_bundles(folder: Path, by: str) -> list[str]:
    """Register each bundle that a folder holds, and make the first the champion where there has never been one.

    Returns:
        A line about each, for people.

    Raises:
        BundleError: a file of a bundle is missing or altered.
    """
    lines = []
    for bundle in sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")):
        version = register(bundle, by)
        installed = install_first(version, by)
        lines.append(f"Model {bundle.name}, version {version[:12]}{', is the champion' if installed else ''}.")
    return lines or [f"{folder} holds no bundle: without a champion, ingest_images cannot run."]


def _keep(folder: Path, version: str) -> str:
    """The bundle's folder in the store, relative to it; put there whole or not at all."""
    store = settings.get().store
    kept = store / "models" / version
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=kept.parent))
        for name in (*verify(folder)["files"], MANIFEST):
            shutil.copyfile(folder / name, partial / name)
        partial.chmod(0o755)
        try:
            partial.rename(kept)
        except OSError:
            shutil.rmtree(partial)
            if not kept.is_dir():
                raise
    verify(kept)
    return str(kept.relative_to(store))


def _metrics(folder: Path) -> dict[str, Any] | None:
    path = folder / contract.METRICS_FILE
    return json.loads(path.read_bytes()) if path.is_file() else None


def _lineage(folder: Path) -> dict[str, Any]:
    """Where a model comes from, as its bundle says, for the ledger.

    Raises:
        contract.BadRequest: it does not say so in the contract's words.
    """
    lineage = contract.Lineage.from_dict(json.loads((folder / contract.LINEAGE_FILE).read_bytes())).to_dict()
    return lineage | {name: json.dumps(lineage[name]) for name in ("versions", "parameters")}
