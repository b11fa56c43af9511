"""How alike images are to a model: their embeddings, as its attempts left them in the store."""

import itertools
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import strandline_contract as contract
from strandline import attempts, settings, tables

log = logging.getLogger(__name__)

COMPARED = 20_000  # images of a window: a page waits for them
AT_ONCE = 2  # readers
BYTES = 2**30  # of files that are read for one page
COLUMNS = tables.among(contract.PREDICTION_COLUMNS, "image_id", "embedding")
_readers = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Embeddings:
    """`directions`, float32 [images, features], are of length 1: the product of two is the cosine between them."""

    images: Sequence[str]
    directions: NDArray[np.float32]

    def nearest(self, image: str, count: int, without: Collection[str] = ()) -> list[tuple[str, float]]:
        """The other images, but for those `without`, by their cosine distance to this one, from 0 to 2, the nearest
        first.
        """
        if image not in self.images:
            return []
        distances = 1 - self.directions @ self.directions[self.images.index(image)]
        apart = {image, *without}
        others = (number for number in np.argsort(distances, kind="stable") if self.images[number] not in apart)
        return [(self.images[number], max(float(distances[number]), 0.0)) for number in itertools.islice(others, count)]


def read(found: Sequence[Mapping[str, Any]]) -> Embeddings:
    """Of the rows of `select_embedded_images`. What the store has no more is left out, and what is beyond BYTES."""
    with _readers:
        parts = list(_parts(found))
    if not parts:
        return Embeddings([], np.empty((0, 0), np.float32))
    directions = np.concatenate([vectors for _, vectors in parts])
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return Embeddings([image for images, _ in parts for image in images], directions)


def _parts(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """The images of each attempt, and their embeddings, all of one length."""
    left, features = BYTES, None
    for row in found:
        try:
            left -= _size(row)
            if left < 0:
                return
            images, vectors = _read(row)
        except (contract.ContractError, OSError) as error:
            log.warning("embeddings of %s cannot be read: %s", row["folder"], error)
            continue
        features = features or vectors.shape[1]
        if vectors.shape[1] == features:
            yield images, vectors


def _size(row: Mapping[str, Any]) -> int:
    return (contract.store_path(settings.get().store, row["folder"]) / contract.PREDICTIONS_FILE).stat().st_size


def _read(row: Mapping[str, Any]) -> tuple[list[str], NDArray[np.float32]]:
    """
    Raises:
        contract.ContractError: the attempt is gone, or not what the ledger knows.
    """
    done = attempts.SealedAttempt(row["shard_id"], row["folder"], row["result_sha256"])
    folder, _ = attempts.read(settings.get().store, done, "classify")
    table = tables.read(folder / contract.PREDICTIONS_FILE, COLUMNS, images=row["images"])
    lengths = {*table["embedding"].combine_chunks().value_lengths().to_pylist()}
    if len(lengths) != 1 or not (features := lengths.pop()):
        raise tables.TableError(f"{folder} has embeddings of {len(lengths)} lengths: they cannot be compared")
    values = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return table["image_id"].to_pylist(), np.nan_to_num(values.reshape(-1, features))
