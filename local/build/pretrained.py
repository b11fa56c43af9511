"""Fetch a model of GluonCV's zoo with its pretrained weights and register it: `make pretrained MODEL=...`.

`MXNET_GLUON_REPO` names a mirror of the zoo. The champion stays: a run classifies with the new version when it is
given as the parameter `model_version`.
"""

import sys

from local.build import bundles
from strandline import settings

PASSED_ON = ("MXNET_GLUON_REPO", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def main(model: str) -> int:
    config = settings.load()
    bundle = config.home / "bundles" / model
    if bundles.run_vision(config, "vision.models.pretrained", [model, "--out", str(bundle)], PASSED_ON):
        return 1  # it has said why
    bundles.use_ledger(config)
    version = bundles.register(bundle, "make pretrained")
    if version is None:
        return 1
    print(f"{model} is registered as model version {version}: give that as model_version to a run of ingest_images.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
