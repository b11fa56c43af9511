"""Put a drop that was made here into the bucket that is the landing zone: `python -m local.demo.upload FOLDER`.

An object that is there already is left as it is. What no object can be, a link or a pipe, is left out. The folder is
gone in the end.
"""

import argparse
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from strandline import settings
from strandline.bucket import Bucket
from strandline.scan import LandingError

AT_ONCE = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    try:
        bucket = Bucket.landing(settings.get())
        files, new = upload(bucket, folder)
    except LandingError as error:
        print(f"Nothing more is dropped: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print(f"{files:,} files in {bucket.url}, {new:,} of them new")
    return 0


def upload(bucket: Bucket, folder: Path) -> tuple[int, int]:
    """Put what can be an object, by its path in the folder; how many these are, and how many were not there yet.

    Raises:
        LandingError: the store does not take one.
    """

    def put(name: bytes, path: Path) -> bool:
        if bucket.has(name):
            return False
        bucket.put(name, path.read_bytes())
        return True

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    named = [(bytes(path.relative_to(folder)), path) for path in paths]
    named = [(name, path) for name, path in named if name.decode(errors="replace").encode() == name]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return len(named), sum(threads.map(lambda one: put(*one), named))


if __name__ == "__main__":
    sys.exit(main())
