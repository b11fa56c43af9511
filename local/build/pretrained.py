"""Fetch a model of GluonCV's zoo with its pretrained weights and register it: `make pretrained MODEL=...`.

`MXNET_GLUON_REPO` names a mirror of the zoo. The champion stays: a run classifies with the new version when it is
given as the parameter `model_version`.
"""

import os
import subprocess
import sys
from pathlib import Path

from local.stack import databases
from strandline import ledger, settings
from strandline.models import registry

PASSED_ON = ("MXNET_GLUON_REPO", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
VISION = settings.REPOSITORY / "docker" / "vision"


def main(model: str) -> int:
    config = settings.load()
    bundle = config.home / "bundles" / model
    if fetch(config, model, bundle):
        return 1  # it has said why
    os.environ["STRANDLINE_DATABASE_URL"] = databases.ledger_url(config)
    settings.get.cache_clear()
    try:
        version = registry.register(bundle, "make pretrained")
    except ledger.Unreachable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{model} is registered as model version {version}: give that as model_version to a run of ingest_images.")
    return 0


def fetch(config: settings.Settings, model: str, bundle: Path) -> int:
    """Make the bundle, in the vision environment; its exit code."""
    user = config.home / "user"
    user.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ[name] for name in ("PATH", *PASSED_ON) if name in os.environ}
    environment |= {"HOME": str(user), "MPLCONFIGDIR": str(user), "PYTHONPATH": str(VISION)}
    command = [str(config.vision.python), "-m", "vision.models.pretrained", model, "--out", str(bundle)]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
