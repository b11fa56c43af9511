"""Model bundles: registered in the ledger, kept in the store under the hash of their manifest."""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models.bundles import BundleError, read_json, verify


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the ledger has of a bundle beside its manifest; None if the bundle has none."""

    classes: list[str]
    metrics: dict[str, Any] | None
    lineage: contract.Lineage | None


def register(folder: Path, by: str, planned: Mapping[str, Any] | None = None) -> str:
    """Copy a bundle into the store and record it; doing so again changes nothing.

    Args:
        folder: a bundle as `vision package` makes it.
        by: the person or program that registers it.
        planned: what its lineage has to say, if it was trained here: as `training.planned` says.

    Returns:
        The model version: the SHA-256 of the bundle's manifest, in hex.

    Raises:
        BundleError: a file of the bundle is missing, altered or malformed; nothing was copied or recorded.
    """
    store = settings.get().store
    manifest, version = verify(folder), contract.sha256_file(folder / contract.BUNDLE_MANIFEST)
    facts = _facts(folder, manifest)
    lineage = facts.lineage.to_dict() if facts.lineage else {}
    if planned and {name: lineage.get(name) for name in planned} != dict(planned):
        raise BundleError(f"{folder / contract.LINEAGE_FILE} says otherwise than the ledger where it comes from")
    kept = _keep(folder, manifest, version)
    row = {"version": version, "name": manifest.name, "network": manifest.network, "registered_by": by}
    facts_row = {"bundle": str(kept.relative_to(store)), "classes": facts.classes, "metrics": json.dumps(facts.metrics)}
    with ledger.connect("training") as connection:
        ledger.execute(connection, "insert_model_version", row | facts_row)
        if lineage:
            texts = {name: json.dumps(lineage[name]) for name in ("versions", "parameters")}
            ledger.execute(connection, "insert_model_lineage", {"version": version, **lineage, **texts})
    return version


def install_first(version: str, by: str) -> bool:
    """Make a version the champion if there has never been one; says whether it did."""
    with ledger.connect("promotion") as connection:
        installed = ledger.fetch(connection, "install_first_champion", {"version": version, "by": by})
    return bool(installed[0]["installed"])


def install_bundles(folder: Path, by: str) -> list[str]:
    """Register each bundle that a folder holds, and make the first the champion if there has never been one.

    Returns:
        A line about each, for people.

    Raises:
        BundleError: a file of a bundle is missing or altered.
    """
    lines = []
    for bundle in sorted(path.parent for path in folder.glob(f"*/{contract.BUNDLE_MANIFEST}")):
        version = register(bundle, by)
        installed = install_first(version, by)
        lines.append(f"Model {bundle.name}, version {version[:12]}{', is the champion' if installed else ''}.")
    return lines or [f"{folder} holds no bundle: without a champion, ingest_images cannot run."]


def _keep(folder: Path, manifest: contract.BundleManifest, version: str) -> Path:
    """The bundle's folder in the store: put there whole or not at all, and nobody writes to its files."""
    kept = settings.get().store / "models" / version
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=kept.parent))
        try:
            for name in (*manifest.files, contract.BUNDLE_MANIFEST):
                with contract.open_file(folder / name) as source, (partial / name).open("xb") as target:
                    shutil.copyfileobj(source, target)
                (partial / name).chmod(0o444)
            verify(partial, version)
            partial.chmod(0o755)
            partial.rename(kept)
        except (OSError, BundleError):
            shutil.rmtree(partial)
            if not kept.is_dir():  # by somebody else, meanwhile
                raise
    verify(kept, version)
    return kept


def _facts(folder: Path, manifest: contract.BundleManifest) -> Facts:
    """
    Raises:
        BundleError: they are not in the contract's words, or nothing proves that its graph answers as it should.
    """
    if contract.GRAPH_FILE in manifest.files and contract.GOLDEN_FILE not in manifest.files:
        raise BundleError(
            f"{folder} has a {contract.GRAPH_FILE} and no {contract.GOLDEN_FILE}, by which a process proves that it"
            " says what it should: make the bundle again, by the verbs that write both"
        )
    classes = read_json(folder, manifest, contract.CLASSES_FILE)
    if not (
        isinstance(classes, list) and classes and all(isinstance(label, str) and label.strip() for label in classes)
    ):
        raise BundleError(f"{folder / contract.CLASSES_FILE} is no list of names")
    if len(set(classes)) < len(classes):
        raise BundleError(f"{folder / contract.CLASSES_FILE} has a class twice")
    metrics = read_json(folder, manifest, contract.METRICS_FILE)
    if not isinstance(metrics, dict | None):
        raise BundleError(f"{folder / contract.METRICS_FILE} is no JSON object")
    raw = read_json(folder, manifest, contract.LINEAGE_FILE)
    try:
        lineage = None if raw is None else contract.Lineage.from_dict(raw)
    except contract.BadRequest as error:
        raise BundleError(f"{folder / contract.LINEAGE_FILE}: {error}") from error
    return Facts(classes, metrics, lineage)
