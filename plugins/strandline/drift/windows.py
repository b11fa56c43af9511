"""A window of predictions and the champion's reference profile, read as arrays from the ledger and the store.

A window is the images that landed in [start, end), full periods, as one model version predicted them. Of a large one
COMPARED are read: those with the smallest hashes, which is a random sample, and always the same.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

import strandline_contract as contract
from strandline import attempts, ledger, settings, tables
from strandline.drift.detectors.sample import Integers, Sample
from strandline.models.bundles import BundleError, verify
from strandline.models.thumbnails import image_size, thumbnail
from strandline.periods import Window, WindowError

COMPARED = 20_000  # images of a window: some 4,000 of them and the reference's 5,000 tell as much as more would
REFERENCE_ROWS = 100_000  # of a reference profile, at the most
MEASURES = ("width", "height", "bytes", *contract.IMAGE_STATISTICS)
REFERENCE_COLUMNS = (
    *tables.among(contract.PREDICTION_COLUMNS, "label", "probabilities", "embedding"),
    *tables.among(contract.SHARD_COLUMNS, *MEASURES),
    contract.TRUE_LABEL,
)
LATER_COLUMNS = (*contract.IMAGE_STATISTICS, contract.TRUE_LABEL[0])  # a profile may be older than one of them


@dataclasses.dataclass(frozen=True)
class Data:
    """Predictions, and by name the measures of their images, float [n] each, in the order of the sample's rows."""

    sample: Sample
    measures: Mapping[str, NDArray[np.floating[Any]]]

    def rows(self, chosen: Integers) -> "Data":
        """These rows, of which all have embeddings."""
        of = self.sample
        truth = None if of.truth is None else of.truth[chosen]
        sample = Sample(of.predicted[chosen], of.probabilities[chosen], of.embeddings[chosen], truth)
        return Data(sample, {name: column[chosen] for name, column in self.measures.items()})

    @property
    def columns(self) -> dict[str, NDArray[np.floating[Any]]]:
        """The measures, and those of the predictions: confidence, margin (of the first over the second class) and
        entropy (nats).
        """
        probabilities = self.sample.probabilities
        second, first = (
            np.sort(probabilities, axis=1)[:, -2:].T if probabilities.shape[1] > 1 else [0, probabilities.T[0]]
        )
        width, height = self.measures["width"], self.measures["height"]
        clipped = np.clip(probabilities, 1e-12, 1)
        return {
            **self.measures,
            "aspect": width / height,
            "confidence": first,
            "margin": first - second,
            "entropy": -(clipped * np.log(clipped)).sum(axis=1),
        }

    def frame(self, classes: Sequence[str]) -> pd.DataFrame:
        """The columns, and `label`, the predicted class."""
        return pd.DataFrame({**self.columns, "label": [classes[one] for one in self.sample.predicted]})


def read_reference(config: settings.Settings, model: Mapping[str, Any]) -> Data | None:
    """The reference profile of a model version (its row in the ledger); None if its bundle has none.

    Raises:
        WindowError: the bundle is gone, or not what its manifest says.
    """
    bundle = contract.store_path(config.store, model["bundle"])
    try:
        if contract.REFERENCE_FILE not in verify(bundle, model["version"]).files:
            return None
    except BundleError as error:
        raise WindowError(f"the reference of model version {model['version']} is of no use: {error}") from error
    try:
        known = {*tables.names(bundle / contract.REFERENCE_FILE)}
        columns = [one for one in REFERENCE_COLUMNS if one[0] in known or one[0] not in LATER_COLUMNS]
        table = tables.read(bundle / contract.REFERENCE_FILE, columns, most=REFERENCE_ROWS)
    except tables.TableError as error:
        raise WindowError(f"the reference of model version {model['version']} is of no use: {error}") from error
    embeddings = np.array(table["embedding"].to_pylist(), np.float32)
    numbers = {name: number for number, name in enumerate(model["classes"])}
    true_label = contract.TRUE_LABEL[0]
    return _data(
        [numbers[label] for label in table["label"].to_pylist()],
        table["probabilities"].to_pylist(),
        embeddings.reshape(len(table), -1),
        {name: table[name].to_numpy() if name in known else np.full(len(table), np.nan) for name in MEASURES},
        [numbers[label] for label in table[true_label].to_pylist()] if true_label in known else None,
    )


def read_rows(connection: ledger.Connection, window: Window) -> list[dict[str, Any]]:
    """The window's predictions with their images and labels (`truth`, None if there is none), COMPARED at most."""
    query = {"window_start": window.start, "window_end": window.end, "model_version": window.model_version}
    return ledger.fetch(connection, "select_window_predictions", query | {"rows": COMPARED})


def read_window(
    connection: ledger.Connection, config: settings.Settings, rows: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> Data:
    """The data of rows of `read_rows`.

    Raises:
        WindowError: files of the window's predictions are gone from the store.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    return _data(
        [numbers[row["label"]] for row in rows],
        [row["probabilities"] for row in rows],
        _embeddings(rows, folders(connection, config, rows)),
        {name: np.array([row[name] for row in rows], float) for name in MEASURES},
    )


def _data(
    predicted: Sequence[int],
    probabilities: Sequence[Sequence[float]],
    embeddings: NDArray[np.floating[Any]],
    measures: Mapping[str, Any],
    truth: Sequence[int] | None = None,
) -> Data:
    true = None if truth is None else np.array(truth, np.int64)
    sample = Sample(np.array(predicted, np.int64), np.array(probabilities, np.float64), embeddings, true)
    return Data(sample, {name: column.astype(float) for name, column in measures.items()})


def folders(
    connection: ledger.Connection, config: settings.Settings, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], Path]:
    """The attempt that made the predictions of each run and shard among the rows, checked by hash.

    Raises:
        WindowError: it is gone or altered.
    """
    batches = sorted({(row["run_id"], row["shard_id"]) for row in rows})
    query = {"run_ids": [run_id for run_id, _ in batches], "shard_ids": [shard_id for _, shard_id in batches]}
    found = ledger.fetch(connection, "select_batch_folders", query)
    try:
        return {(row["run_id"], row["shard_id"]): _folder(config, row) for row in found}
    except contract.NoResult as error:
        raise WindowError(f"predictions of the window cannot be read: {error}") from error


def _folder(config: settings.Settings, batch: Mapping[str, Any]) -> Path:
    attempts.recorded_request(config.store, batch)
    done = attempts.SealedAttempt(batch["shard_id"], batch["folder"], batch["result_sha256"])
    return attempts.read(config.store, done, "classify")[0]


def _embeddings(
    rows: Sequence[Mapping[str, Any]], batches: Mapping[tuple[str, str], Path]
) -> NDArray[np.floating[Any]]:
    """Float32 [n, features]."""
    found: dict[str, Any] = {}
    for batch, ids in _by_batch(rows).items():
        found |= _column(batches[batch] / contract.PREDICTIONS_FILE, "embedding", ids)
    return np.array([found[row["image_id"]] for row in rows], np.float32)


def thumbnails(
    config: settings.Settings,
    model: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    batches: Mapping[tuple[str, str], Path],
) -> list[bytes]:
    """Each row's image as a PNG, made again of the pixels that the model saw.

    Raises:
        WindowError: the shards of the predictions are gone from the store.
    """
    try:
        size = image_size(config.store, contract.BundleRef(model["bundle"], model["version"]))
    except BundleError as error:
        raise WindowError(f"the images of the window cannot be shown: {error}") from error
    pixels: dict[str, bytes] = {}
    for batch, ids in _by_batch(rows).items():
        request = contract.read_request("classify", batches[batch] / contract.REQUEST_FILE)
        assert isinstance(request, contract.ClassifyRequest)
        try:
            shard = contract.verified(config.store, request.shard)
        except contract.BadInput as error:
            raise WindowError(f"the images of the window cannot be shown: {error}") from error
        pixels |= _column(shard, "pixels", ids)
    return [thumbnail(pixels[row["image_id"]], size) for row in rows]


def _by_batch(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    batches: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for row in rows:
        batches[row["run_id"], row["shard_id"]].append(row["image_id"])
    return batches


def _column(path: Path, name: str, ids: Sequence[str]) -> dict[str, Any]:
    """A column of a Parquet file, by image, of these images.

    Raises:
        WindowError: the file is gone, or lacks one of them.
    """
    columns = tables.among((*contract.PREDICTION_COLUMNS, *contract.SHARD_COLUMNS), "image_id", name)
    try:
        table = tables.read(path, columns, images=ids)
    except tables.TableError as error:
        raise WindowError(f"{error}: the predictions' files are gone from the store, or altered") from error
    column = table[name].combine_chunks()
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    # A row of an array takes a tenth of the memory of a list of numbers.
    values = column.flatten().to_numpy().reshape(len(table), -1) if lists and len(table) else column.to_pylist()
    found = dict(zip(table["image_id"].to_pylist(), values, strict=True))
    if missing := set(ids) - found.keys():
        raise WindowError(f"{path} has no image {min(missing)}, although the ledger says so: it is not the same file")
    return found
