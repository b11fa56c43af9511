"""Build the container images: `python -m local.build.images [vision] [airflow] [serve] [--runtime cuda12]`.

An image is named by what it is: its version, and its ID, which is a hash of its content; and by the commit it is of.
What runs it should name the ID that is printed. `:latest` is for people. The vision image holds a champion: the
checkout's first one, or the version asked for, from the model store. What serves is of the same sources.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import strandline_contract as contract
from local.build import model_store
from strandline import revision, settings

CHAMPION = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
FETCHED = settings.REPOSITORY / ".strandline" / "cache" / "models"
IMAGES = ("vision", "airflow", "serve")


class ImageError(Exception):
    """An image could not be built; the message says what is missing."""


def build(name: str, runtime: str = "cpu", champion: Path = CHAMPION) -> str:
    """Build an image, or find it in the engine's cache.

    Args:
        name: vision, airflow or serve.
        runtime: of vision: cpu; cuda12 for GPU hosts, or cu112 for those with old cards, which MXNet knows.
        champion: the bundle that the vision image holds; in `models/` or `FETCHED`, since it is part of the context.

    Returns:
        Its ID, `sha256:...`: a name that only this content has.

    Raises:
        ImageError: no engine answers, or a step of the build failed.
    """
    version = tomllib.loads((settings.REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    arguments = {
        "VERSION": version,
        "REVISION": revision.checked_out(),
        "MODEL_VERSION": contract.sha256_file(champion / contract.BUNDLE_MANIFEST),
    }
    project = "vision" if name == "serve" else name
    if project == "vision":
        environment = "serve" if name == "serve" else runtime
        arguments |= {"RUNTIME": environment, "CHAMPION": str(champion.relative_to(settings.REPOSITORY))}
    with tempfile.TemporaryDirectory() as folder:
        id_file = Path(folder) / "id"
        command = ["docker", "buildx", "build", "--load", f"--iidfile={id_file}"]
        command += [f"--file={settings.REPOSITORY}/docker/{project}/Dockerfile"]
        command += [f"--target={name}"] if project == "vision" else []
        command += [f"--build-arg={key}={value}" for key, value in arguments.items()]
        _docker([*command, str(settings.REPOSITORY)])
        image = id_file.read_text().strip()
    suffix = f"-{runtime}" if name == "vision" and runtime != "cpu" else ""
    content, commit = image.removeprefix("sha256:")[:12], arguments["REVISION"][:12]
    for tag in (f"{version}-{content}{suffix}", f"revision-{commit}{suffix}", f"latest{suffix}"):
        _docker(["docker", "tag", image, f"strandline/{name}:{tag}"])
    return image


def _docker(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdout=sys.stderr, env={**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})
    except FileNotFoundError as error:
        raise ImageError("docker is missing: install Docker with Buildx") from error
    if done.returncode:
        raise ImageError(f"`{' '.join(command[:3])}` failed: see the lines above. Does `docker buildx ls` answer?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=IMAGES, help="vision, airflow, serve; all unless named")
    parser.add_argument(
        "--runtime", choices=("cpu", "cuda12", "cu112"), default="cpu", help="of vision: cuda12 is for GPU hosts"
    )
    parser.add_argument("--model-version", default="", help="of the model store; by default, the checkout's champion")
    arguments = parser.parse_args()
    try:
        champion = CHAMPION
        if arguments.model_version:
            champion = model_store.fetch(arguments.model_version, settings.load().local.model_store, FETCHED)
        for name in arguments.names:
            print(f"strandline/{name} {build(name, arguments.runtime, champion=champion)}")
    except (ImageError, model_store.StoreError) as error:
        print(f"No image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
