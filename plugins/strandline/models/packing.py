"""Packing again: the images of a dataset, made what another model wants of them, from the files that they came of.

A dataset's shards were packed for one model. Another may want other pixels of the same images: another size, or another
part of each picture. The files of a holdout are kept in the store, each named by its SHA-256, which is the image's id;
those that landed lie in the landing zone, as long as whoever put them there leaves them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

import strandline_contract as contract
from strandline import ledger, settings, tables

ORIGINALS = "originals"  # a folder of the store
SHARD_BYTES = 2**28  # of pixels

File = tuple[bytes, str]  # name and version, as a manifest has them


def keep(store: Path, content: bytes, image: str) -> None:
    """Keep the file of an image, whose SHA-256 that is."""
    folder = store / ORIGINALS
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / image).is_file():
        contract.write_whole(folder / image, content)


def is_packed_for(shard: Path, rule: contract.ResizeRule) -> bool:
    """Whether a shard's pixels are what a rule makes; as the vision commands see it.

    Raises:
        tables.TableError: it is no shard.
    """
    if said := tables.metadata(shard).get(contract.RESIZE_RULE):
        try:
            return contract.ResizeRule.from_json(said) == rule
        except contract.BadRequest as error:
            raise tables.TableError(f"{shard} does not say how its images were made: {error}") from error
    # One that does not say is of before there was a choice.
    columns = tables.among(contract.SHARD_COLUMNS, "pixels")
    rows = (row.as_py() for batch in tables.batches(shard, columns) for row in batch["pixels"])
    size = 3 * rule.height * rule.width
    return rule == contract.ResizeRule(rule.height, rule.width) and len(next(rows, None) or b"") == size


def versions_of(connection: ledger.Connection, store: Path, rule: contract.ResizeRule) -> list[str]:
    """The versions that want images made by a rule, as far as their bundles are there: what was packed for one of them
    is packed for all.
    """
    return [
        row["version"]
        for row in ledger.fetch(connection, "select_bundles")
        if _rule_of(contract.store_path(store, row["bundle"])) == rule
    ]


def _rule_of(bundle: Path) -> contract.ResizeRule | None:
    try:
        raw = contract.read_file(bundle / contract.PREPROCESSING_FILE)
        return contract.Preprocessing.from_json(raw).resize_rule()
    except (OSError, contract.BadRequest):
        return None


def plan(
    connection: ledger.Connection,
    config: settings.Settings,
    images: Iterable[str],
    rule: contract.ResizeRule,
    name: str,
    folder: Path,
) -> list[contract.PackRequest]:
    """The requests to pack images by a rule, as far as there are files of them.

    Args:
        name: what the ids of the shards begin with.
        folder: of the store, for the manifests.
    """
    kept, landed = _files(connection, config.store, sorted(images))
    size = max(1, SHARD_BYTES // (3 * rule.height * rule.width))
    parts: list[tuple[Literal["store", "landing"], Sequence[File]]] = [
        *(("store", part) for part in _cut(kept, size)),
        *(("landing", part) for part in _cut(landed, size)),
    ]
    cores = config.vision.cores
    return [
        contract.PackRequest(
            shard_id=f"{name}-{number}",
            manifest=_write_manifest(config.store, folder / f"{name}-{number}.parquet", part),
            limits=config.decoding.limits,
            workers=cores // max(1, min(len(parts), cores)),
            **vars(rule),
            root=root,
        )
        for number, (root, part) in enumerate(parts)
    ]


def packed_images(shard: Path) -> list[str]:
    """The ids of the images of a shard.

    Raises:
        tables.TableError: it is none.
    """
    columns = tables.among(contract.SHARD_COLUMNS, "image_id")
    found: list[str] = tables.read(shard, columns)["image_id"].to_pylist()
    return found


def _files(connection: ledger.Connection, store: Path, images: Sequence[str]) -> tuple[list[File], list[File]]:
    """Those that the store keeps, and those that landed; an image of neither is in none."""
    rows = ledger.fetch(connection, "select_image_files", {"image_ids": images})
    listed = {row["image_id"]: (bytes(row["name"]), row["version"]) for row in rows}
    kept, landed = [], []
    for image in images:
        file = store / ORIGINALS / image
        if file.is_file():
            kept.append((f"{ORIGINALS}/{image}".encode(), contract.version_tag(file.stat(), ())))
        elif image in listed:
            landed.append(listed[image])
    return kept, landed


def _cut(files: Sequence[File], size: int) -> list[Sequence[File]]:
    return [files[start : start + size] for start in range(0, len(files), size)]


def _write_manifest(store: Path, path: Path, files: Sequence[File]) -> contract.FileRef:
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in contract.MANIFEST_COLUMNS])
    names, versions = zip(*files, strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contract.whole(path) as file:
        pq.write_table(pa.table([list(range(len(files))), names, versions], schema=schema), file, compression="zstd")
    return contract.FileRef(str(path.relative_to(store)), contract.sha256_file(path))
