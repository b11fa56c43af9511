"""What `files.read` opens, and what it does not."""

import contextlib
import hashlib
import os
from pathlib import Path

import pytest

import strandline_contract as contract
from vision.decoding import files
from vision.decoding.refused import Refused


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "landing"


def version_of(path: Path) -> str:
    found = path.lstat()
    return f"{found.st_size}-{found.st_mtime_ns}"


def refusal(landing: Path, name: bytes, version: str = "0-0") -> str:
    with pytest.raises(Refused) as refused:
        files.read(files.Root.open(landing), name, version, 10**6)
    return refused.value.code


@pytest.mark.parametrize("fields", [("ctime", "inode"), ("ctime",), ("inode",), ()])
def test_other_bytes_of_the_same_size_and_time_are_changed(landing, fields):
    path = landing / "x"
    path.write_bytes(b"old")
    os.utime(path, ns=(5, 5))
    version = contract.version_tag(path.stat(), fields)
    assert files.read(files.Root.open(landing), b"x", version, 10) == b"old"
    (landing / "other").write_bytes(b"new")
    os.utime(landing / "other", ns=(5, 5))
    (landing / "other").rename(path)
    if fields:
        assert refusal(landing, b"x", version) == "CHANGED"
    else:  # a file system that keeps neither
        assert files.read(files.Root.open(landing), b"x", version, 10) == b"new"


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b"/etc/passwd", b"../secret", b"a/../../secret", b"a//b", b"a/", b"./a", b"a\0b"]
)
def test_names_that_lead_elsewhere(landing: Path, name: bytes):
    assert refusal(landing, name) == "BAD_NAME"


@pytest.mark.parametrize("name", [b"x" * 256, b"x" * 256 + b"/a"])
def test_names_that_are_too_long(landing: Path, name: bytes):
    assert refusal(landing, name) == "NAME_TOO_LONG"


@pytest.mark.parametrize("name", [b"gone", b"gone/a", b"file/a"])
def test_names_of_nothing(landing: Path, name: bytes):
    (landing / "file").write_bytes(b"x")
    assert refusal(landing, name) == "MISSING"


def test_deep_folders(landing: Path):
    """Deeper than the longest path that one call can name."""
    folder = os.open(landing, os.O_PATH)
    for _ in range(300):
        os.mkdir(b"a" * 20, dir_fd=folder)
        deeper = os.open(b"a" * 20, os.O_PATH, dir_fd=folder)
        os.close(folder)
        folder = deeper
    descriptor = os.open(b"x", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
    os.write(descriptor, b"deep")
    found = os.fstat(descriptor)
    os.close(descriptor)
    os.close(folder)
    name = b"/".join([b"a" * 20] * 300 + [b"x"])
    assert files.read(files.Root.open(landing), name, f"{found.st_size}-{found.st_mtime_ns}", 10) == b"deep"


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "file", "nowhere", "link"])
@pytest.mark.parametrize("within", ["link", "link/file"])
def test_links_are_never_followed(landing: Path, target: str, within: str):
    (landing / "file").write_bytes(b"x")
    (landing / "link").symlink_to(target)
    assert refusal(landing, within.encode(), version_of(landing / "link")) == "SYMLINK"


def test_a_link_put_in_place_after_the_look(landing: Path, monkeypatch: pytest.MonkeyPatch):
    """The second look, at what was opened, is what counts."""
    path = landing / "x"
    path.write_bytes(b"x")
    version = version_of(path)
    look = os.stat

    def look_then_swap(*arguments, **options):
        found = look(*arguments, **options)
        path.unlink()
        path.symlink_to(landing.parent / "secret")
        return found

    monkeypatch.setattr(files.os, "stat", look_then_swap)
    assert refusal(landing, b"x", version) == "SYMLINK"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda path: path.write_bytes(b"longer than it was"), "CHANGED"),
        (lambda path: path.write_bytes(b""), "CHANGED"),
        (lambda path: os.utime(path, ns=(5, 5)), "CHANGED"),
    ],
)
def test_a_file_that_changes_while_it_is_read(landing: Path, monkeypatch: pytest.MonkeyPatch, change, code: str):
    path = landing / "x"
    path.write_bytes(b"0123456789")
    version = version_of(path)
    read = os.read

    def read_then_change(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        change(path)
        return data

    monkeypatch.setattr(files.os, "read", read_then_change)
    assert refusal(landing, b"x", version) == code


def test_a_file_system_that_gives_too_little(landing: Path, monkeypatch: pytest.MonkeyPatch):
    path = landing / "x"
    path.write_bytes(b"0123456789")
    monkeypatch.setattr(files.os, "read", lambda descriptor, size: b"0123")
    assert refusal(landing, b"x", version_of(path)) == "UNREADABLE"


def test_an_input_output_error(landing: Path, monkeypatch: pytest.MonkeyPatch):
    path = landing / "x"
    path.write_bytes(b"0123456789")

    def fail(descriptor: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.os, "read", fail)
    assert refusal(landing, b"x", version_of(path)) == "UNREADABLE"


def test_another_file_system(landing: Path):
    path = landing / "x"
    path.write_bytes(b"x")
    root = files.Root.open(landing)
    with pytest.raises(Refused, match="OTHER_DEVICE"):
        files.read(files.Root(root.descriptor, root.device + 1), b"x", version_of(path), 10)


def test_nothing_stays_open(landing: Path):
    (landing / "a").mkdir()
    (landing / "a" / "x").write_bytes(b"x")
    version = version_of(landing / "a" / "x")
    root = files.Root.open(landing)
    before = sorted(Path("/proc/self/fd").iterdir())
    for name in (b"a/x", b"a/gone", b"a", b"../x"):
        for listed in (version, "0-0"):
            with contextlib.suppress(Refused):
                files.read(root, name, listed, 10)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_all_bytes_by_one_read(landing: Path):
    content = hashlib.sha256(b"x").digest() * 1000
    (landing / "x").write_bytes(content)
    assert files.read(files.Root.open(landing), b"x", version_of(landing / "x"), len(content)) == content


@pytest.mark.parametrize("remark", ["-unreadable", "-again1", "-unreadable-again12"])
def test_a_remark_of_the_lister_changes_nothing(landing: Path, remark: str):
    (landing / "x").write_bytes(b"content")
    assert files.read(files.Root.open(landing), b"x", version_of(landing / "x") + remark, 10) == b"content"
    assert refusal(landing, b"x", f"6-1{remark}") == "CHANGED"
