"""Freeze CIFAR-10's holdout, and what the first champion learnt from, as datasets of a running stack:
`make training-sets`. The ledger is the embedded one, or that of STRANDLINE_DATABASE_URL. Again, it changes nothing.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from embedded import configuration, databases
from strandline import contract, datasets, ledger, settings

FOLDER = "cifar10"  # of the store, where embedded.training_pictures packs
VISION = settings.REPOSITORY / "docker" / "vision"
RULES = {
    "holdout": "the 5,000 test pictures of CIFAR-10 that the first champion's reference profile has; they never land",
    "original": "1,000 pictures of each class of CIFAR-10's training pictures, from which the first champion learnt",
}


class PackError(Exception):
    """The pictures could not be packed; the process has said why."""


def make(chosen: settings.Settings) -> list[str]:
    """Pack and freeze what is not frozen yet; returns a line about each set.

    Args:
        chosen: with the address of a running ledger.

    Raises:
        PackError: CIFAR-10 cannot be had, or could not be packed.
        datasets.DatasetError: a picture of the holdout is learnt from.
    """
    kinds: tuple[datasets.Kind, ...] = ("holdout", "original")
    with ledger.connect("training", chosen.database_url) as connection:
        if not all(datasets.latest(connection, kind) for kind in kinds):
            _pack(chosen)
            for kind in kinds:
                _freeze(connection, chosen, kind)
        found = [datasets.latest(connection, kind) for kind in kinds]
    _hand_over(chosen.store)
    return [f"{one.kind}: {one.images:,} images, set {one.dataset_id[:12]}" for one in found if one]


def _pack(chosen: settings.Settings) -> None:
    folders = os.pathsep.join([configuration.PYTHONPATH, str(VISION)])
    environment = os.environ | configuration.variables(chosen) | {"PYTHONPATH": folders}
    command = [str(chosen.vision_python), "-m", "embedded.training_pictures"]
    if code := subprocess.run(command, env=environment).returncode:
        raise PackError(f"CIFAR-10 was not packed: embedded.training_pictures ended with exit code {code}")


def _freeze(connection: ledger.Connection, chosen: settings.Settings, kind: datasets.Kind) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(chosen.store / FOLDER / f"{kind}.parquet")
    path = f"{FOLDER}/pack-{kind}/{contract.SHARD_FILE}"
    shard = contract.FileRef(path, contract.sha256_file(chosen.store / path))
    labelled = list(zip(rows["image_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    datasets.freeze(connection, chosen, kind, labelled, [shard], {"images": RULES[kind]}, "make training-sets")


def _hand_over(store: Path) -> None:
    """What root has written becomes that of the store's owner: workers write beside it."""
    if os.getuid() == 0:
        owner = store.stat()
        for folder in (store / FOLDER, store / datasets.FOLDER):
            for path in (folder, *folder.rglob("*")):
                os.chown(path, owner.st_uid, owner.st_gid)


def main() -> int:
    chosen = settings.load()
    if not chosen.database_url:
        chosen = dataclasses.replace(chosen, database_url=databases.ledger_url(chosen))
    try:
        print("\n".join(make(chosen)))
    except (PackError, datasets.DatasetError, ledger.Unreachable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
