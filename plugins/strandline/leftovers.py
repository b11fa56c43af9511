"""What a write that was cut short has left in the store: nothing reads it, and it only takes room."""

import logging
import shutil
import time
from pathlib import Path

log = logging.getLogger(__name__)

PATTERNS = ("*.partial", ".partial-*")
OLD_SECONDS = 24 * 3600  # no write takes that long


def remove(store: Path, older_than: float = OLD_SECONDS) -> list[str]:
    """Remove unfinished files and folders of a store that nobody has touched for `older_than` seconds.

    Returns:
        Their paths, relative to the store.
    """
    latest = time.time() - older_than
    found = sorted(path for pattern in PATTERNS for path in store.rglob(pattern) if _touched(path) < latest)
    for path in found:
        log.info("removing %s", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return [str(path.relative_to(store)) for path in found]


def _touched(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # finished meanwhile
        return time.time()
