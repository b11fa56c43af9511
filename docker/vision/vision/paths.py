"""Where the mounts are: the landing zone and the store to read, one folder to write."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import strandline_contract as contract


@dataclass(frozen=True)
class Paths:
    landing: Path
    store: Path
    out: Path
    startup: dict[str, float] = field(default_factory=dict)  # seconds by phase, before the command itself

    def root(self, name: Literal["landing", "store", "fetched"]) -> Path:
        """What names of files are relative to."""
        return {"landing": self.landing, "store": self.store, "fetched": self.out / contract.FETCHED_FOLDER}[name]

    @classmethod
    def from_environment(cls, out: Path) -> "Paths":
        """
        Raises:
            contract.BadRequest: a mount is not named.
        """
        try:
            return cls(Path(os.environ["STRANDLINE_LANDING"]), Path(os.environ["STRANDLINE_STORE"]), out)
        except KeyError as error:
            raise contract.BadRequest(f"the environment variable {error.args[0]} is not set") from error
