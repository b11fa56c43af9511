"""The images: what they are called, what is in them, and what is not."""

import json
import re
import shutil
from pathlib import Path

import pytest

from embedded import images
from strandline import contract, settings

VISION_LOCK = settings.REPOSITORY / "docker" / "vision" / "requirements.txt"
LARGEST_VISION_IMAGE = 750_000_000  # bytes; 689 MB when it was written
COMPILERS = ("gcc", "cc", "g++", "make", "ld", "as", "pip", "uv", "git", "curl", "wget")


def run(engine, image: str, *command: str, **options) -> str:
    """What a command prints in a container as unprivileged as a task's."""
    output = engine.containers.run(
        image,
        entrypoint=command[0],
        command=list(command[1:]),
        remove=True,
        read_only=True,
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/tmp": ""},
        **options,
    )
    return output.decode()


def components(engine, image: str) -> dict[str, str]:
    bill = json.loads(run(engine, image, "cat", "/opt/sbom/python.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    return {component["name"].lower(): component["version"] for component in bill["components"]}


def test_vision_says_how_to_use_it(engine, vision_image):
    usage = engine.containers.run(vision_image, ["--help"], remove=True).decode()
    assert all(command in usage for command in contract.REQUESTS)


def test_vision_is_not_root(engine, vision_image):
    assert run(engine, vision_image, "id", "-u").strip() == "10001"


def test_vision_imports_all_it_calls_on_a_read_only_root(engine, vision_image):
    program = "import vision.pack; import vision.train, vision.classify, vision.evaluate, vision.package"
    run(engine, vision_image, "python", "-c", program)


def test_vision_is_labelled(engine, vision_image):
    labels = engine.images.get(vision_image).labels
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert labels["strandline.model_version"] == contract.sha256_file(images.CHAMPION / "manifest.json")


def test_vision_is_tagged_by_its_content(engine, vision_image):
    tag = f"strandline/vision:0.1.0-{vision_image.removeprefix('sha256:')[:12]}"
    assert tag in engine.images.get(vision_image).tags


def test_bill_of_vision_is_its_lock(engine, vision_image):
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", VISION_LOCK.read_text(), flags=re.MULTILINE))
    assert components(engine, vision_image) == locked
    assert {"mxnet", "gluoncv", "pillow"} <= locked.keys()


def test_bill_of_vision_lists_debian_packages(engine, vision_image):
    packages = dict(line.split()[:2] for line in run(engine, vision_image, "cat", "/opt/sbom/debian.txt").splitlines())
    assert {"libc6", "libgomp1"} <= packages.keys()


def test_vision_holds_the_champion(engine, vision_image):
    listed = run(engine, vision_image, "sh", "-c", "cd /opt/champion && sha256sum *")
    found = {name: digest for digest, name in (line.split() for line in listed.splitlines())}
    assert found == {path.name: contract.sha256_file(path) for path in images.CHAMPION.iterdir()}


def test_an_altered_champion_stops_the_build(engine, vision_image, tmp_path: Path, capfd):
    for part in ("docker", "models", "plugins", ".dockerignore"):
        source = settings.REPOSITORY / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
            shutil.copytree(source, tmp_path / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / part)
    weights = tmp_path / "models" / images.CHAMPION.name / "weights.params"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(images.ImageError):
        images.build("vision", context=tmp_path)
    assert "weights.params is missing or not what the bundle's manifest says" in capfd.readouterr().err


def test_nothing_in_vision_raises_privileges_compiles_or_downloads(engine, vision_image):
    assert run(engine, vision_image, "sh", "-c", "find / -xdev -type f -perm /6000 2>/dev/null || true") == ""
    assert run(engine, vision_image, "sh", "-c", f"command -v {' '.join(COMPILERS)} || true") == ""


def test_vision_user_owns_nothing(engine, vision_image):
    """What it cannot write it cannot change, even where a root file system is writable."""
    writable = "find / -xdev -writable -not -type l -not -path '/tmp*' 2>/dev/null || true"
    found = run(engine, vision_image, "sh", "-c", writable).split()
    assert [path for path in found if not path.startswith(("/proc", "/dev", "/sys", "/var/tmp", "/run/lock"))] == []


def test_vision_is_small(engine, vision_image):
    assert engine.images.get(vision_image).attrs["Size"] < LARGEST_VISION_IMAGE
