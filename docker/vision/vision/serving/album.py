"""The pictures that are kept, so that they can be labelled, replayed and learnt from."""

import os
import sys
import threading
from pathlib import Path

import strandline_contract as contract


class Album:
    """Files by their SHA-256, each written whole before it has its name."""

    def __init__(self, folder: Path, server: str, share: float, max_bytes: int) -> None:
        self.folder = folder / contract.PICTURES_FOLDER / server
        self.folder.mkdir(parents=True, exist_ok=True)
        self._below = share * 2**32
        self._max_bytes = max_bytes

    def keep(self, image_id: str, data: bytes) -> bool:
        """Whether the picture lies there. Which ones are kept, their content decides: the same always, or never."""
        if len(data) > self._max_bytes or int(image_id[:8], 16) >= self._below:
            return False
        path = self.folder / image_id
        if path.exists():
            return True
        partial = self.folder / f"{image_id}.{threading.get_ident()}.partial"
        try:
            partial.write_bytes(data)
            os.rename(partial, path)  # noqa: PTH104 - pathlib's takes longer than the system's call
        except OSError as error:
            print(f"serving: a picture is not kept: {error}", file=sys.stderr)
            partial.unlink(missing_ok=True)
            return False
        return True
