"""Drop any number of small files, no two with the same content: `python -m local.bench.distinct --count 1000000`.

Each is a photograph of CIFAR-10's training set, seen through a window of its own, perhaps mirrored, lighter or darker.
What is drawn for it depends on its number and the seed alone, so that the same call writes the same bytes. Runs in the
vision environment, on all cores that it may use.
"""

import argparse
import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from local.demo import cifar
from local.demo.drop import encode, landing_time
from strandline import periods, settings

LEAST_SIDE = 22.0  # pixels that a window shows, of 32
DARKEST, LIGHTEST = 0.8, 1.2


def main() -> int:
    period = periods.get()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--period", type=period.parse, required=True, help=f"as {period.example}, UTC")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other files")
    arguments = parser.parse_args()
    config, start = settings.get(), arguments.period
    photographs = cifar.load("train", config.home / "cache" / "cifar10", config.local.cifar_archive)
    folder = config.landing / start.strftime(period.path_format)
    for name in cifar.CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    drop = Drop(folder, landing_time(start), *photographs, arguments.seed)
    fork, cores = multiprocessing.get_context("fork"), config.vision.cores  # what is forked needs no copy of the pixels
    writers = [fork.Process(target=drop.write, args=(range(i, arguments.count, cores),)) for i in range(cores)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return max(abs(writer.exitcode or 0) for writer in writers)


@dataclasses.dataclass(frozen=True)
class Drop:
    """Files below a folder, which say that they were changed at `landed`, in seconds since 1970.

    Args:
        pixels, labels: photographs, uint8 [n, 32, 32, 3], and their classes [n]; its folder says a file's class.
    """

    folder: Path
    landed: int
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    seed: int

    def write(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            name, content = self.file(number)
            path = self.folder / name
            path.write_bytes(content)
            os.utime(path, (self.landed, self.landed))

    def file(self, number: int) -> tuple[str, bytes]:
        """The name and the content of file `number`: JPEG and PNG in turn."""
        photograph = number % len(self.pixels)
        name = f"{cifar.CLASSES[self.labels[photograph]]}/{number:07d}.{'png' if number % 2 else 'jpg'}"
        return name, encode(changed(self.pixels[photograph], np.random.default_rng((self.seed, number))), name)


def changed(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photograph [side, side, 3] as a window drawn at random shows it."""
    side = len(pixels)
    shown = rng.uniform(LEAST_SIDE, side)
    left, top = rng.uniform(0, side - shown, 2)
    window = (left, top, left + shown, top + shown)
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC, window)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    return np.asarray(ImageEnhance.Brightness(image).enhance(rng.uniform(DARKEST, LIGHTEST)))


if __name__ == "__main__":
    sys.exit(main())
