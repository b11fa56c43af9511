"""CIFAR-10 as datasets: what every model is tested on, and what the first champion learnt from. Runs in the vision
environment: `python -m local.demo.training_images`; `make training-sets` calls it.

The holdout is the 5,000 test images of the champion's reference profile, which are never dropped. Of the 50,000
images that it was trained on, 1,000 of each class are kept for replay.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import strandline_contract as contract
from local.build.train_champion import Maker
from local.demo import cifar, drop
from strandline import settings
from vision import shards

FOLDER = "cifar10"  # in the store
KINDS = ("holdout", "original")
ORIGINALS = "originals"  # in the store, as strandline.models.packing has it
REPLAYED = 1_000  # of each class


def main() -> int:
    config = settings.load()
    maker = Maker(config.store / FOLDER, config)
    maker.store.mkdir(parents=True, exist_ok=True)
    cache = config.home / "cache" / "cifar10"
    try:
        for kind, split in zip(KINDS, ("test", "train"), strict=True):
            pixels, labels = cifar.load(split, cache, config.local.cifar_archive)
            chosen = drop.held_out(pixels, cache) if kind == "holdout" else first_of_each(labels)
            pack(maker, kind, pixels, labels, chosen)
    except cifar.CifarError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def first_of_each(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images [n] are among the first REPLAYED of their class; `cifar.load` orders them by their hash."""
    chosen = np.zeros(len(labels), bool)
    for label in range(len(cifar.CLASSES)):
        chosen[np.flatnonzero(labels == label)[:REPLAYED]] = True
    return chosen


def pack(
    maker: Maker, kind: str, pixels: NDArray[np.uint8], labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> None:
    """A shard of the chosen images, packed by `vision pack`, and a file of their labels beside it."""
    landing = maker.store / "landing" / kind
    landing.mkdir(parents=True, exist_ok=True)
    names = [f"{number:05d}.png" for number in np.flatnonzero(chosen)]
    for name, image in zip(names, pixels[chosen], strict=True):
        (landing / name).write_bytes(drop.encode(image, "png"))
    folder = maker.pack_files(kind, landing, names)
    outcomes = shards.read_table(folder / contract.OUTCOMES_FILE, contract.OUTCOME_COLUMNS, ("image_id",))
    known = dict(zip(outcomes["image_id"].to_pylist(), np.array(cifar.CLASSES)[labels[chosen]], strict=True))
    rows: dict[str, Any] = {"image_id": list(known), "label": list(known.values())}
    writer = shards.TableWriter(labels_file(maker.store.parent, kind), contract.LABEL_COLUMNS)
    writer.write(rows)
    writer.close()
    if kind == "holdout":
        _keep(maker.store.parent, landing)
    shutil.rmtree(landing)


def _keep(store: Path, landing: Path) -> None:
    """Leave the files of the holdout in the store, so that they can be packed for another model."""
    originals = store / ORIGINALS
    originals.mkdir(exist_ok=True)
    for file in landing.iterdir():
        file.rename(originals / contract.sha256_file(file))


def labels_file(store: Path, kind: str) -> Path:
    return store / FOLDER / f"{kind}.parquet"


if __name__ == "__main__":
    sys.exit(main())
