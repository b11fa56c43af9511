"""CIFAR-10's test images, as they are and changed in known ways, packed and classified by the vision commands.

The first half of `make bench-drift`; runs in the vision environment: `python -m local.bench.drift_images FILE`.
"""

import argparse
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

import strandline_contract as contract
from local.build.train_champion import NAME, Maker
from local.demo import cifar, drop
from strandline import settings

FOG = 200  # how bright fog is
FRAME_NOISE = 1  # levels of 0 to 255 that frames of a burst differ by
STATISTICS = ("width", "height", "bytes", *contract.IMAGE_STATISTICS)

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Change:
    """A way to turn images [n, 32, 32, 3] into files. `tuned`: the statistics of drift were tuned on its windows."""

    name: str
    files: Callable[[Images, float], list[bytes]]
    strengths: tuple[float, ...]  # the mildest first
    tuned: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="Parquet file to write: a row for each image")
    parser.add_argument("--changes", nargs="+", choices=[change.name for change in CHANGES], help="all unless given")
    arguments = parser.parse_args()
    target = arguments.file
    config = settings.get()
    try:
        cache = config.home / "cache" / "cifar10"
        pixels, labels = cifar.load("test", cache, config.local.cifar_archive)
    except cifar.CifarError as error:
        print(error, file=sys.stderr)
        return 1
    held_out = ~drop.held_out(pixels, cache)  # of the reference
    names = np.array(cifar.CLASSES)[labels]
    tables = []
    for change in [one for one in CHANGES if one.name in (arguments.changes or [one.name])]:
        started = time.perf_counter()
        # Of untouched images those of the reference, too: they are split again.
        used = np.ones_like(held_out) if change is UNTOUCHED else held_out
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            table = classified(change, pixels[used], names[used], Maker(Path(folder), config))
        strengths = table.num_rows // used.sum()
        tables.append(table.append_column("held_out", pa.array(np.tile(held_out[used], strengths))))
        print(f"{change.name}: {table.num_rows:,} images, {time.perf_counter() - started:.0f} s", file=sys.stderr)
    pq.write_table(pa.concat_tables(tables), target)
    return 0


def classified(change: Change, images: Images, labels: NDArray[np.str_], maker: Maker) -> pa.Table:
    """A row for each image at each strength: what was done to it, its true class, its statistics and prediction."""
    landing = maker.store / "landing"
    landing.mkdir()
    files = [one for strength in change.strengths for one in change.files(images, strength)]
    names = [f"{number:06d}" for number in range(len(files))]
    for name, content in zip(names, files, strict=True):
        (landing / name).write_bytes(content)
    packed = maker.pack_files("images", landing, names)
    predictions = pq.read_table(classify(packed / contract.SHARD_FILE, maker) / contract.PREDICTIONS_FILE)
    shard = pq.read_table(packed / contract.SHARD_FILE, columns=["image_id", *STATISTICS])
    entries = pq.read_table(packed / contract.OUTCOMES_FILE, columns=["image_id"])["image_id"]
    row_of = pc.index_in(entries, shard["image_id"])  # files with the same bytes share a row
    table = predictions.take(row_of)
    if table["label"].null_count:
        raise SystemExit(f"{table['label'].null_count} images of {change.name} could not be packed or classified")
    for name in STATISTICS:
        table = table.append_column(name, shard[name].take(row_of))
    about: dict[str, Any] = {
        "change": [change.name] * len(files),
        "tuned": [change.tuned] * len(files),
        "strength": np.repeat(np.array(change.strengths, float), len(images)),
        "true_label": np.tile(labels, len(change.strengths)),
    }
    for name, column in about.items():
        table = table.append_column(name, pa.array(column))
    return table


def classify(shard: Path, maker: Maker) -> Path:
    """The folder of a finished attempt."""
    bundle = maker.store / NAME
    shutil.copytree(settings.REPOSITORY / "models" / NAME, bundle)
    ref = {"path": NAME, "version": contract.sha256_file(bundle / contract.BUNDLE_MANIFEST)}
    request = {"shard_id": "images", "shard": maker.ref(shard), "bundle": ref}
    return maker.run("classify", "classify", request | {"runtime": maker.config.vision.runtime().to_dict()})


def as_they_are(images: Images, _: float) -> list[bytes]:
    return _pngs(images)


def darker(images: Images, factor: float) -> list[bytes]:
    return _pngs(images * factor)


def blur(images: Images, sigma: float) -> list[bytes]:
    """Gaussian, sigma in pixels."""
    return _pngs(gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def noise(images: Images, deviation: float) -> list[bytes]:
    """Gaussian, in levels of 0 to 255."""
    return _pngs(images + np.random.default_rng(0).normal(0, deviation, images.shape))


def jpeg(images: Images, quality: float) -> list[bytes]:
    return [_encoded(image, "JPEG", quality=int(quality)) for image in images]


def colour(images: Images, shift: float) -> list[bytes]:
    """A cast to red and away from blue, as of a wrong white balance."""
    return _pngs(images * np.array([1 + shift, 1, 1 - shift]))


def fog(images: Images, share: float) -> list[bytes]:
    """Light grey laid over everything: less contrast, more brightness."""
    return _pngs(images * (1 - share) + FOG * share)


def dead_stripe(images: Images, share: float) -> list[bytes]:
    """A black stripe from top to bottom over this share of the columns."""
    changed = images.copy()
    wide = round(share * cifar.SIDE)
    left = (cifar.SIDE - wide) // 2
    changed[:, :, left : left + wide] = 0
    return _pngs(changed)


def small_files(images: Images, side: float) -> list[bytes]:
    """Files of fewer pixels, which `pack` scales up."""
    size = int(side), int(side)
    return [_encoded(np.asarray(Image.fromarray(image).resize(size)), "PNG") for image in images]


def turned(images: Images, share: float) -> list[bytes]:
    """This share of the images by a quarter."""
    changed = images.copy()
    chosen = _chosen(images, share)
    changed[chosen] = np.rot90(images[chosen], axes=(1, 2))
    return _pngs(changed)


def frame(images: Images, number: float) -> list[bytes]:
    """One of the frames of a burst: the camera moves by up to a pixel either way, and its sensor makes noise."""
    rng = np.random.default_rng(int(number))
    wider = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    moved = [
        one[down : down + cifar.SIDE, across : across + cifar.SIDE]
        for one, (down, across) in zip(wider, rng.integers(0, 3, (len(images), 2)), strict=True)
    ]
    return _pngs(np.array(moved) + rng.normal(0, FRAME_NOISE, images.shape))


def jpeg_95(images: Images, share: float) -> list[bytes]:
    """This share of the images as JPEG files of quality 95; `make drop` writes half of its files so."""
    chosen = set(_chosen(images, share).tolist())
    return [drop.encode(image, "jpg" if number in chosen else "png") for number, image in enumerate(images)]


def _chosen(images: Images, share: float) -> NDArray[np.intp]:
    return np.random.default_rng(0).permutation(len(images))[: round(share * len(images))]


def _pngs(values: NDArray[Any]) -> list[bytes]:
    return [drop.encode(image, "png") for image in np.rint(np.clip(values, 0, 255)).astype(np.uint8)]


def _encoded(image: Images, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


UNTOUCHED = Change("untouched", as_they_are, (0,))
CHANGES = (
    UNTOUCHED,
    Change("darker", darker, (0.7, 0.5, 0.3), tuned=True),
    Change("blur", blur, (0.5, 0.8, 1.2), tuned=True),
    Change("noise", noise, (6, 12, 24), tuned=True),
    Change("jpeg", jpeg, (40, 20, 10), tuned=True),
    Change("colour", colour, (0.15, 0.3, 0.5), tuned=True),
    Change("jpeg 95", jpeg_95, (0.25, 0.5, 1), tuned=True),
    Change("fog", fog, (0.2, 0.4, 0.6)),
    Change("dead stripe", dead_stripe, (0.06, 0.12, 0.25)),
    Change("small files", small_files, (28, 24, 16)),
    Change("turned", turned, (0.1, 0.3, 1)),
    Change("frame", frame, (1, 2, 3, 4, 5)),
)

if __name__ == "__main__":
    sys.exit(main())
