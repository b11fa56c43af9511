"""Networks with weights by a seed become bundles, and each backend that a CPU has is asked; prints differences as JSON.

A program of its own, for MXNet reads the number of threads when it is imported: `compare_networks.py FOLDER
NETWORK=SIDE ...`.
"""

import json
import sys
from pathlib import Path

import numpy as np

import strandline_contract as contract
from vision import backends
from vision.backends.backend import normalise
from vision.models import bundles, export, golden, networks, seeded

CLASSES = tuple("abcdefg")
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
ROWS = 4


def compare(folder: Path, network: str, side: int) -> dict:
    net = networks.build(network, CLASSES)
    images = golden.made_images(ROWS, side, side)
    seeded.initialise(net, normalise(images, MEAN, STD))
    folder.mkdir()
    bundles.write_settings(folder, CLASSES, contract.Preprocessing(side, side, mean=MEAN, std=STD))
    bundle = bundles.read(folder, "unsealed", network)
    net.save_parameters(str(bundle.weights))
    export.write(net, side, side, bundle.graph)
    answers = {
        backend: backends.start(bundle, contract.Runtime(backend, threads=1, batch_size=ROWS))(images)
        for backend in ("mxnet", "openvino", "onnxruntime")
    }
    (reference, embeddings), *others = answers.values()
    return {
        "classes": reference.shape[1],
        "spread": float(reference.max() - reference.min()),
        "probability": max(float(np.abs(found - reference).max()) for found, _ in others),
        "embedding": max(float(np.abs(found - embeddings).max() / np.abs(embeddings).max()) for _, found in others),
        "labels": all((found.argmax(1) == reference.argmax(1)).all() for found, _ in others),
    }


if __name__ == "__main__":
    folder, *wanted = sys.argv[1:]
    sides = {network: int(side) for network, side in (one.split("=") for one in wanted)}
    print(json.dumps({network: compare(Path(folder) / network, network, side) for network, side in sides.items()}))
