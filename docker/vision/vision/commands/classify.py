"""Classify every row of a shard: label, confidence, all class probabilities, and the input of the output layer.

The network runs in a process of its own (`guard`): an image that it crashes or hangs on is one failed row.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

import strandline_contract as contract
from strandline_contract.reasons import NOT_FINITE
from vision import hardware, shards
from vision.models import bundles
from vision.models.guard import Guard
from vision.paths import Paths


def run(request: contract.ClassifyRequest, paths: Paths) -> contract.Result:
    """Write one prediction row for every shard row, in the shard's order.

    Raises:
        contract.BadInput: the shard or the bundle is not what the request says.
    """
    started = time.perf_counter()
    with Guard(request.runtime) as guard:
        bundle = bundles.load(paths.store, request.bundle)
        shard = _verified_shard(paths.store, request.shard)
        verified = time.perf_counter()
        guard.start(bundle)
        ready = time.perf_counter()
        counts = write_predictions(shard, bundle, guard, paths.out / contract.PREDICTIONS_FILE)
    seconds = {"verify": verified - started, "first_batch": ready - verified, "classify": time.perf_counter() - ready}
    return contract.write_result(
        paths.out,
        "classify",
        [contract.PREDICTIONS_FILE],
        counts=counts,
        seconds=paths.startup | seconds,
        versions=guard.versions | {"model": bundle.version, "processor": hardware.processor()},
        device=request.runtime.device,
    )


def _verified_shard(store: Path, ref: contract.FileRef) -> Path:
    """As `contract.verified`, with what a person has to do."""
    try:
        return contract.verified(store, ref)
    except contract.BadInput as error:
        raise contract.BadInput(f"{error}: clear this shard's task pack, and all after it, to pack it again") from error


def write_predictions(shard: Path, bundle: bundles.Bundle, guard: Guard, path: Path) -> dict[str, int]:
    """Stream a shard through the network; returns the rows read, classified and failed."""
    failed = 0
    with shards.TableWriter(path, contract.PREDICTION_COLUMNS) as writer:
        for ids, images in shards.read_images(shard, bundle.resize_rule()):
            probabilities, embeddings, failures = guard(images)
            finite = np.isfinite(probabilities).all(axis=1)
            failures[(failures == "") & ~finite] = NOT_FINITE
            bad = failures != ""
            best = np.where(bad, 0, np.nan_to_num(probabilities).argmax(axis=1))
            failed += int(bad.sum())
            writer.write(
                {
                    "image_id": ids,
                    "label": _words(bundle.classes, best, bad),
                    "confidence": pa.array(probabilities[np.arange(len(best)), best], mask=bad),
                    "probabilities": _lists(probabilities, bad),
                    "embedding": _lists(embeddings, bad),
                    "failure": pa.array(failures, pa.string(), mask=~bad),
                }
            )
    return {"rows": writer.rows, "classified": writer.rows - failed, "failed": failed}


def _words(words: Sequence[str], indices: np.ndarray, mask: np.ndarray) -> pa.Array:
    """A column of words[indices]; null if masked."""
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=mask), pa.array(words)).dictionary_decode()


def _lists(values: np.ndarray, mask: np.ndarray) -> pa.Array:
    """float32 [n, k] as a column of n lists; null if masked."""
    lengths = np.where(mask, 0, values.shape[1])  # Parquet has no nulls of some length
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values[~mask].ravel()), mask=pa.array(mask))
