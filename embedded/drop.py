"""Drop real images into the landing zone: `python -m embedded.drop --count 500`. Runs in the vision environment.

The images of an hour are chosen by the hour: the same call drops the same files, a larger count adds to them, and a
file that is there already is left as it is, its time too. Pictures that models are tested on never land.
"""

import argparse
import datetime
import hashlib
import io
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedded import broken_files, cifar, hours
from strandline import settings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=500, help="images; beyond 5,000 also of the training set")
    parser.add_argument("--hour", type=hours.parse, help="as 2026-11-21T08, UTC; the last full hour unless given")
    parser.add_argument("--broken", action="store_true", help="and twenty broken or hostile files among them")
    arguments = parser.parse_args()
    chosen = settings.get()
    hour = arguments.hour or hours.last_full()
    try:
        written = drop(chosen.landing, hour, arguments.count, chosen.home / "cache" / "cifar10", chosen.cifar_archive)
    except cifar.CifarError as error:
        print(f"No images to drop: {error}", file=sys.stderr)
        return 1
    folder = chosen.landing / hour.strftime(hours.HOUR_FORMAT)
    print(f"{arguments.count:,} images in {folder}, {written:,} of them new")
    if arguments.broken:
        written = broken_files.write(folder, landing_time(hour))
        print(f"{len(broken_files.BROKEN_FILES)} broken or hostile files among them, {written} of them new")
    return 0


def drop(landing: Path, hour: datetime.datetime, count: int, cache: Path, archive: Path | None = None) -> int:
    """Put `count` images into `landing/<hour>/<class>/`, JPEG and PNG in turn; how many were not there yet.

    Args:
        count: at most 55,000; up to 5,000 come from the test images alone.
        cache: folder where a fetched CIFAR-10 archive is kept.
        archive: a local CIFAR-10 archive, used instead.

    Raises:
        CifarError: there are no images to be had, or not so many.
    """
    pixels, labels = cifar.load("test", cache, archive)
    lands = ~held_out(pixels)
    chosen = files(pixels[lands], labels[lands], hour)[:count]
    if count > len(chosen):
        chosen += files(*cifar.load("train", cache, archive), hour, first=len(chosen))[: count - len(chosen)]
    if count > len(chosen):
        raise cifar.CifarError(f"CIFAR-10 has {len(chosen)} images that may land, {count} were asked for")
    folder = landing / hour.strftime(hours.HOUR_FORMAT)
    for name in cifar.CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    return sum(_put(folder / name, encode(pixels, name), landing_time(hour)) for name, pixels in chosen)


def held_out(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of CIFAR-10's test images [n] models are tested on: those of the first champion's reference profile.

    Raises:
        CifarError: the profile has images that are none of these.
    """
    import pyarrow.parquet as pq

    path = settings.REPOSITORY / "models" / "cifar_resnet20_v1" / "reference.parquet"
    reference = set(pq.read_table(path, columns=["image_id"])["image_id"].to_pylist())
    ids = [hashlib.sha256(encode(image, "png")).hexdigest() for image in pixels]
    missing = len(reference.difference(ids))
    if missing and len(ids) >= len(reference):
        raise cifar.CifarError(
            f"{missing} images of {path} are no test images of CIFAR-10, or Pillow writes PNG otherwise now"
        )
    return np.array([one in reference for one in ids], bool)


def landing_time(hour: datetime.datetime) -> int:
    """When dropped files say that they were changed: always the same, so that a file dropped anew is a known one.

    Returns:
        Seconds since 1970.
    """
    return int(hour.timestamp())


def files(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], hour: datetime.datetime, first: int = 0
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Images [32, 32, 3] in the order of an hour, each with its name, `<class>/NNNN.jpg` or `.png`.

    Args:
        first: the number of the first name.
    """
    order = np.random.default_rng(int(hour.timestamp())).permutation(len(pixels))
    names = (f"{number:04d}.{'png' if number % 2 else 'jpg'}" for number in range(first, first + len(order)))
    return [(f"{cifar.CLASSES[labels[i]]}/{name}", pixels[i]) for i, name in zip(order, names, strict=True)]


def encode(pixels: NDArray[np.uint8], name: str) -> bytes:
    """A [32, 32, 3] image in the format of the name: JPEG of quality 95, or PNG."""
    buffer = io.BytesIO()
    if name.endswith("jpg"):
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    else:
        Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _put(path: Path, content: bytes, landed: int) -> bool:
    """Write a file whole or not at all, unless it is there; whether it was written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(content)
    os.utime(partial, (landed, landed))
    partial.rename(path)
    return True


if __name__ == "__main__":
    sys.exit(main())
