"""Register a network of GluonCV's: `make pretrained MODEL=...` with the zoo's pretrained weights, or with weights of
your own: `make pretrained MODEL=... WEIGHTS=... CLASSES=... [PREPROCESSING=...] [PICTURES=...] [NAME=...]`.

`MXNET_GLUON_REPO` names a mirror of the zoo. The champion stays who it is.
"""

import argparse
import sys
from pathlib import Path

import strandline_contract as contract
from local.build import bundles, measured
from strandline import settings

PROGRAM = "make pretrained"
PASSED_ON = ("MXNET_GLUON_REPO", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def main(model: str, weights: str, classes: str, preprocessing: str, name: str, pictures: str) -> int:
    if not bundles.use_ledger(settings.load()):
        return 1
    return pretrained(settings.get(), model, weights, classes, preprocessing, name, pictures)


def pretrained(
    config: settings.Settings,
    model: str,
    weights: str = "",
    classes: str = "",
    preprocessing: str = "",
    name: str = "",
    pictures: str = "",
) -> int:
    """Register a network of GluonCV's; 1, and a sentence, if that cannot be."""
    files = {"--weights": weights, "--classes": classes, "--preprocessing": preprocessing}
    if weights and not name:
        name = Path(weights).stem
    with bundles.scratch(config) as scratch:
        bundle = scratch / contract.BUNDLE_FOLDER
        arguments = [model, "--out", str(bundle), *(["--name", name] if name else [])]
        arguments += [text for option, path in files.items() if path for text in (option, str(Path(path).resolve()))]
        if bundles.run_vision(config, "vision.models.pretrained", arguments, PASSED_ON):
            return 1  # it has said why
        return measured.register(config, bundle, scratch, PROGRAM, pictures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    for option in ("weights", "classes", "preprocessing", "name", "pictures"):
        parser.add_argument(f"--{option}", default="")
    sys.exit(main(**vars(parser.parse_args())))
