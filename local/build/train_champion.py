"""Train the first champion on CIFAR-10 with the vision commands: `make champion`. Runs in the vision environment.

It first learns from the images as they are, then from images as cameras and tools change theirs. Each step is an
attempt in `.strandline/champion/`; a step that has its result is not run again, and a training that was stopped goes on
from its last epoch.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import strandline_contract as contract
from local.demo import cifar, drop
from strandline import settings
from vision import shards

NAME = "cifar_resnet20_v1"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # of the training images, as GluonCV has them
TEST_IMAGES = 10_000
FURTHER_EPOCHS = 24
FURTHER = {"peak_lr": 0.05, "low_share": 0.4, "corruption": contract.Corruption().to_dict()}
FURTHER |= {"weight_interpolation": 0.85}  # the rest are the first step's weights, which know images as they are best
# So that it ends on a slow machine, too. The champion of the checkout had 14 epochs, as its training.json says;
# its budget was set after the sixth, so that the first six had the learning rates of 24.
FURTHER |= {"seconds": 7750.0}

Request = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=48)
    parser.add_argument("--further-epochs", type=int, default=FURTHER_EPOCHS, help="of changed images")
    arguments = parser.parse_args()
    config = settings.get()
    maker = Maker(config.home / "champion", config)
    bundle = maker.make(arguments.epochs, arguments.further_epochs, "make champion")
    target = settings.REPOSITORY / "models" / NAME
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bundle, target)
    print((target / contract.CARD_FILE).read_text())
    return 0


class Maker:
    """The steps from photographs to a bundle, each an attempt in a folder of its own."""

    def __init__(self, store: Path, config: settings.Settings) -> None:
        self.store = store
        self.config = config

    def make(self, epochs: int, further_epochs: int, made_by: str) -> Path:
        """The finished bundle's folder."""
        train, test = self.pack("train"), self.pack("test")
        runtime = self.config.vision.runtime()
        network: Request = {"name": NAME, "network": NAME, "classes": cifar.CLASSES, "threads": runtime.threads}
        images: Request = {"height": cifar.SIDE, "width": cifar.SIDE, "mean": MEAN, "std": STD}
        first = self.bundle(self.run("train", "train", network | images | train | {"epochs": epochs}))
        further: Request = {"start": first, "epochs": further_epochs, **FURTHER}
        bundle = self.bundle(self.run("train-further", "train", network | images | train | further))
        measuring: Request = {"bundle": bundle, "runtime": runtime.to_dict(), "corrupted_images": TEST_IMAGES}
        evaluated = self.run("evaluate", "evaluate", measuring | test)
        results = {
            "metrics": self.ref(evaluated / contract.METRICS_FILE),
            "predictions": self.ref(evaluated / contract.PREDICTIONS_FILE),
        }
        packaged = self.run("package", "package", {"bundle": bundle, "made_by": made_by} | test | results)
        return packaged / str(contract.BUNDLE_FOLDER)

    def pack(self, split: str) -> Request:
        """References to the `shards` of a split and to its `labels`."""
        landing = self.store / "landing" / split
        labels = self._write_images(split, landing)
        names = sorted(labels)
        folder = self.pack_files(split, landing, names)
        outcomes = shards.read_table(folder / contract.OUTCOMES_FILE, contract.OUTCOME_COLUMNS, ("image_id",))
        found = dict(zip(outcomes["image_id"].to_pylist(), (labels[name] for name in names), strict=True))
        _write(folder / "labels.parquet", contract.LABEL_COLUMNS, {"image_id": list(found), "label": [*found.values()]})
        return {"shards": [self.ref(folder / contract.SHARD_FILE)], "labels": self.ref(folder / "labels.parquet")}

    def pack_files(self, name: str, landing: Path, names: list[str]) -> Path:
        """The folder of a finished attempt to pack these files of `landing`."""
        manifest = self.store / f"{name}-manifest.parquet"
        versions = [f"{s.st_size}-{s.st_mtime_ns}" for s in ((landing / one).stat() for one in names)]
        columns = {"entry": range(len(names)), "name": [os.fsencode(one) for one in names], "version": versions}
        _write(manifest, contract.MANIFEST_COLUMNS, columns)
        request: Request = {"shard_id": name, "manifest": self.ref(manifest), "workers": self.config.vision.cores}
        request |= {"height": cifar.SIDE, "width": cifar.SIDE, "limits": self.config.decoding.limits.to_dict()}
        return self.run(f"pack-{name}", "pack", request, landing)

    def run(self, name: str, command: str, request: Request, landing: Path | None = None) -> Path:
        """The folder of a finished attempt; run only if it has no result yet."""
        folder = self.store / name
        folder.mkdir(parents=True, exist_ok=True)
        wanted = contract.parse_request(command, json.loads(json.dumps(request))).to_dict()
        if _matches(folder, wanted) and (folder / contract.RESULT_FILE).is_file():
            contract.read_result(folder, command)
            return folder
        (folder / contract.RESULT_FILE).unlink(missing_ok=True)
        contract.write_json(folder / contract.REQUEST_FILE, wanted)
        roots = {"STRANDLINE_LANDING": str(landing or self.store), "STRANDLINE_STORE": str(self.store)}
        arguments = [sys.executable, "-m", "vision", command, "--request", str(folder / contract.REQUEST_FILE)]
        subprocess.run(arguments, env=os.environ | roots, check=True)
        contract.read_result(folder, command)
        return folder

    def bundle(self, trained: Path) -> dict[str, str]:
        folder = trained / contract.BUNDLE_FOLDER
        version = contract.sha256_file(folder / contract.BUNDLE_MANIFEST)
        return {"path": str(folder.relative_to(self.store)), "version": version}

    def ref(self, path: Path) -> dict[str, str]:
        return {"path": str(path.relative_to(self.store)), "sha256": contract.sha256_file(path)}

    def _write_images(self, split: str, landing: Path) -> dict[str, str]:
        """Every image of a split as a PNG file; its label by its name."""
        cache = self.config.home / "cache" / "cifar10"
        pixels, labels = cifar.load(split, cache, self.config.local.cifar_archive)
        landing.mkdir(parents=True, exist_ok=True)
        names = [f"{number:05d}.png" for number in range(len(pixels))]
        for name, image in zip(names, pixels, strict=True):
            if not (landing / name).exists():
                (landing / name).write_bytes(drop.encode(image, "png"))
        return {name: cifar.CLASSES[label] for name, label in zip(names, labels, strict=True)}


def _matches(folder: Path, wanted: Request) -> bool:
    path = folder / contract.REQUEST_FILE
    return path.is_file() and bool(json.loads(path.read_bytes()) == json.loads(json.dumps(wanted)))


def _write(path: Path, columns: tuple[tuple[str, str], ...], rows: dict[str, Any]) -> None:
    writer = shards.TableWriter(path, columns)
    writer.write(rows)
    writer.close()


if __name__ == "__main__":
    sys.exit(main())
