"""Classify every row of a shard: label, confidence, all class probabilities, and the input of the output layer."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vision import bundles, contract, preflight, shards
from vision.networks import Classifier
from vision.paths import Paths

READ_ROWS = 4096


def run(request: contract.ClassifyRequest, paths: Paths) -> contract.Result:
    """Write one prediction row for every shard row, in the shard's order.

    Raises:
        contract.BadInput: the shard or the bundle is not what the request says.
    """
    started = time.perf_counter()
    bundle = bundles.load(paths.store, request.bundle)
    shard = contract.verified(paths.store, request.shard)
    verified = time.perf_counter()
    classifier = Classifier(bundle, request.device, request.threads, request.batch_size)
    ready = time.perf_counter()
    counts = write_predictions(shard, bundle, classifier, paths.out / contract.PREDICTIONS_FILE)
    seconds = {"verify": verified - started, "first_batch": ready - verified, "classify": time.perf_counter() - ready}
    return contract.write_result(
        paths.out,
        "classify",
        [contract.PREDICTIONS_FILE],
        counts=counts,
        seconds=paths.startup | seconds,
        versions=bundles.runtime_versions() | {"model": bundle.version, "processor": preflight.processor()},
        device=classifier.device,
    )


def write_predictions(shard: Path, bundle: bundles.Bundle, classifier: Classifier, path: Path) -> dict[str, int]:
    """Stream a shard through the classifier; returns the rows read, classified and failed."""
    failed = 0
    writer = shards.TableWriter(path, contract.PREDICTION_COLUMNS)
    for ids, images in read_images(shard, bundle):
        probabilities, embeddings = classifier(images)
        good = np.isfinite(probabilities).all(axis=1)
        best = np.where(good, np.nan_to_num(probabilities).argmax(axis=1), 0)
        failed += int((~good).sum())
        writer.write(
            {
                "image_id": ids,
                "label": _words(bundle.classes, best, ~good),
                "confidence": pa.array(probabilities[np.arange(len(best)), best], mask=~good),
                "probabilities": _lists(probabilities, ~good),
                "embedding": _lists(embeddings, ~good),
                "failure": _words(["NOT_FINITE"], np.zeros_like(best), good),
            }
        )
    writer.close()
    return {"rows": writer.rows, "classified": writer.rows - failed, "failed": failed}


def read_images(shard: Path, bundle: bundles.Bundle) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Image ids and pixels uint8 [n, height, width, 3] of a shard, a few thousand rows at a time."""
    found = pq.read_schema(shard)
    if not found.equals(shards.schema(contract.SHARD_COLUMNS)):
        raise contract.BadInput(f"{shard} does not have the columns of a shard")
    for batch in pq.ParquetFile(shard).iter_batches(READ_ROWS, columns=["image_id", "pixels"]):
        yield batch["image_id"], shards.pixels(batch["pixels"], bundle.height, bundle.width)


def _words(words: Sequence[str], indices: np.ndarray, mask: np.ndarray) -> pa.Array:
    """A column of words[indices]; null where masked."""
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=mask), pa.array(words)).dictionary_decode()


def _lists(values: np.ndarray, mask: np.ndarray) -> pa.Array:
    """float32 [n, k] as a column of n lists; null where masked."""
    count, width = values.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()), mask=pa.array(mask))
