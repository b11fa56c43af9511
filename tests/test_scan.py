"""What the scan makes of real folders: hostile names, objects that are no files, clocks, and changes under its feet.

Numbers like B64 name the inputs of the hostile catalogue.
"""

import datetime
import multiprocessing
import os
import socket
import time
import unicodedata
from pathlib import Path

import pytest

from strandline import scan as entries
from strandline import settings
from strandline_contract.reasons import STATUS_OF

UTC = datetime.UTC
HOUR = datetime.datetime(2026, 11, 21, 8, tzinfo=UTC)
FOLDER = b"2026-11-21T08/"
DAY_NS = 86_400 * 10**9

NAMES = {  # raw name -> how people see it
    b"line\nbreak.jpg": r"line\nbreak.jpg",
    b"return\rtab\t.jpg": r"return\rtab\t.jpg",
    b"\\.": "\\.",
    b"\\N": "\\N",
    b"back\\slash.jpg": "back\\slash.jpg",
    b"'single' \"double\".jpg": "'single' \"double\".jpg",
    b"\xff\xfe.jpg": r"\xff\xfe.jpg",
    b"\xed\xa0\x80.jpg": r"\xed\xa0\x80.jpg",
    unicodedata.normalize("NFC", "é.jpg").encode(): "é.jpg",
    unicodedata.normalize("NFD", "é.jpg").encode(): unicodedata.normalize("NFD", "é.jpg"),
    b"case.jpg": "case.jpg",
    b"CASE.jpg": "CASE.jpg",
    "аpple.jpg".encode(): "аpple.jpg",  # its first letter is Cyrillic
    "\u202egpj.exe".encode(): r"\u202egpj.exe",
    "zero\u200bwidth.jpg".encode(): r"zero\u200bwidth.jpg",
    "\U000e0041tag.jpg".encode(): r"\U000e0041tag.jpg",
    "🦈.jpg".encode(): "🦈.jpg",
    b"x" * 251 + b".jpg": "x" * 251 + ".jpg",
    b"\x1b[31mred.jpg": r"\x1b[31mred.jpg",
    b"<img src=x onerror=alert(1)>.jpg": "<img src=x onerror=alert(1)>.jpg",
    b'"><script>.jpg': '"><script>.jpg',
    b"$(id).jpg": "$(id).jpg",
    b"`id`": "`id`",
    b";id": ";id",
    b"-rf.jpg": "-rf.jpg",
    b"--help": "--help",
    b"{{ ds }}.jpg": "{{ ds }}.jpg",
    b"['x'].jpg": "['x'].jpg",
    b"x.sh": "x.sh",
    b"x.env": "x.env",
    b"=cmd|'calc'!A0.jpg": "=cmd|'calc'!A0.jpg",
    b"+1": "+1",
    b"@x": "@x",
    b"%s%n{0}.jpg": "%s%n{0}.jpg",
    b"CON": "CON",
    b"NUL": "NUL",
    b"dot.": "dot.",
    b"space ": "space ",
    b" ": " ",
}


@pytest.fixture
def zone(tmp_path, monkeypatch):
    monkeypatch.setenv("STRANDLINE_STABLE_SECONDS", "5")
    settings.get.cache_clear()
    yield tmp_path
    settings.get.cache_clear()


def write(zone: Path, name: bytes, content: bytes = b"x") -> Path:
    path = zone / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def scan(zone: Path, *, seconds: float = 60, takes=lambda drop: True) -> dict[bytes, entries.Entry]:
    """The entries by name, as seen `seconds` from now."""
    listed = list(entries.scan(zone, takes, time.time_ns() + int(seconds * 1e9)))
    by_name = {entry.name: entry for entry in listed}
    assert len(by_name) == len(listed)
    return by_name


def size_and_time(entry: entries.Entry) -> str:
    """Of its version, which has change time and inode behind them."""
    return entry.version.split("-c")[0]


def test_every_name_is_listed_byte_for_byte(zone):
    """B64-B71, B73"""
    for name in NAMES:
        write(zone, FOLDER + name, name)
    listed = scan(zone)
    assert set(listed) == {FOLDER + name for name in NAMES}
    for name, shown in NAMES.items():
        entry = listed[FOLDER + name]
        status = (zone / os.fsdecode(entry.name)).stat()
        version = f"{len(name)}-{status.st_mtime_ns}-c{status.st_ctime_ns}-i{status.st_ino}"
        assert (entry.state, entry.version) == (None, version)
        assert entry.display_name == FOLDER.decode() + shown
        assert entry.display_name.isprintable()


def test_every_code_is_in_the_contract():
    assert entries.DETAILS.keys() <= STATUS_OF.keys()


def test_three_hundred_nested_folders_are_entered(zone):
    """B62"""
    name = FOLDER + b"d/" * 300 + b"deep.jpg"
    write(zone, name)
    assert {n: e.state for n, e in scan(zone).items()} == {name: None}


def test_what_lies_too_deep_is_one_row(zone, monkeypatch):
    """B62: each level holds a descriptor."""
    monkeypatch.setattr(entries, "MAX_DEPTH", 3)
    for name in (b"1/2/a.jpg", b"1/2/3/b.jpg", b"1/2/3/c.jpg"):
        write(zone, name)
    found = {name: (e.state, e.reason) for name, e in scan(zone).items()}
    assert found == {b"1/2/a.jpg": (None, None), b"1/2/3": ("rejected", "NAME_TOO_LONG")}


def test_what_has_too_long_a_path_is_a_row(zone):
    """B62: beyond what the system can open by one path, the whole folder is a row, and so is a file."""
    leaf = b"d" * 250
    folder = os.open(zone, os.O_RDONLY)
    try:
        for level in range(17):
            os.mkdir(leaf, dir_fd=folder)
            inner = os.open(leaf, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
            if level >= 15:
                for name in (b"f" * 80, b"f" * 81):
                    os.close(os.open(name, os.O_CREAT, dir_fd=folder))
    finally:
        os.close(folder)
    prefix = (leaf + b"/") * 16
    assert len(prefix + b"f" * 80) == 4096
    assert {n.removeprefix(prefix): (e.state, e.reason) for n, e in scan(zone).items()} == {
        b"f" * 80: (None, None),
        b"f" * 81: ("rejected", "NAME_TOO_LONG"),
        leaf: ("rejected", "NAME_TOO_LONG"),
    }


def test_no_descriptor_is_left_open(zone):
    write(zone, FOLDER + b"a/b/c.jpg")
    before = sorted(Path("/proc/self/fd").iterdir())
    scan(zone)
    next(entries.scan(zone, lambda drop: True, 0)), next(entries.scan(zone, lambda drop: True, 0))
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    ("path", "drop", "label"),
    [
        (b"2026-11-21T08/a.jpg", HOUR, None),
        (b"2026-11-21T08/cat/a.jpg", HOUR, "cat"),
        (b"2026-11-21T08/cat/tabby/a.jpg", HOUR, None),
        ("2026-11-21T08/キツネ/a.jpg".encode(), HOUR, "キツネ"),
        (b"2026-11-21T08/\xff/a.jpg", HOUR, r"\xff"),
        (b"dt=2026-11-21/hour=08/a.jpg", HOUR, None),
        (b"dt=2026-11-21/hour=08/dog/a.jpg", HOUR, "dog"),
        (b"2026-11-21T24/cat/a.jpg", None, None),
        (b"2026-13-45T08/cat/a.jpg", None, None),
        (b"0000-01-01T00/a.jpg", None, "0000-01-01T00"),
        (b"dt=2026-11-21/a.jpg", None, "dt=2026-11-21"),
        (b"dt=2026-11-21/hour=8/a.jpg", HOUR, None),
        (b"2026/11/21/08/a.jpg", HOUR, None),
        (b"2026/11/21/08/cat/a.jpg", HOUR, "cat"),
        (b"2026/11/21/a.jpg", None, None),
        (b"2026/11/21/24/a.jpg", None, None),
        (b"year=2026/month=11/day=21/hour=08/cat/a.jpg", HOUR, "cat"),
        (b"year=2026/month=11/day=21/hour=8/a.jpg", HOUR, None),
        (b"2026-11-21T08:00:00Z/cat/a.jpg", HOUR, "cat"),
        (b"2026-11-21T08:59/a.jpg", HOUR, None),
        (b"20261121T08/cat/a.jpg", HOUR, "cat"),
        (b"20261121T081500Z/a.jpg", HOUR, None),
        (b"2026-11-21T08:60/a.jpg", None, "2026-11-21T08:60"),
        (b"cat/a.jpg", None, "cat"),
        (b"x2026-11-21T08/a.jpg", None, "x2026-11-21T08"),
        (b"cam/2026-11-21T08/a.jpg", HOUR, None),
        (b"site/cam/2026-11-21T08/a.jpg", None, None),
        (b"2026-11-21T08", None, None),
        (b"2026-11-21T08\n/a.jpg", None, "2026-11-21T08\n"),
        ("２０２６-11-21T08/a.jpg".encode(), None, "２０２６-11-21T08"),
        (b"a.jpg", None, None),
    ],
)
def test_the_drop_is_the_hour_of_the_path_else_of_the_mtime(zone, path, drop, label):
    os.utime(write(zone, path), ns=(0, 1_234_567_890 * 10**9))
    (entry,) = scan(zone).values()
    assert entry.drop == (drop or datetime.datetime(2009, 2, 13, 23, tzinfo=UTC))
    assert entry.path_label == label


DAY = HOUR.replace(hour=0)
QUARTER = HOUR.replace(minute=15)


@pytest.mark.parametrize(
    ("period", "path", "drop", "label"),
    [
        ("15 minutes", b"2026-11-21T08:15/cat/a.jpg", QUARTER, "cat"),
        ("15 minutes", b"2026-11-21T0829/a.jpg", QUARTER, None),
        ("15 minutes", b"20261121T082959Z/cat/a.jpg", QUARTER, "cat"),
        ("15 minutes", b"2026-11-21T08/cat/a.jpg", HOUR, "cat"),
        ("15 minutes", b"2026/11/21/08/cat/a.jpg", HOUR, "cat"),
        ("15 minutes", b"2026/11/21/08/15/a.jpg", HOUR, "15"),
        ("15 minutes", b"dt=2026-11-21/hour=08/minute=20/cat/a.jpg", QUARTER, "cat"),
        ("15 minutes", b"dt=2026-11-21/hour=8/cat/a.jpg", HOUR, "cat"),
        ("15 minutes", b"dt=2026-11-21/hour=08/minute=75/a.jpg", HOUR, "minute=75"),
        ("15 minutes", b"year=2026/month=11/day=21/hour=8/minute=15/a.jpg", QUARTER, None),
        ("15 minutes", b"2026-11-21/a.jpg", None, "2026-11-21"),
        ("5 minutes", b"2026-11-21T08:29/a.jpg", HOUR.replace(minute=25), None),
        ("day", b"2026-11-21/cat/a.jpg", DAY, "cat"),
        ("day", b"20261121/a.jpg", DAY, None),
        ("day", b"2026-11-21T08/cat/a.jpg", DAY, "cat"),
        ("day", b"20261121T235959Z/cat/a.jpg", DAY, "cat"),
        ("day", b"2026/11/21/a.jpg", DAY, None),
        ("day", b"2026/11/21/cat/a.jpg", DAY, "cat"),
        ("day", b"2026/11/21/03/a.jpg", DAY, None),
        ("day", b"2026/11/21/03/cat/a.jpg", DAY, "cat"),
        ("day", b"2026/11/21/24/a.jpg", DAY, "24"),
        ("day", b"dt=2026-11-21/a.jpg", DAY, None),
        ("day", b"dt=2026-11-21/hour=08/minute=15/cat/a.jpg", DAY, "cat"),
        ("day", b"year=2026/month=11/day=21/cat/a.jpg", DAY, "cat"),
        ("day", b"year=2026/month=11/day=21/hour=8/a.jpg", DAY, None),
        ("day", b"2026-11-31/a.jpg", None, "2026-11-31"),
        ("day", b"2026-11-21x/a.jpg", None, "2026-11-21x"),
        ("day", b"2026/11/a.jpg", None, None),
        ("hour", b"dt=2026-11-21/hour=08/minute=15/a.jpg", HOUR, "minute=15"),
    ],
)
def test_the_drop_is_the_period_in_which_the_moment_of_the_path_lies(zone, monkeypatch, period, path, drop, label):
    monkeypatch.setenv("STRANDLINE_PERIOD", period)
    settings.get.cache_clear()
    os.utime(write(zone, path), ns=(0, 1_234_567_890 * 10**9))
    (entry,) = scan(zone).values()
    landed = datetime.datetime(2009, 2, 13, 23, 31, 30, tzinfo=UTC)
    assert entry.drop == (drop or entries.periods.get().floor(landed))
    assert entry.path_label == label


HOUR_FOLDERS = (
    b"2026-11-21T08",
    b"2026-11-21T08:00:00Z",
    b"20261121T0815",
    b"2026/11/21/08",
    b"dt=2026-11-21/hour=08",
    b"year=2026/month=11/day=21/hour=8",
)


@pytest.mark.parametrize("label", [b"", b"cat/", b"2026-11-21T09/"])
@pytest.mark.parametrize("source", [b"", b"shop1/", b"\xff\n/", b"2025/", b"source=shop1/"])
@pytest.mark.parametrize("hour", HOUR_FOLDERS)
def test_the_source_is_the_one_folder_before_the_hour(zone, hour, source, label):
    """What lies behind the hour keeps its meaning."""
    write(zone, source + hour + b"/" + label + b"a.jpg")
    (entry,) = scan(zone).values()
    shown = entries.display_name(source[:-1])
    assert (entry.drop, entry.source, entry.path_label) == (HOUR, shown, label[:-1].decode() or None)


@pytest.mark.parametrize(
    ("path", "drop", "label"),
    [
        (b"site/shop1/2026-11-21T08/cat/a.jpg", None, None),
        (b"shop1/a.jpg", None, "shop1"),
        (b"shop1/2026-11-21T24/a.jpg", None, None),
        (b"shop1/2026-11-21T08", None, "shop1"),
        (b"2026-13-45T08/2026-11-21T08/a.jpg", None, None),  # its first folder looks like an hour
        (b"2026/13/45/08/a.jpg", None, None),
        (b"2026-11-21T07/2026-11-21T08/a.jpg", HOUR - datetime.timedelta(hours=1), "2026-11-21T08"),
    ],
)
def test_no_other_folder_is_a_source(zone, path, drop, label):
    os.utime(write(zone, path), ns=(0, 1_234_567_890 * 10**9))
    (entry,) = scan(zone).values()
    assert entry.drop == (drop or datetime.datetime(2009, 2, 13, 23, tzinfo=UTC))
    assert (entry.source, entry.path_label) == ("", label)


def test_an_hour_of_a_source_that_is_a_link_is_of_that_source(zone, tmp_path_factory):
    (zone / "shop1").mkdir()
    (zone / "shop1" / "2026-11-21T08").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    (entry,) = scan(zone).values()
    assert (entry.drop, entry.source, entry.reason) == (HOUR, "shop1", "SYMLINK")


@pytest.mark.parametrize(
    ("folder", "label"), [("cat", "cat"), ("Cat", "cat"), ("DOG", "DOG"), ("cats", "cats"), ("3", "3"), (None, None)]
)
def test_a_folder_is_the_one_class_that_it_differs_from_in_case_alone(folder, label):
    assert entries.class_of(folder, ["cat", "Dog", "dog"]) == label


@pytest.mark.parametrize("mtime_ns", [-DAY_NS, 0, 1, 4_294_967_296 * 10**9, 7_000_000_000 * 10**9], ids=str)
def test_no_mtime_loses_a_file(zone, mtime_ns):
    """B80: 1969, 1970, 2106 and after. What claims to come from the future came when it was last touched."""
    path = write(zone, b"a.jpg")
    os.utime(path, ns=(0, mtime_ns))
    status = path.stat()
    (entry,) = scan(zone, takes=lambda drop: drop <= datetime.datetime.now(UTC)).values()
    came_ns = status.st_ctime_ns if mtime_ns > status.st_ctime_ns else max(0, mtime_ns)
    assert entry.drop == datetime.datetime.fromtimestamp(came_ns // 10**9 // 3600 * 3600, UTC)
    assert (entry.state, size_and_time(entry)) == (None, f"1-{status.st_mtime_ns}")


@pytest.mark.parametrize(
    ("mtime", "deferred"),
    [(0, True), (-4, True), (-6, False), (4, True), (6, False), (-86_400, False), (86_400, False), (86_398, False)],
)
def test_a_file_just_written_is_left_whatever_the_clocks(zone, mtime, deferred):
    """B77, B80: a file is held back around its mtime, never for longer: no clock keeps it out for good."""
    path = write(zone, FOLDER + b"a.jpg")
    now = time.time()
    os.utime(path, (0, now + mtime))
    states = [
        [e.state for e in entries.scan(zone, lambda drop: True, int((now + later) * 1e9))] for later in (0, 86_400 * 2)
    ]
    assert states == [["deferred" if deferred else None], [None]]


def test_a_rewritten_file_is_a_new_version(zone):
    """B75"""
    path = write(zone, FOLDER + b"a.jpg", b"old")
    os.utime(path, ns=(0, 1))
    old = scan(zone)[FOLDER + b"a.jpg"]
    write(zone, FOLDER + b"a.jpg", b"new")
    os.utime(path, ns=(0, 2))
    new = scan(zone)[FOLDER + b"a.jpg"]
    assert [size_and_time(one) for one in (old, new)] == ["3-1", "3-2"]


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db",
        "THUMBS.DB",
        ".DS_Store",
        "._a.jpg",
        "desktop.ini",
        "README",
        "README.md",
        "Readme.TXT",
        "_SUCCESS",
        "a.json",
        "B.JSON",
        "a.txt",
        "labels.csv",
        "a.xml",
        "a.jpg.sha256",
    ],
)
def test_sidecars_are_rejected(zone, name):
    """B52"""
    write(zone, FOLDER + name.encode())
    (entry,) = scan(zone).values()
    assert (entry.state, entry.reason) == ("rejected", "NOT_IMAGE")


@pytest.mark.parametrize("name", ["README.jpg", "thumbs.db.jpg", "json", "a.jpg.exe", "a.html", "_._", "a~b", "a.JPG"])
def test_names_like_those_of_sidecars_are_taken(zone, name):
    write(zone, FOLDER + name.encode())
    assert [entry.state for entry in scan(zone).values()] == [None]


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg.tmp",
        "a.part",
        "a.PART",
        "a.crdownload",
        "a.jpg.filepart",
        "a.jpg~",
        ".a.jpg",
        ".a.jpg.x7Gk2",
        ".in/a.jpg",
    ],
)
@pytest.mark.parametrize("mtime", ["now", "last year", "next year"])
def test_partial_names_are_waited_for_then_rejected(zone, name, mtime):
    """B53"""
    path = write(zone, FOLDER + name.encode())
    if mtime != "now":
        os.utime(path, (0, time.time() + (365 if mtime == "next year" else -365) * 86_400))
    hours = {h: scan(zone, seconds=h * 3600)[FOLDER + name.encode()] for h in (1, 23, 25)}
    young = ("rejected", "PARTIAL_NAME") if mtime == "last year" else ("deferred", None)
    assert [(e.state, e.reason) for e in hours.values()] == [young, young, ("rejected", "PARTIAL_NAME")]


def test_links_are_rejected_and_never_followed(zone, tmp_path_factory):
    """B56, B58: symlinks are rejected, hard links are files."""
    outside = tmp_path_factory.mktemp("outside")
    write(outside, b"secret.jpg")
    write(zone, FOLDER + b"a.jpg")
    folder = zone / "2026-11-21T08"
    targets = {"passwd": "/etc/passwd", "sibling": "a.jpg", "dangling": "nothing", "loop": "loop", "away": outside}
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    (zone / "2026-11-21T09").symlink_to(outside)
    (folder / "hard.jpg").hardlink_to(outside / "secret.jpg")
    listed = scan(zone)
    symlinks = {FOLDER + name.encode() for name in targets} | {b"2026-11-21T09"}
    assert {n for n, e in listed.items() if (e.state, e.reason) == ("rejected", "SYMLINK")} == symlinks
    assert {n for n, e in listed.items() if e.state is None} == {FOLDER + b"a.jpg", FOLDER + b"hard.jpg"}
    assert listed[b"2026-11-21T09"].drop == HOUR + entries.HOUR


def test_objects_that_are_no_files_are_rejected(zone, monkeypatch):
    """B59: nothing opens a FIFO, which would hang."""
    write(zone, FOLDER + b"x.jpg/inner.jpg")
    monkeypatch.chdir(zone / "2026-11-21T08")
    os.mkfifo("fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        listed = scan(zone)
    assert {n.removeprefix(FOLDER): (e.state, e.reason) for n, e in listed.items()} == {
        b"x.jpg/inner.jpg": (None, None),  # B60: a folder named like an image is a folder
        b"fifo.jpg": ("rejected", "SPECIAL"),
        b"socket.jpg": ("rejected", "SPECIAL"),
    }


def test_devices_and_mount_points_are_rejected_and_not_entered():
    """B59, B63, on the one folder that has both on every Linux."""
    settings.get.cache_clear()
    listed = scan(Path("/dev"))
    assert (listed[b"null"].state, listed[b"null"].reason) == ("rejected", "SPECIAL")
    assert (listed[b"pts"].state, listed[b"pts"].reason) == ("rejected", "OTHER_DEVICE")
    assert not [name for name in listed if name.startswith(b"pts/")]


def test_huge_files_are_rejected_unread(zone):
    """B32"""
    os.truncate(write(zone, FOLDER + b"huge.jpg"), 10**12)
    (entry,) = scan(zone).values()
    assert (entry.state, entry.reason, entry.size) == ("rejected", "TOO_LARGE", 10**12)


def as_ordinary_user(zone: Path) -> dict[bytes, entries.Entry]:
    """The scan of a process that has no privileges: root may open anything."""

    def child(sender):
        os.chdir(zone)  # the folders above it may be root's alone
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        sender.send(scan(Path()))

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(sender,))
    process.start()
    sender.close()
    listed = receiver.recv()
    process.join()
    return listed


def test_what_cannot_be_read_is_a_version_of_its_own(zone):
    """B61: an unreadable file goes to the decoder, which says so; a folder is one row. Fixed, both are new."""
    zone.chmod(0o755)
    for name in (b"open.jpg", b"shut.jpg", b"no-r/a.jpg", b"no-x/a.jpg"):
        write(zone, FOLDER + name)
    modes = {"shut.jpg": 0o000, "no-r": 0o311, "no-x": 0o644}
    modes |= {"": 0o755, "open.jpg": 0o644}
    for name, mode in modes.items():
        (zone / "2026-11-21T08" / name).chmod(mode)
    before = as_ordinary_user(zone)
    for name in modes:
        (zone / "2026-11-21T08" / name).chmod(0o755)
    after = as_ordinary_user(zone)

    states = {name.removeprefix(FOLDER): (e.state, e.reason) for name, e in before.items()}
    unreadable = ("quarantined", "UNREADABLE")
    assert states == {b"open.jpg": (None, None), b"shut.jpg": (None, None), b"no-r": unreadable, b"no-x": unreadable}
    assert {n for n, e in before.items() if e.version.endswith("-unreadable")} == set(before) - {FOLDER + b"open.jpg"}
    assert {n.removeprefix(FOLDER) for n in after} == {b"open.jpg", b"shut.jpg", b"no-r/a.jpg", b"no-x/a.jpg"}
    shut, opened = (seen[FOLDER + b"shut.jpg"] for seen in (before, after))
    assert size_and_time(shut) == size_and_time(opened)
    assert not opened.version.endswith("-unreadable")


def test_what_changes_during_the_scan(zone, tmp_path_factory):
    """B57, B78, B79: a folder that becomes a symlink is rejected, one that goes is gone, a moved file is seen once."""
    outside = tmp_path_factory.mktemp("outside")
    write(outside, b"secret.jpg")
    for name in (b"a.jpg", b"d/swapped/b.jpg", b"d/removed/c.jpg", b"d/moved/e.jpg", b"d/moved-to/f.jpg"):
        write(zone, FOLDER + name)
    folder = zone / "2026-11-21T08" / "d"
    found = entries.scan(zone, lambda drop: True, time.time_ns() + 10**11)
    first = next(found)  # of the folder above `d`, which is not open yet
    (folder / "swapped").rename(outside / "swapped")
    (folder / "swapped").symlink_to(outside / "swapped")
    (folder / "removed" / "c.jpg").unlink()
    (folder / "removed").rmdir()
    (folder / "moved" / "e.jpg").rename(folder / "moved-to" / "e.jpg")
    rest = {entry.name.removeprefix(FOLDER): entry.reason for entry in found}
    assert first.name == FOLDER + b"a.jpg"
    assert rest == {b"d/swapped": "SYMLINK", b"d/moved-to/e.jpg": None, b"d/moved-to/f.jpg": None}


def test_a_folder_swapped_between_its_listing_and_its_opening(zone, tmp_path_factory):
    """B57: its parent was read while it still was a folder."""
    outside = tmp_path_factory.mktemp("outside")
    write(outside, b"secret.jpg")
    write(zone, FOLDER + b"d/b.jpg")
    write(zone, FOLDER + b"e/b.jpg")
    found = entries.scan(zone, lambda drop: True, time.time_ns() + 10**11)
    first = next(found).name.removeprefix(FOLDER)[:1].decode()
    other = zone / "2026-11-21T08" / ("e" if first == "d" else "d")
    other.rename(outside / "swapped")
    other.symlink_to(outside)
    assert [(entry.name, entry.reason) for entry in found] == [(os.fsencode(other.relative_to(zone)), "SYMLINK")]


def test_only_the_drops_asked_for_are_seen(zone):
    for hour in (7, 8, 9):
        write(zone, f"2026-11-21T{hour:02d}/a.jpg".encode())
        write(zone, f"dt=2026-11-21/hour={hour:02d}/a.jpg".encode())
        write(zone, f"shop1/2026-11-21T{hour:02d}/a.jpg".encode())
        at = datetime.datetime(2026, 11, 21, hour, 59, 59, tzinfo=UTC).timestamp()
        os.utime(write(zone, f"flat/{hour}.jpg".encode()), (0, at))
    future = {b"flat/7.jpg", b"flat/8.jpg", b"flat/9.jpg"}
    wanted = {b"2026-11-21T08/a.jpg", b"dt=2026-11-21/hour=08/a.jpg", b"shop1/2026-11-21T08/a.jpg"}
    assert set(scan(zone, takes=lambda drop: drop == HOUR)) - future == wanted


def test_the_minutes_of_an_hour_that_is_not_asked_for_are_seen(zone, monkeypatch):
    """Their folders lie in that of the hour, whose own files are of its first minutes."""
    monkeypatch.setenv("STRANDLINE_PERIOD", "15 minutes")
    settings.get.cache_clear()
    for folder in (b"hour=08", b"hour=08/minute=00", b"hour=08/minute=15", b"hour=08/minute=45/cat", b"hour=09"):
        write(zone, b"dt=2026-11-21/%s/a.jpg" % folder)
    assert set(scan(zone, takes=lambda drop: drop == QUARTER)) == {b"dt=2026-11-21/hour=08/minute=15/a.jpg"}
    assert {entry.drop.minute for entry in scan(zone).values()} == {0, 15, 45}


def test_a_landing_zone_that_is_missing_is_not_an_empty_one(zone):
    assert scan(zone) == {}
    with pytest.raises(entries.LandingError, match="STRANDLINE_LANDING"):
        scan(zone / "missing")
    write(zone, b"file")
    with pytest.raises(entries.LandingError, match="STRANDLINE_LANDING"):
        scan(zone / "file")


@pytest.mark.parametrize(
    ("mtime_ns", "date"),
    [
        (1_500, datetime.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (-1, datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (2**63, datetime.datetime(2262, 4, 11, 23, 47, 16, 854_775, tzinfo=UTC)),
        (10**9 * 2**40, datetime.datetime.max.replace(tzinfo=UTC)),
        (-(10**9) * 2**62, datetime.datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_every_mtime_has_a_date(mtime_ns, date):
    """B80: a file system may hold times that no calendar does."""
    assert entries.Entry(HOUR, b"a.jpg", "1-1", 1, mtime_ns).modified_at == date
