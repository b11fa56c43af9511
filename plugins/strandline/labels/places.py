"""How people and their tools name a file: the paths of the landing zone that such a name may stand for."""

import datetime
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

from strandline.scan import MAX_NAME_BYTES, path_period, source

SCHEME = re.compile("[a-z][a-z0-9+.-]+://[^/]*", re.I)  # s3://bucket, https://host
ABSOLUTE = re.compile("/|[a-z]:/", re.I)
LOCAL_FILE = re.compile(r"/data/local-files/\?d=([^&]*)")  # Label Studio, of files that it was pointed to
UPLOAD = re.compile(r"(?:^|/)upload/\d+/[^/]+$")  # Label Studio, of files that it was given
UPLOADED = re.compile("[0-9a-f]{8}-(.+)")  # and what it calls them
ROBOFLOW = re.compile(r"(.+)_(jpe?g|png|webp|bmp|tiff?|gif)\.rf\.[0-9a-z]{8,64}\.\w+", re.I)

MAX_FOLDERS = 50  # before the landing zone's own


def places(name: str) -> tuple[datetime.datetime | None, list[str]]:
    """The period that a name states, and the paths that it may stand for, in NFC, the likeliest first.

    With a period, each is a whole path, from its source or its period on. Without, each is the end of a path: of a
    relative name all of it, of an absolute one and of a URL, whose folders are those of another place, the file's name
    alone.
    """
    found: dict[str, None] = {}
    periods = []
    if len(name.encode(errors="replace")) <= MAX_NAME_BYTES:
        for form in _forms(name.strip()):
            for period, place in _within(form):
                periods.append(period)
                found |= dict.fromkeys([place, *([] if period or "/" in place else _originals(place))])
    period = next((period for period in periods if period), None)
    ends = [place for place in found if place and (not period or path_period(place.encode()) == period)]
    return period, ends


def _forms(name: str) -> Iterator[str]:
    """The name as it stands, and with slashes and without percent-encoding."""
    yield unicodedata.normalize("NFC", name)
    local = LOCAL_FILE.search(name)
    if local:
        name = "/" + local[1]
    elif scheme := SCHEME.match(name):
        path = name[scheme.end() :]
        name = path if scheme[0].lower().startswith("s3:") else re.split("[?#]", path)[0]  # keys may have both signs
    plain = name.replace("\\", "/")
    yield unicodedata.normalize("NFC", plain)
    if "%" in plain:
        yield unicodedata.normalize("NFC", urllib.parse.unquote(plain, errors="replace"))


def _within(name: str) -> Iterator[tuple[datetime.datetime | None, str]]:
    """The parts of a name that may be within the landing zone, with their period if they have one."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for start in range(min(len(parts) - 1, MAX_FOLDERS)):
        path = "/".join(parts[start:])
        if period := path_period(path.encode(errors="replace")):
            yield period, path
            if source(path.encode(errors="replace")):  # or it is a folder around the landing zone
                yield period, "/".join(parts[start + 1 :])
            return
    elsewhere = ".." in parts or ABSOLUTE.match(name) or SCHEME.match(name) or UPLOAD.search(name)
    yield None, parts[-1] if elsewhere and parts else "/".join(parts)


def _originals(leaf: str) -> Iterator[str]:
    """What a file was called before a tool gave it the name `leaf`."""
    for pattern in (UPLOADED, ROBOFLOW):
        if match := pattern.fullmatch(leaf):
            yield ".".join(group for group in match.groups())
