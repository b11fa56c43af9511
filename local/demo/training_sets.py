"""Freeze CIFAR-10's holdout, and what the first champion learnt from, as datasets of a running stack:
`make training-sets`. The ledger is the local one, or that of STRANDLINE_DATABASE_URL; with FOR=compose, ledger and
store are those of docker compose. Again, it changes nothing, but for files that the store lacks: it packs those.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import pyarrow.parquet as pq

import strandline_contract as contract
from local.demo import cifar
from local.stack import configuration, databases, dotenv
from strandline import ledger, settings
from strandline.models import datasets, packing

FOLDER = "cifar10"  # of the store, where local.demo.training_images packs
VISION = settings.REPOSITORY / "docker" / "vision"
RULES = {
    "holdout": "the 5,000 test images of CIFAR-10 that the first champion's reference profile has; they never land",
    "original": "1,000 images of each class of CIFAR-10's training images, from which the first champion learnt",
}


class PackError(Exception):
    """The images could not be packed; the process has said why."""


def make(config: settings.Settings) -> list[str]:
    """Pack and freeze what is not frozen yet; returns a line about each set.

    Args:
        chosen: with the address of a running ledger.

    Raises:
        PackError: CIFAR-10 cannot be had, or could not be packed.
        datasets.DatasetError: an image of the holdout is learnt from.
    """
    kinds: tuple[datasets.Kind, ...] = ("holdout", "original")
    with ledger.connect("training", config.database_url) as connection:
        found = [datasets.latest(connection, kind, cifar.CLASSES) for kind in kinds]
        if not all(one and _is_whole(config.store, one) for one in found):
            _pack(config)
            found = [_freeze(connection, config, kind) for kind in kinds]
    _give_to_owner(config.store)
    return [f"{one.kind}: {one.images:,} images, set {one.dataset_id[:12]}" for one in found if one]


def of_compose(config: settings.Settings, env_file: Path = dotenv.PATH) -> settings.Settings:
    """The settings of what docker compose runs on this host, with its ledger and its store.

    Raises:
        PackError: there is no such deployment.
    """
    values = dotenv.read(env_file)
    if dotenv.FOLDER not in values:
        raise PackError(f"{env_file} says nothing of a deployment: run make secrets, and docker compose up -d")
    store, port = Path(values["STRANDLINE_STORE_ON_HOST"]), values.get("STRANDLINE_POSTGRES_PORT", "5439")
    if store.name != "store":
        raise PackError(f"STRANDLINE_STORE_ON_HOST is {store}: name a folder that is called store")
    passfile = Path(values[dotenv.FOLDER]) / "pgpass-worker"
    url = f"postgresql://127.0.0.1:{port}/strandline?{urlencode({'passfile': passfile}, quote_via=quote)}"
    # What has been fetched already is taken from where it lies.
    fetched = (config.home / "cache" / "cifar10" / source.name for source in cifar.SOURCES)
    archive = config.local.cifar_archive or next(filter(Path.is_file, fetched), None)
    return dataclasses.replace(
        config, home=store.parent, database_url=url, local=dataclasses.replace(config.local, cifar_archive=archive)
    )


def _is_whole(store: Path, dataset: datasets.Dataset) -> bool:
    try:
        for file in (dataset.labels, *dataset.shards):
            contract.verified(store, file)
    except contract.BadInput:
        return False
    return True


def _pack(config: settings.Settings) -> None:
    folders = os.pathsep.join([configuration.PYTHONPATH, str(VISION)])
    environment = os.environ | configuration.variables(config) | {"PYTHONPATH": folders}
    command = [str(config.vision.python), "-m", "local.demo.training_images"]
    if code := subprocess.run(command, env=environment).returncode:
        raise PackError(f"CIFAR-10 was not packed: local.demo.training_images ended with exit code {code}")


def _freeze(connection: ledger.Connection, config: settings.Settings, kind: datasets.Kind) -> datasets.Dataset:
    rows = pq.read_table(config.store / FOLDER / f"{kind}.parquet")
    path = f"{FOLDER}/pack-{kind}/{contract.SHARD_FILE}"
    shard = contract.FileRef(path, contract.sha256_file(config.store / path))
    labelled = list(zip(rows["image_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    rule = {"images": RULES[kind]}
    frozen = datasets.freeze(connection, config, kind, labelled, [shard], rule, "make training-sets")
    if not _is_whole(config.store, frozen):
        raise datasets.DatasetError(
            f"{kind} set {frozen.dataset_id[:12]} is frozen with other files than are packed now: restore"
            f" {', '.join(file.path for file in frozen.shards)} in {config.store} from a backup"
        )
    return frozen


def _give_to_owner(store: Path) -> None:
    """What root has written becomes that of the store's owner: workers write beside it."""
    if os.getuid() == 0:
        owner = store.stat()
        for folder in (store / FOLDER, store / datasets.FOLDER, store / packing.ORIGINALS):
            for path in (folder, *folder.rglob("*")) if folder.exists() else ():
                os.chown(path, owner.st_uid, owner.st_gid)


def main() -> int:
    config = settings.load()
    try:
        if sys.argv[1:] == ["compose"]:
            config = of_compose(config)
        elif not config.database_url:
            config = dataclasses.replace(config, database_url=databases.ledger_url(config))
        print("\n".join(make(config)))
    except (PackError, datasets.DatasetError, ledger.Unreachable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
