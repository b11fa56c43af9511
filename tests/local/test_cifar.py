"""CIFAR-10 from each kind of archive, and drops made of it, in the vision environment that has its decoders."""

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from local.demo import broken_files
from local.stack import configuration
from strandline import settings

MAKE = """
import io, json, pickle, sys, tarfile
import numpy as np
from PIL import Image

kind, path = sys.argv[1:]
random = np.random.default_rng(7)

def batch(count):
    return random.integers(0, 256, (count, 32, 32, 3), np.uint8), random.integers(0, 10, count)

batches = {"test_batch": batch(40)} | {f"data_batch_{i}": batch(20) for i in range(1, 6)}
members = {}
for name, (pixels, labels) in batches.items():
    if kind == "official":
        planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        members[f"cifar-10-batches-py/{name}"] = pickle.dumps({b"data": planes, b"labels": labels.tolist()})
    else:
        buffer = io.BytesIO()
        Image.fromarray(pixels.reshape(len(pixels), 1024, 3)).save(buffer, "PNG")
        members[f"package/{name}.png"] = buffer.getvalue()
if kind == "npm":
    train = [label for i in range(1, 6) for label in batches[f"data_batch_{i}"][1].tolist()]
    members["package/train_lables.json"] = json.dumps(train).encode()
    members["package/test_lables.json"] = json.dumps(batches["test_batch"][1].tolist()).encode()
with tarfile.open(path, "w:gz") as archive:
    for name, content in members.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
"""
# The readers, with the SHA-256 of another archive; what is printed tells one content and order from another.
LOAD = """
import dataclasses, hashlib, sys
from pathlib import Path
from local.demo import cifar

index, sha256, cache, archive = sys.argv[1:]
source = dataclasses.replace(cifar.SOURCES[int(index)], sha256=sha256, fetch=lambda path: 1 / 0)
for split in ("train", "test"):
    pixels, labels = cifar.load(split, Path(cache), Path(archive) if archive else None, (source,))
    assert (str(pixels.dtype), str(labels.dtype)) == ("uint8", "int64")
    print(split, pixels.shape, hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest())
"""
# A drop of the small archive, as `make drop` makes it of the real one.
DROP = """
import dataclasses, sys
from pathlib import Path
from strandline import periods
from local.demo import broken_files, cifar, drop

archive, landing, count = sys.argv[1:]
cifar.SOURCES = (dataclasses.replace(cifar.SOURCES[0], sha256=cifar._sha256(Path(archive))),)
start = periods.get().parse("2026-11-21T08")
print(drop.drop(Path(landing), start, int(count), Path(f"{landing}-cache"), Path(archive)))
"""


def vision(*arguments: str | Path, code: int = 0) -> str:
    environment = os.environ | {"PYTHONPATH": configuration.PYTHONPATH}
    command = [settings.load().vision.python, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, Path]:
    """The same small data set in both forms."""
    folder = tmp_path_factory.mktemp("archives")
    for kind in ("official", "npm"):
        vision("-c", MAKE, kind, folder / kind)
    return {kind: folder / kind for kind in ("official", "npm")}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_archives_give_the_same_images_in_the_same_order(archives, tmp_path):
    official, npm = (
        vision("-c", LOAD, index, sha256(archives[kind]), tmp_path, archives[kind])
        for index, kind in enumerate(("official", "npm"))
    )
    assert official == npm
    assert "train (100, 32, 32, 3)" in official
    assert "test (40, 32, 32, 3)" in official


def test_a_cached_archive_is_not_fetched_again(archives, tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(archives["official"].read_bytes())
    loaded = vision("-c", LOAD, 0, sha256(archives["official"]), tmp_path, "")
    assert "test (40, 32, 32, 3)" in loaded
    assert {path.suffix for path in tmp_path.iterdir()} == {".gz", ".npz"}
    assert vision("-c", LOAD, 0, sha256(archives["official"]), tmp_path, "") == loaded


def test_a_local_archive_with_another_hash_is_refused(archives, tmp_path):
    message = vision("-c", LOAD, 0, "0" * 64, tmp_path, archives["official"], code=1)
    assert "STRANDLINE_CIFAR_ARCHIVE" in message
    assert sha256(archives["official"]) in message
    assert "0" * 64 in message


def test_a_missing_local_archive_is_named(tmp_path):
    message = vision("-c", LOAD, 0, "0" * 64, tmp_path, tmp_path / "nothing.tar.gz", code=1)
    assert f"STRANDLINE_CIFAR_ARCHIVE={tmp_path}/nothing.tar.gz: there is no such file" in message


def test_with_no_source_within_reach_the_setting_is_named(tmp_path):
    program = (
        "import sys; from pathlib import Path; from local.demo import cifar\n"
        "cifar.OFFICIAL_URL = 'http://127.0.0.1:9/'\n"
        "cifar.shutil.which = lambda name: None\n"
        "cifar.locate(Path(sys.argv[1]))"
    )
    message = vision("-c", program, tmp_path, code=1)
    assert "CIFAR-10 cannot be fetched" in message
    assert "npm is not installed" in message
    assert "STRANDLINE_CIFAR_ARCHIVE" in message
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_that_asks_for_more_than_arrays_is_refused(tmp_path):
    hostile = b"cos\nsystem\n(S'touch owned'\ntR."
    path = tmp_path / "hostile.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(hostile)
            archive.addfile(member, io.BytesIO(hostile))
    assert "os.system" in vision("-c", LOAD, 0, sha256(path), tmp_path, path, code=1)


def inodes(landing: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in landing.rglob("*")}


def times(landing: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in landing.rglob("*") if path.is_file())
    return {str(path.relative_to(landing)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_the_same_drop_again_changes_no_file(archives, tmp_path):
    assert vision("-c", DROP, archives["official"], tmp_path, 30) == "30\n"
    before = inodes(tmp_path)
    assert vision("-c", DROP, archives["official"], tmp_path, 30) == "0\n"
    assert inodes(tmp_path) == before


def test_a_drop_is_the_same_everywhere_and_a_larger_one_adds_to_it(archives, tmp_path):
    for name, count in (("one", 30), ("two", 50)):
        vision("-c", DROP, archives["official"], tmp_path / name, count)
    one, two = times(tmp_path / "one"), times(tmp_path / "two")
    assert (len(one), len(two)) == (30, 50)
    assert one.items() <= two.items()
    assert {Path(name).suffix for name in one} == {".jpg", ".png"}


def test_a_dark_scene_is_dark_and_shows_mostly_what_it_should(archives, tmp_path):
    counts = {}
    for name, scene in (("day", "Scene()"), ("night", "Scene(0.3, 1.0, ('cat', 'dog'))")):
        program = DROP.replace('-cache"), Path(archive)', f'-cache"), Path(archive), drop.{scene}')
        vision("-c", program, archives["official"], tmp_path / name, 20)
        paths = sorted((tmp_path / name).glob("*/*/*.png"))
        counts[name] = sum(path.parent.name in ("cat", "dog") for path in paths) / len(paths)
        brightness = [np.asarray(Image.open(path)).mean() for path in paths]
        counts[f"brightness of {name}"] = np.mean(brightness)
    assert counts["night"] > 2 * counts["day"]
    assert counts["brightness of night"] < 0.5 * counts["brightness of day"]


def test_a_drop_larger_than_the_data_set_is_refused(archives, tmp_path):
    assert "CIFAR-10 has 140 images that may land, 141 were asked for" in vision(
        "-c", DROP, archives["official"], tmp_path, 141, code=1
    )


def test_the_broken_files_are_twenty_and_written_once(archives, tmp_path):
    vision("-c", DROP, archives["official"], tmp_path, 140)
    folder = tmp_path / "2026-11-21T08"
    assert broken_files.write(folder, 1_700_000_000) == 20
    names = {os.fsencode(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {broken.name for broken in broken_files.BROKEN_FILES} <= names
    assert broken_files.write(folder, 1_700_000_000) == 0
