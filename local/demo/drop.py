"""Drop real images into the landing zone: `python -m local.demo.drop --count 500`. Runs in the vision environment.

The images of a period are chosen by it: the same call drops the same files, a larger count adds to them, and a
file that is there already is left as it is, its time too. Images that models are tested on never land.
"""

import argparse
import dataclasses
import datetime
import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

import strandline_contract as contract
from local.demo import broken_files, cifar
from strandline import periods, settings

AIRFLOW_PYTHON = settings.REPOSITORY / ".strandline" / "venvs" / "airflow" / "bin" / "python"


def main() -> int:
    period = periods.get()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=500, help="images; beyond 5,000 also of the training set")
    parser.add_argument(
        "--period", type=period.parse, help=f"as {period.example}, UTC; the last full {period.noun} unless given"
    )
    parser.add_argument("--brightness", type=float, default=1.0, help="a factor: below 1, the images are darker")
    parser.add_argument("--blur", type=float, default=0.0, help="standard deviation of a blur, in pixels")
    parser.add_argument("--mostly", nargs="+", choices=cifar.CLASSES, default=[], help="classes; of others one in ten")
    parser.add_argument("--broken", action="store_true", help="and twenty broken or hostile files among them")
    arguments = parser.parse_args()
    config = settings.get()
    start = arguments.period or period.last_complete()
    scene = Scene(arguments.brightness, arguments.blur, tuple(arguments.mostly))
    cache = config.home / "cache" / "cifar10"
    in_bucket = isinstance(config.landing, settings.BucketUrl)
    landing = config.home / "drop" if in_bucket else config.landing_folder
    if in_bucket:
        shutil.rmtree(landing, ignore_errors=True)  # of a drop that was not uploaded to its end
    try:
        written = drop(landing, start, arguments.count, cache, config.local.cifar_archive, scene)
    except cifar.CifarError as error:
        print(f"No images to drop: {error}", file=sys.stderr)
        return 1
    folder = landing / start.strftime(period.path_format)
    if not in_bucket:
        print(f"{arguments.count:,} images in {folder}, {written:,} of them new")
    if arguments.broken:
        written = broken_files.write(folder, landing_time(start))
    if in_bucket:  # the vision environment knows of none
        return subprocess.run([AIRFLOW_PYTHON, "-m", "local.demo.upload", landing]).returncode
    if arguments.broken:
        print(f"{len(broken_files.BROKEN_FILES)} broken or hostile files among them, {written} of them new")
    return 0


@dataclasses.dataclass(frozen=True)
class Scene:
    """How images look when they are dropped: their brightness times a factor, blurred by so many pixels; and `mostly`
    which classes they show, with every tenth image of the others. None stands for all alike.
    """

    brightness: float = 1.0
    blur: float = 0.0
    mostly: tuple[str, ...] = ()

    def shown(self, images: list[tuple[str, NDArray[np.uint8]]]) -> list[tuple[str, NDArray[np.uint8]]]:
        """Those of a period's images, as `files` gives them, that are in it."""
        if not self.mostly:
            return images
        return [image for number, image in enumerate(images) if image[0].startswith(self.mostly) or number % 10 == 0]

    def look(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image [height, width, 3] as it looks in it."""
        if self == AS_IT_IS:
            return pixels
        image = ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(self.brightness)
        return np.asarray(image.filter(ImageFilter.GaussianBlur(self.blur)))


AS_IT_IS = Scene()


def drop(
    landing: Path,
    start: datetime.datetime,
    count: int,
    cache: Path,
    archive: Path | None = None,
    scene: Scene = AS_IT_IS,
) -> int:
    """Put `count` images into `landing/<period>/<class>/`, JPEG and PNG in turn; how many were not there yet.

    Args:
        count: at most 55,000; up to 5,000 come from the test images alone.
        cache: folder where a fetched CIFAR-10 archive is kept.
        archive: a local CIFAR-10 archive, used instead.

    Raises:
        CifarError: there are no images to be had, or not so many.
    """
    pixels, labels = cifar.load("test", cache, archive)
    lands = ~held_out(pixels, cache)
    chosen = scene.shown(files(pixels[lands], labels[lands], start))
    if count > len(chosen):
        chosen += scene.shown(files(*cifar.load("train", cache, archive), start, first=int(lands.sum())))
    if count > len(chosen):
        raise cifar.CifarError(f"CIFAR-10 has {len(chosen)} images that may land, {count} were asked for")
    folder = landing / start.strftime(periods.get().path_format)
    for name in cifar.CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    encoded = ((folder / name, encode(scene.look(pixels), name)) for name, pixels in chosen[:count])
    return sum(_put(path, content, landing_time(start)) for path, content in encoded)


def held_out(pixels: NDArray[np.uint8], cache: Path) -> NDArray[np.bool_]:
    """Which of CIFAR-10's test images [n] models are tested on: those of the first champion's reference profile.

    Args:
        cache: folder where the hashes of so many files are kept.

    Raises:
        CifarError: the profile has images that are none of these.
    """
    import pyarrow.parquet as pq

    path = settings.REPOSITORY / "models" / "cifar_resnet20_v1" / contract.REFERENCE_FILE
    reference = set(pq.read_table(path, columns=["image_id"])["image_id"].to_pylist())
    of_pixels = hashlib.sha256(pixels.tobytes()).hexdigest()[:12]
    hashed = cache / f"png-{of_pixels}-pillow-{PIL.__version__}.npz"
    (digests,) = cifar.kept(hashed, lambda: [np.array([_image_id(image) for image in pixels])])
    ids = digests.tolist()
    missing = len(reference.difference(ids))
    if missing and len(ids) >= len(reference):
        raise cifar.CifarError(
            f"{missing} images of {path} are no test images of CIFAR-10, or Pillow writes PNG otherwise now"
        )
    return np.array([one in reference for one in ids], bool)


def _image_id(pixels: NDArray[np.uint8]) -> str:
    """That of an image as a PNG file."""
    return hashlib.sha256(encode(pixels, "png")).hexdigest()


def landing_time(start: datetime.datetime) -> int:
    """When dropped files say that they were changed: always the same, so that a file dropped again is a known one.

    Returns:
        Seconds since 1970.
    """
    return int(start.timestamp())


def files(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], start: datetime.datetime, first: int = 0
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Images [32, 32, 3] in the order of a period, each with its name, `<class>/NNNN.jpg` or `.png`.

    Args:
        first: the number of the first name.
    """
    order = np.random.default_rng(int(start.timestamp())).permutation(len(pixels))
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
