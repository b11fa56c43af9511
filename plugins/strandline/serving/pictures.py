"""Pictures that were asked about become a drop of their own source: the hourly run takes them up as any others."""

import contextlib
import errno
import functools
import itertools
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from psycopg.rows import DictRow

import strandline_contract as contract
from strandline import ledger, periods, settings
from strandline.bucket import Bucket
from strandline.settings import BucketUrl

log = logging.getLogger(__name__)

SOURCE = "serving"
AT_ONCE = 2_000  # pictures that are looked up together
IMAGE_ID = re.compile("[0-9a-f]{64}")
FORMAT = re.compile("[A-Za-z0-9]{1,10}")


def folder(serving: Path, server: str) -> Path:
    """Where a serving process keeps its pictures."""
    return serving / contract.PICTURES_FOLDER / server


def land(kept: Path) -> int:
    """Move the pictures of a serving process whose lines are loaded into the landing zone; returns how many.

    Each goes into the period in which it was asked about, once: a file of this name there has the same content.

    Raises:
        Unreachable: the ledger does not answer.
        LandingError: the landing zone is a bucket that does not take one.
    """
    config = settings.get()
    zone = config.landing
    landed, names = 0, _names(kept)
    while some := list(itertools.islice(names, AT_ONCE)):
        with ledger.connect("serving") as connection:
            rows = ledger.fetch(connection, "select_served_pictures", {"server": kept.name, "image_ids": some})
        for row in rows:
            if isinstance(zone, BucketUrl):
                _upload(kept / row["image_id"], _bucket(zone, config.landing_connection), _name(row))
            else:
                _move(kept / row["image_id"], zone / _name(row))
        landed += len(rows)
    return landed


def remove_dead(kept: Path) -> None:
    """Remove what is left of a process that is dead, once its pictures have landed: nobody was answered about it."""
    if kept.is_dir() and not kept.is_symlink():
        if left := sum(1 for _ in _names(kept)):
            log.warning("%s has %d pictures that nobody was answered about: dropped", kept, left)
        shutil.rmtree(kept)


def _names(kept: Path) -> Iterator[str]:
    if kept.is_symlink() or not kept.is_dir():
        return
    with os.scandir(kept) as found:
        for item in found:
            if IMAGE_ID.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                yield item.name


def _name(row: DictRow) -> str:
    """In the landing zone."""
    period = periods.get()
    drop = period.floor(row["at"]).strftime(period.path_format)
    suffix = f".{row['format'].lower()}" if FORMAT.fullmatch(row["format"] or "") else ""
    return f"{SOURCE}/{drop}/{row['image_id']}{suffix}"


@functools.lru_cache(1)
def _bucket(url: BucketUrl, connection: str) -> Bucket:
    return Bucket(url, connection)


def _upload(picture: Path, bucket: Bucket, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # moved by another agent
        content = contract.read_file(picture, settings.get().serving.max_bytes)
        if not bucket.has(name.encode()):
            bucket.put(name.encode(), content)
        picture.unlink(missing_ok=True)


def _move(picture: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        picture.unlink(missing_ok=True)
        return
    try:
        picture.rename(target)
    except FileNotFoundError:  # by another agent
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with contract.open_file(picture) as source, contract.whole(target) as copy:
            shutil.copyfileobj(source, copy)
            os.fchmod(copy.fileno(), 0o644)
        picture.unlink(missing_ok=True)
