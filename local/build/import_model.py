"""Make a bundle of an ONNX file and register it: `make import-model ONNX=... CLASSES=... PREPROCESSING=...
[PICTURES=...] [NAME=...]`.

The file is opened in a process of its own, with bounded memory and time; its model is measured on the pictures, or on
the newest holdout of its classes. The champion stays who it is.
"""

import argparse
import sys
from pathlib import Path

import strandline_contract as contract
from local.build import bundles, measured
from strandline import settings

PROGRAM = "make import-model"
USAGE = f"{PROGRAM} ONNX=model.onnx CLASSES=classes.txt PREPROCESSING=preprocessing.json [PICTURES=folder] [NAME=...]"


def main(onnx: str, classes: str, preprocessing: str, name: str, pictures: str) -> int:
    if not (onnx and classes and preprocessing):
        print(f"{USAGE}: docs/how-to/own-model.md says what is in each file", file=sys.stderr)
        return 1
    if not bundles.use_ledger(settings.load()):
        return 1
    return import_model(settings.get(), onnx, classes, preprocessing, name or Path(onnx).stem, pictures)


def import_model(
    config: settings.Settings, onnx: str, classes: str, preprocessing: str, name: str, pictures: str = ""
) -> int:
    """Register the model of a file; 1, and a sentence, if that cannot be."""
    try:
        contract.plain_name(name)
    except contract.BadRequest as error:
        print(f"NAME: {error}", file=sys.stderr)
        return 1
    with bundles.scratch(config) as scratch:
        bundle = scratch / contract.BUNDLE_FOLDER
        # Links are the user's own, as those of a download cache; what opens the files follows none.
        onnx, classes, preprocessing = (str(Path(path).resolve()) for path in (onnx, classes, preprocessing))
        arguments = [onnx, "--classes", classes, "--preprocessing", preprocessing, "--name", name, "--out", str(bundle)]
        arguments += ["--threads", str(config.vision.cores), "--memory", str(config.vision.memory_bytes)]
        if bundles.run_vision(config, "vision.models.imported", arguments, OMP_NUM_THREADS=str(config.vision.cores)):
            return 1  # it has said why
        return measured.register(config, bundle, scratch, PROGRAM, pictures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("onnx", "classes", "preprocessing", "name", "pictures"):
        parser.add_argument(f"--{option}", default="")
    sys.exit(main(**vars(parser.parse_args())))
