"""Golden images: what a network answered when its bundle was sealed. Each process that is to classify is asked first
whether it says the same, on its own device, by its own libraries.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

import strandline_contract as contract
from vision import shards
from vision.backends.backend import Answers, Backend
from vision.models.bundles import Bundle

ROWS = 16
COLUMNS = (("pixels", "binary"), ("probabilities", "list<item: float>"))


def write(reference: Backend) -> None:
    """Write into the folder of the reference's bundle, which is about to be sealed, what it answers."""
    bundle = reference.bundle
    images = made_images(ROWS, bundle.height, bundle.width)
    probabilities, _ = reference(images)
    if not np.isfinite(probabilities).all():
        raise contract.BadInput(f"{bundle.network} gives probabilities that are no numbers: its weights are broken")
    with shards.TableWriter(bundle.folder / contract.GOLDEN_FILE, COLUMNS) as writer:
        writer.write({"pixels": [image.tobytes() for image in images], "probabilities": list(probabilities)})


def check(backend: Backend) -> tuple[float | None, Answers]:
    """The largest difference of a probability from what the bundle says, and what the backend answered. Of a bundle
    that says nothing: None, and the answer to a blank image.

    Raises:
        RuntimeError: it is larger than rounding explains.
    """
    bundle, runtime = backend.bundle, backend.runtime
    path = bundle.folder / contract.GOLDEN_FILE
    if not path.is_file():
        return None, backend(np.zeros((1, bundle.height, bundle.width, 3), np.uint8))
    images, expected = read(path, bundle)
    found, embeddings = backend(images)
    difference = float(np.abs(found - expected).max())
    if not difference <= contract.TOLERANCES[runtime.precision]:  # nor is it a number
        raise RuntimeError(
            f"of the golden images of version {bundle.version}, {runtime.backend} in {runtime.precision} gives"
            f" probabilities on this {runtime.device} that are {difference:.2g} off what the bundle says, more than the"
            f" {contract.TOLERANCES[runtime.precision]:g} that rounding explains: do not classify so on this host"
        )
    return difference, (found, embeddings)


def read(path: Path, bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [n, height, width, 3] and probabilities float32 [n, classes].

    Raises:
        contract.BadInput: they are of another size, or of other classes.
    """
    table = shards.read_table(path, COLUMNS)
    rows: pa.ChunkedArray = table["probabilities"]
    if {len(row) for row in rows.to_pylist()} != {len(bundle.classes)}:
        raise contract.BadInput(f"{path} has no probabilities of {len(bundle.classes)} classes")
    probabilities = np.array(rows.to_pylist(), np.float32)
    return shards.pixels(table["pixels"], bundle.height, bundle.width), probabilities


def made_images(count: int, height: int, width: int) -> np.ndarray:
    """uint8 [n, h, w, 3]: the same coloured tiles every time."""
    tiles = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return tiles.repeat(-(-height // 4), axis=1).repeat(-(-width // 4), axis=2)[:, :height, :width]
