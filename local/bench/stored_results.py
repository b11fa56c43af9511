"""What pages read from the store, of a few runs of a filled ledger: pixels and embeddings, as attempts leave them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.rows import dict_row

import strandline_contract as contract
from local.bench import filled_ledger
from strandline.settings import Settings

QUERIES = filled_ledger.FOLDER / "stored"
FEATURES = 64  # of an embedding
CENTRES = 10
PIXELS = 32 * 32 * 3


def write(config: Settings, url: str) -> None:
    """Write the results of the newest runs and of the newest large one, and have the ledger name them.

    Args:
        url: of the ledger's owner.
    """
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for run in connection.execute(_query("select_runs")).fetchall():
            for shard in connection.execute(_query("select_predicted"), run).fetchall():
                batch = run | _write_attempt(config, **run, **shard)
                connection.execute(_query("update_batch"), batch)


def _query(name: str) -> bytes:
    return (QUERIES / f"{name}.sql").read_bytes()


def _write_attempt(
    config: Settings, run_id: str, model_version: str, shard_id: str, images: Sequence[str]
) -> dict[str, Any]:
    """A sealed classification of one shard; what the ledger says of it."""
    folder = config.run_folder(run_id) / "classify" / shard_id / "01"
    folder.mkdir(parents=True)
    random = np.random.default_rng(int(shard_id[:8], 16))
    shard = folder.parent / contract.SHARD_FILE
    # Of a few colours, so that they take little room.
    pixels = [bytes(colour) * 1024 for colour in random.integers(0, 256, (len(images), 3), np.uint8)]
    _write(shard, contract.SHARD_COLUMNS, {"image_id": images, "pixels": pixels})
    centres = np.random.default_rng(1).normal(size=(CENTRES, FEATURES))
    embeddings = centres[random.integers(CENTRES, size=len(images))] + random.normal(size=(len(images), FEATURES))
    _write(
        folder / contract.PREDICTIONS_FILE,
        contract.PREDICTION_COLUMNS,
        {"image_id": images, "embedding": [*embeddings]},
    )
    packed = contract.FileRef(str(shard.relative_to(config.store)), contract.sha256_file(shard))
    bundle = contract.BundleRef(f"models/{model_version}", model_version)
    request = contract.ClassifyRequest(shard_id, packed, bundle, contract.Runtime("openvino", threads=1, batch_size=64))
    contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
    contract.write_result(folder, "classify", [contract.PREDICTIONS_FILE], {"rows": len(images)}, {}, {})
    return {
        "shard_id": shard_id,
        "folder": str(folder.relative_to(config.store)),
        "shard_sha256": packed.sha256,
        "result_sha256": contract.sha256_file(folder / contract.RESULT_FILE),
    }


def _write(path: Path, columns: Sequence[tuple[str, str]], values: dict[str, Sequence[Any]]) -> None:
    """A Parquet file with these columns, of which those without values are null."""
    rows = len(values["image_id"])
    types = {"list<item: float>": pa.list_(pa.float32()), "float": pa.float32(), "bool": pa.bool_()}
    schema = pa.schema([(name, types[kind] if kind in types else pa.type_for_alias(kind)) for name, kind in columns])
    arrays = [pa.array(values.get(field.name, [None] * rows), field.type) for field in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, row_group_size=4096)
