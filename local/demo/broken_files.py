"""Twenty broken or hostile files, each with the end it must come to. Names are bytes, relative to a drop's folder.

They are made of the real images that lie there already, so that whatever is valid among them has a true label.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Material:
    """A real JPEG and a real PNG file of the folder that a broken file is put into."""

    jpeg: bytes
    png: bytes


@dataclass(frozen=True)
class BrokenFile:
    """`reason` is None for what is ingested or a duplicate; `kind` says what `content` is.

    `content` gives the bytes of a file, or the target of a link; None for a pipe.
    """

    name: bytes
    state: str
    reason: str | None
    why: str
    content: Callable[[Material], bytes]
    kind: Literal["file", "link", "pipe"] = "file"

    @property
    def is_for_buckets(self) -> bool:
        """Whether it can be an object: those have no kinds, and keys are UTF-8."""
        return self.kind == "file" and self.name.decode(errors="replace").encode() == self.name


def _jpeg_with_comment(comment: bytes) -> Callable[[Material], bytes]:
    segment = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    return lambda real: real.jpeg[:2] + segment + real.jpeg[2:]


def _png(width: int, height: int) -> bytes:
    """A black image of one bit a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\0" * ((width + 7) // 8)) * height, 9)
    chunks = (b"IHDR" + header, b"IDAT" + pixels, b"IEND")
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _wrong_checksum(real: Material) -> bytes:
    place = real.png.index(b"IDAT") + 20
    return real.png[:place] + bytes([real.png[place] ^ 1]) + real.png[place + 1 :]


def _zip(content: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("../../evil.jpg"), content)
    return buffer.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(/etc/passwd) (r) file\n"
QUARANTINED, REJECTED, INGESTED, DUPLICATE = "quarantined", "rejected", "ingested", "duplicate"

BROKEN_FILES = (
    BrokenFile(b"cat/half.jpg", QUARANTINED, "TRUNCATED", "a JPEG cut in half", lambda r: r.jpeg[: len(r.jpeg) // 2]),
    BrokenFile(b"cat/empty.jpg", QUARANTINED, "EMPTY", "no bytes at all", lambda _: b""),
    BrokenFile(b"cat/checksum.png", QUARANTINED, "CORRUPT", "a PNG with one flipped bit", _wrong_checksum),
    BrokenFile(
        b"dog/bomb.png",
        QUARANTINED,
        "TOO_MANY_PIXELS",
        "10 kB that unfold to 81 megapixels",
        lambda _: _png(9000, 9000),
    ),
    BrokenFile(b"dog/needle.png", QUARANTINED, "BAD_ASPECT", "1 x 65,535 pixels", lambda _: _png(1, 65_535)),
    BrokenFile(b"deer/drawing.jpg", QUARANTINED, "FORMAT_NOT_ALLOWED", "an SVG with a script", lambda _: SVG),
    BrokenFile(b"deer/postscript.jpg", QUARANTINED, "FORMAT_NOT_ALLOWED", "a PostScript program", lambda _: EPS),
    BrokenFile(b"frog/page.jpg", QUARANTINED, "UNIDENTIFIED", "a web page with a script", lambda _: HTML),
    BrokenFile(
        b"frog/archive.png", QUARANTINED, "ARCHIVE", "a ZIP that climbs out of its folder", lambda r: _zip(r.png)
    ),
    BrokenFile(b"bird/passwords.jpg", REJECTED, "SYMLINK", "a link to /etc/passwd", lambda _: b"/etc/passwd", "link"),
    BrokenFile(b"bird/nowhere.jpg", REJECTED, "SYMLINK", "a link to nothing", lambda _: b"no-such-file.jpg", "link"),
    BrokenFile(b"bird/pipe.jpg", REJECTED, "SPECIAL", "a pipe: who reads it waits for ever", lambda _: b"", "pipe"),
    BrokenFile(b"bird/Thumbs.db", REJECTED, "NOT_IMAGE", "what Windows leaves behind", lambda r: r.jpeg),
    BrokenFile(b"ship/copy of an image.jpg", DUPLICATE, None, "a JPEG that is there already", lambda r: r.jpeg),
    BrokenFile(b"ship/copy of an image.png", DUPLICATE, None, "a PNG that is there already", lambda r: r.png),
    BrokenFile(b"truck/two\nlines.jpg", INGESTED, None, "a name with a newline", _jpeg_with_comment(b"newline")),
    BrokenFile(b"truck/\xff\xfe.jpg", INGESTED, None, "a name that is not UTF-8", _jpeg_with_comment(b"bytes")),
    BrokenFile(
        b"horse/<img src=x onerror=alert(1)>.jpg", INGESTED, None, "a name that is HTML", _jpeg_with_comment(HTML)
    ),
    BrokenFile(
        b"horse/$(touch owned).jpg",
        INGESTED,
        None,
        "a name that is a command",
        _jpeg_with_comment(b"'; DROP TABLE images; --"),
    ),
    BrokenFile(
        b"airplane/two in one.jpg", INGESTED, None, "a JPEG that is a ZIP as well", lambda r: r.jpeg + _zip(HTML)
    ),
)


def write(folder: Path, landed: int) -> int:
    """Put the files into the folder of a drop, unless they are there; how many were not.

    Args:
        folder: of the drop, with real images in each class's folder.
        landed: their modification time, in seconds since 1970.
    """
    return sum(_put(folder, broken, landed) for broken in BROKEN_FILES)


def _put(folder: Path, broken: BrokenFile, landed: int) -> bool:
    path = folder / os.fsdecode(broken.name)
    content = broken.content(_material(path.parent))
    if _is_there(path, broken.kind, content):
        return False
    partial = path.with_name(f"{path.name}.part")
    if broken.kind == "link":
        partial.symlink_to(os.fsdecode(content))
    elif broken.kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.write_bytes(content)
    os.utime(partial, (landed, landed), follow_symlinks=False)
    partial.rename(path)
    return True


def _is_there(path: Path, kind: str, content: bytes) -> bool:
    if kind == "link":
        return path.is_symlink() and os.fsencode(path.readlink()) == content
    if kind == "pipe":
        return path.is_fifo()
    return path.is_file() and path.read_bytes() == content


def _material(folder: Path) -> Material:
    """The first real images of a class, whose names are numbers."""
    jpeg, png = (min(folder.glob(f"[0-9]*.{suffix}")) for suffix in ("jpg", "png"))
    return Material(jpeg.read_bytes(), png.read_bytes())
