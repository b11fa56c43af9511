"""A holdout of one's own: a folder of labelled pictures, one folder a class, packed for a model and frozen.

Its files are kept in the store, so that they can be packed for another model, too.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import strandline_contract as contract
from local.build import bundles
from strandline import ledger, settings, tables
from strandline.models import datasets, packing


class HoldoutError(Exception):
    """No holdout can be made of a folder, or packed; the message says why and what to do."""


class Packed(NamedTuple):
    """Labelled images, packed for a model; `name` is for people."""

    name: str
    labels: contract.FileRef
    shards: tuple[contract.FileRef, ...]


def freeze(
    config: settings.Settings, pictures: Path, classes: Sequence[str], rule: contract.ResizeRule, by: str
) -> Packed:
    """Keep, pack and freeze the pictures of a folder as the holdout of a model of these classes.

    Raises:
        HoldoutError: a folder is of no class, a picture is there twice, or none can be packed.
        datasets.DatasetError: a model has learnt from one of them.
    """
    labels: dict[str, str] = {}
    names: dict[str, Path] = {}
    for file, label in _files(pictures, classes):
        content = contract.read_file(file, config.decoding.limits.max_bytes)
        image = hashlib.sha256(content).hexdigest()
        if labels.setdefault(image, label) != label:
            raise HoldoutError(f"{file} and {names[image]} are the same picture, of two classes: remove one of them")
        names[image] = file
        packing.keep(config.store, content, image)
    with ledger.connect("training") as connection:
        folder = config.store / datasets.FOLDER / f"packed-{uuid.uuid4().hex[:12]}"
        shards = _pack(connection, config, labels, rule, folder)
        there = _images(config.store, shards)
        for image in sorted(labels.keys() - there, key=names.__getitem__):
            print(f"{names[image]} cannot be packed, and is left out.")
        rows = [(image, label) for image, label in labels.items() if image in there]
        if not rows:
            raise HoldoutError(f"none of the files in {pictures} can be packed")
        frozen = datasets.freeze(connection, config, "holdout", rows, shards, {"images": f"of {pictures.name}"}, by)
    if without := [name for name in classes if name not in {label for _, label in rows}]:
        print(f"The holdout has no picture of {', '.join(without)}: a gate will ask for some.")
    print(f"Holdout {frozen.dataset_id[:12]} has {len(rows):,} pictures.")
    return Packed(frozen.dataset_id[:12], frozen.labels, shards)


def latest(
    config: settings.Settings, classes: Sequence[str], rule: contract.ResizeRule, scratch: Path
) -> Packed | None:
    """The newest holdout with labels of these classes only, packed again if its shards are of another rule; None if
    there is none.

    Raises:
        HoldoutError: it cannot be packed.
    """
    with ledger.connect("training") as connection:
        found = datasets.latest(connection, "holdout", classes)
        if found is None:
            return None
        name, paths = found.dataset_id[:12], [contract.store_path(config.store, shard.path) for shard in found.shards]
        if all(packing.is_packed_for(path, rule) for path in paths):
            return Packed(name, found.labels, found.shards)
        known = datasets.labels(config.store, found)
        shards = _pack(connection, config, known, rule, scratch / "packed")
    there = _images(config.store, shards)
    if not (rows := sorted((image, label) for image, label in known.items() if image in there)):
        raise HoldoutError(f"holdout {name} was packed for another model, and none of its files is left")
    if gone := len(known) - len(rows):
        print(f"Of {gone:,} of {len(known):,} images of holdout {name} no file is left: they are not measured on.")
    return Packed(name, datasets.write_labels(config.store, str(scratch.relative_to(config.store)), rows), shards)


def _files(pictures: Path, classes: Sequence[str]) -> Iterable[tuple[Path, str]]:
    """The files of a folder's folders, each with the class that its folder names; hidden ones are passed over."""
    if not pictures.is_dir():
        raise HoldoutError(f"{pictures} is no folder: it has to have a folder of pictures for each class")
    for folder in sorted(path for path in pictures.iterdir() if not path.name.startswith(".")):
        if not folder.is_dir() or folder.name not in classes:
            raise HoldoutError(
                f"{folder} is no folder of a class: the model knows {', '.join(classes[:20])}"
                + (" and others" if len(classes) > 20 else "")
            )
        for file in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
            if not file.is_file():
                raise HoldoutError(f"{file} is no file: a folder of a class has pictures, and nothing else")
            yield file.resolve(), folder.name


def _pack(
    connection: ledger.Connection,
    config: settings.Settings,
    images: Iterable[str],
    rule: contract.ResizeRule,
    folder: Path,
) -> tuple[contract.FileRef, ...]:
    shards = []
    for request in packing.plan(connection, config, images, rule, "holdout", folder):
        attempt = folder / request.shard_id
        attempt.mkdir()
        contract.write_json(attempt / contract.REQUEST_FILE, request.to_dict())
        if bundles.run_command(config, "pack", attempt):
            raise HoldoutError("the holdout cannot be packed: the line above says why")
        contract.read_result(attempt, "pack")
        shard = attempt / contract.SHARD_FILE
        shards.append(contract.FileRef(str(shard.relative_to(config.store)), contract.sha256_file(shard)))
    return tuple(shards)


def _images(store: Path, shards: Iterable[contract.FileRef]) -> set[str]:
    try:
        return {image for shard in shards for image in packing.packed_images(contract.store_path(store, shard.path))}
    except tables.TableError as error:
        raise HoldoutError(f"a shard of the holdout cannot be read: {error}") from error
