"""A model bundle: an immutable folder, sealed by its manifest, whose SHA-256 is the model version."""

import dataclasses
from pathlib import Path

from strandline_contract.files import MAX_FILES, plain_name, store_path
from strandline_contract.messages import BadRequest, Message


@dataclasses.dataclass(frozen=True)
class BundleRef(Message):
    """A model bundle of the store: its folder, and its version (the SHA-256 of its manifest)."""

    path: str
    version: str

    def __post_init__(self) -> None:
        store_path(Path(), self.path)


@dataclasses.dataclass(frozen=True)
class BundleFile(Message):
    """A file of a bundle, as its manifest has it."""

    sha256: str
    bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class BundleManifest(Message):
    """What is in a model bundle; the SHA-256 of its JSON is the model version. Files go by plain names.

    Raises:
        BadRequest: a file's name is not a plain one, or there are too many.
    """

    name: str
    network: str
    files: dict[str, BundleFile]

    def __post_init__(self) -> None:
        for name in self.files:
            plain_name(name)
        if len(self.files) > MAX_FILES:
            raise BadRequest(f"a bundle of {len(self.files)} files has more than {MAX_FILES}")
