"""Seal a bundle with what was measured of it: metrics, reference profile, model card."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import strandline_contract as contract
from vision import shards
from vision.decoding import pixels
from vision.models import bundles, curves
from vision.paths import Paths

FILE_COLUMNS = ("image_id", "width", "height", "format", "bytes")
LIMITS = """## Use and limits

For images like those it was trained on. It has no class for "none of these": an image of something else gets one of
its classes all the same, often with high confidence.
"""


def run(request: contract.PackageRequest, paths: Paths) -> contract.Result:
    """Write the finished bundle; its weights, classes and preprocessing are the trained bundle's, byte for byte.

    Raises:
        contract.BadInput: an input is not what the request says.
    """
    started = time.perf_counter()
    trained = bundles.load(paths.store, request.bundle)
    metrics = json.loads(contract.verified(paths.store, request.metrics).read_bytes())
    folder = paths.out / contract.BUNDLE_FOLDER
    shutil.copytree(trained.folder, folder, dirs_exist_ok=True)
    contract.write_json(folder / contract.METRICS_FILE, metrics)
    rows = _write_reference(request, paths, trained, folder / contract.REFERENCE_FILE)
    name = contract.verify_bundle(trained.folder).name
    training = json.loads((folder / contract.TRAINING_FILE).read_bytes()) if _was_trained(folder) else None
    if request.curves and training:
        rows_of_epochs = json.loads(contract.verified(paths.store, request.curves).read_bytes())
        contract.write_json(folder / contract.CURVES_FILE, rows_of_epochs)
        plot = curves.plot(rows_of_epochs, training["best_epoch"])
        (folder / contract.CURVES_PLOT).write_text(plot, encoding="utf-8")
    if request.lineage:
        contract.write_json(folder / contract.LINEAGE_FILE, request.lineage.to_dict())
    card = model_card(training, metrics, request.made_by, rows) if training else bare_card(trained, name, metrics, rows)
    (folder / contract.CARD_FILE).write_text(card, encoding="utf-8")
    version = bundles.seal(folder, name, trained.network)
    return contract.write_result(
        paths.out,
        "package",
        [f"{contract.BUNDLE_FOLDER}/{file.name}" for file in sorted(folder.iterdir())],
        counts={"reference_rows": rows},
        seconds={"package": time.perf_counter() - started},
        versions=bundles.installed("numpy", "pyarrow") | {"bundle": version},
    )


def _write_reference(request: contract.PackageRequest, paths: Paths, bundle: bundles.Bundle, path: Path) -> int:
    """A seeded sample of the evaluated images: predictions, embeddings, true labels and image statistics."""
    predictions = shards.read_table(contract.verified(paths.store, request.predictions), contract.PREDICTION_COLUMNS)
    predictions = predictions.filter(pc.is_valid(predictions["label"])).drop_columns(["failure"])
    images = pa.concat_tables(_images(contract.verified(paths.store, ref), bundle) for ref in request.shards)
    chosen = np.sort(np.random.default_rng(0).permutation(len(predictions))[: request.reference_rows])
    profile = predictions.sort_by("image_id").take(chosen)
    labels = shards.read_table(contract.verified(paths.store, request.labels), contract.LABEL_COLUMNS)
    true = labels["label"].take(pc.index_in(profile["image_id"], labels["image_id"]))
    profile = profile.append_column(contract.TRUE_LABEL[0], true)
    row_of = pc.index_in(profile["image_id"], images["image_id"])
    for name in images.column_names[1:]:
        profile = profile.append_column(name, images[name].take(row_of))
    pq.write_table(profile, path, compression="zstd")
    return int(profile.num_rows)


def _images(shard: Path, bundle: bundles.Bundle) -> pa.Table:
    """What is known of a shard's images. Their statistics are measured again: a shard may be older than one of them."""
    table = shards.read_table(shard, contract.SHARD_COLUMNS, FILE_COLUMNS)
    measured = [np.empty((0, len(contract.IMAGE_STATISTICS)), np.float32)]
    for _, images in shards.read_images(shard, bundle.resize_rule()):
        measured.append(pixels.statistics(images, pixels.luma(images)))
    for name, values in zip(contract.IMAGE_STATISTICS, np.concatenate(measured).T, strict=True):
        table = table.append_column(name, pa.array(values))
    return table


def _was_trained(folder: Path) -> bool:
    """Here, that is; a model of a zoo, or one that was imported, does not say how."""
    return (folder / contract.TRAINING_FILE).is_file()


def model_card(training: dict[str, Any], metrics: dict[str, Any], made_by: str, reference_rows: int) -> str:
    """Markdown, after Mitchell et al., "Model Cards for Model Reporting" (2019)."""
    settings = "\n".join(
        f"| {key} | {training[key]} |"
        for key in ("network", "epochs", "batch_size", "peak_lr", "momentum", "weight_decay", "seed", "images")
    )
    parent = training.get("start")
    how = f"trained from the weights of model version {parent}" if parent else "trained from scratch"
    return f"""# {training["name"]}

{training["network"]} of GluonCV, {how} on {training["images"]:,} labelled images.

Made by: `{made_by}`

{_measured(metrics, "it was not trained on", reference_rows)}
## How it was trained

| setting | value |
|---|---|
{settings}

Input: {training["height"]} x {training["width"]} RGB. All settings and library versions: `training.json`.
{_learnt_from(training.get("corruption"))}
{LIMITS}"""


def _learnt_from(corruption: dict[str, Any] | None) -> str:
    if not corruption:
        return ""
    share = {name: f"{value:.0%}" for name, value in corruption.items() if isinstance(value, float)}
    low, high = corruption["quality"]
    return f"""
It learnt from images as cameras and tools change them. Of an epoch's, {share["jpeg"]} were saved as JPEG and
{share["webp"]} as WebP, of quality {low} to {high} ({share["subsampled"]} of the JPEGs with colours of half the
resolution); {share["blur"]} were blurred by up to {corruption["sigma"]:g} pixels, and {share["brightness"]} were made
brighter or darker by up to {share["factor"]}.
"""


def bare_card(bundle: bundles.Bundle, name: str, metrics: dict[str, Any], reference_rows: int) -> str:
    """As `model_card`, of a model that was trained elsewhere."""
    return f"""# {name}

It was not trained here: `{contract.SOURCE_FILE}` says where it was had from.

Input: {bundle.height} x {bundle.width} RGB.

{_measured(metrics, "no model is trained on here", reference_rows)}
{LIMITS}"""


def _measured(metrics: dict[str, Any], which: str, reference_rows: int) -> str:
    low, high = metrics["accuracy_95"]
    recall = "\n".join(f"| {name} | {share:.1%} |" for name, share in metrics["recall"].items() if share is not None)
    return f"""## Measured on {metrics["images"]:,} images that {which}

Accuracy **{metrics["accuracy"]:.2%}** (95 % interval {low:.2%} to {high:.2%}), log loss {metrics["log_loss"]:.4f},
expected calibration error {metrics["calibration_error"]:.4f}.

| class | recall |
|---|---|
{recall}

The confusion matrix is in `metrics.json`. `reference.parquet` is a profile of {reference_rows:,} of these images.
{_robustness(metrics.get("robustness"))}"""


def _robustness(measured: dict[str, Any] | None) -> str:
    if not measured:
        return ""
    rows = "\n".join(f"| {name} | {share:.2%} |" for name, share in measured["accuracy"].items())
    return f"""
### The same images as cameras and tools change them

Of {measured["images"]:,} of these images:

| changed by | accuracy |
|---|---|
{rows}
"""
