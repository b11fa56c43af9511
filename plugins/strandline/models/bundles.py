"""Model bundles as folders: whether one is whole, and is the version that it is kept as."""

from pathlib import Path
from typing import Any

import strandline_contract as contract
from strandline.errors import PermanentError


class BundleError(PermanentError):
    """A folder is not a whole model bundle; the message says what is wrong with it."""


def verify(folder: Path, version: str | None = None) -> contract.BundleManifest:
    """The manifest of a bundle whose every file agrees with it.

    Args:
        version: that the bundle has to be.

    Raises:
        BundleError: the manifest is malformed, a file is missing or altered, or it is another version.
    """
    try:
        return contract.verify_bundle(folder, version)
    except contract.BadInput as error:
        raise BundleError(str(error)) from error


def read_json(folder: Path, manifest: contract.BundleManifest, name: str) -> Any:
    """The value of a JSON file of a bundle that was verified; None if the bundle has none of this name.

    Raises:
        BundleError: it is malformed.
    """
    if name not in manifest.files:
        return None
    try:
        return contract.parse_json(contract.read_file(folder / name))
    except (OSError, contract.BadRequest) as error:
        raise BundleError(f"{folder / name} cannot be read: {error}") from error


def preprocessing(folder: Path, version: str) -> contract.Preprocessing:
    """What a bundle wants of its images.

    Raises:
        BundleError: as `verify`, or it does not say so.
    """
    found = read_json(folder, verify(folder, version), contract.PREPROCESSING_FILE)
    try:
        return contract.Preprocessing.from_dict(found)
    except contract.BadRequest as error:
        raise BundleError(
            f"{folder / contract.PREPROCESSING_FILE} does not say what the model wants of its images: {error}"
        ) from error


def corruption(folder: Path, version: str) -> contract.Corruption | None:
    """How the images were changed that a bundle's network learnt from; None if they were not, or it does not say so.

    Raises:
        BundleError: as `verify`, or what it says is malformed.
    """
    training = read_json(folder, verify(folder, version), contract.TRAINING_FILE)
    found = training.get("corruption") if isinstance(training, dict) else None
    try:
        return None if found is None else contract.Corruption.from_dict(found)
    except contract.BadRequest as error:
        raise BundleError(f"{folder / contract.TRAINING_FILE} names no corruption that there is: {error}") from error
