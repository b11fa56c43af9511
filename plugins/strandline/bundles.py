"""Model bundles as folders: whether one is whole, and is the version that it is kept as."""

import json
from pathlib import Path
from typing import Any

from strandline import contract

MANIFEST = "manifest.json"
REFERENCE_FILE = "reference.parquet"  # what the version predicted of its holdout; not every bundle has one


class BundleError(Exception):
    """A folder is not a whole model bundle; the message says what is wrong with it."""


def verify(folder: Path, version: str | None = None) -> dict[str, Any]:
    """The manifest of a bundle whose every file agrees with it.

    Args:
        version: that the bundle has to be.

    Raises:
        BundleError: a file is missing or altered, or it is another version.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} is not a model bundle: {error}") from error
    if version and (found := contract.sha256_file(folder / MANIFEST)) != version:
        raise BundleError(f"{folder} is version {found}, not {version}; fetch the bundle again")
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.is_file() or contract.sha256_file(path) != entry["sha256"]:
            raise BundleError(f"{path} is missing or not what {folder / MANIFEST} says; fetch the bundle again")
    return manifest
