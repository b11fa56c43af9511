"""The directories of a TIFF or BigTIFF file, and whether the decoder reads such a picture right.

Pillow knows some layouts of samples only in part, and then gives wrong pixels without a word: what is not known to come
out right is refused here, before it is decoded.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import TiffImagePlugin

from vision.decoding.refused import Refused

_KIND, _OLD_KIND, _SUB_DIRECTORIES, _DNG = 254, 255, 330, 50706
_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES = 258, 259, 262, 266, 277
_PLANAR, _EXTRA, _SAMPLE_FORMAT = 284, 338, 339
ORIENTATION = 274
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
# What decides about a page; the rest is metadata, which only counts.
_READ = {
    *(_KIND, _OLD_KIND, _DNG, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES),
    *(_PLANAR, _EXTRA, _SAMPLE_FORMAT, ORIENTATION, *_OFFSETS, *_COUNTS),
}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # struct's, of the types that a tag of _READ may have
_COLOURED = {2, 5, 6, 8}  # photometric interpretations of more than one sample
_OLD_JPEG = 6
_COMPRESSIONS = {
    **{1: "none", 2: "CCITT", 3: "fax 3", 4: "fax 4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate"},
    **{32773: "PackBits", 32946: "Deflate", 34925: "LZMA", 50000: "Zstandard"},
}


@dataclass(frozen=True)
class Entry:
    """A tag's type, number of values, and where they begin."""

    tag: int
    kind: int
    count: int
    start: int

    @property
    def size(self) -> int:
        return self.count * _SIZES.get(self.kind, 0)


@dataclass(frozen=True)
class Framing:
    """`order` is struct's letter of the byte order; `big`: BigTIFF, whose offsets have 8 bytes."""

    order: str
    big: bool

    def entries(self, data: bytes, directory: int) -> Iterator[Entry]:
        count, step, head, pointer = ("Q", 20, 8, "Q") if self.big else ("H", 12, 2, "I")
        for number in range(struct.unpack_from(self.order + count, data, directory)[0]):
            place = directory + head + step * number
            tag, kind, values, start = struct.unpack_from(f"{self.order}HH{pointer}{pointer}", data, place)
            inline = values * _SIZES.get(kind, 0) <= struct.calcsize(self.order + pointer)
            yield Entry(tag, kind, values, place + step - struct.calcsize(self.order + pointer) if inline else start)

    def after(self, data: bytes, directory: int) -> int:
        """Where the next directory lies; 0 behind the last."""
        count, step, head, pointer = ("Q", 20, 8, "Q") if self.big else ("H", 12, 2, "I")
        (entries,) = struct.unpack_from(self.order + count, data, directory)
        return int(struct.unpack_from(self.order + pointer, data, directory + head + step * entries)[0])


@dataclass(frozen=True)
class Picture:
    """The one page of full resolution: its number, its tags of _READ, and the bytes of its other tags."""

    page: int
    pages: int
    framing: Framing
    tags: dict[int, tuple[int, ...]]
    metadata: int

    @property
    def is_ycbcr(self) -> bool:
        return self.one(_PHOTOMETRIC, 0) == 6

    def one(self, tag: int, default: int) -> int:
        return self.tags.get(tag, (default,))[0]


def picture(data: bytes) -> Picture:
    """
    Raises:
        Refused: TRUNCATED, MULTIPAGE; FORMAT_NOT_ALLOWED for a camera's raw file; UNSUPPORTED_DEPTH, UNSUPPORTED_MODE
            or UNSUPPORTED_CODING if the pixels would come out wrong.
        struct.error: the file ends within a directory.
    """
    order = "<" if data.startswith(b"II") else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    framing = Framing(order, version == 43)
    (directory,) = struct.unpack_from(order + ("Q" if framing.big else "I"), data, 8 if framing.big else 4)
    full: list[Picture] = []
    seen: set[int] = set()
    while directory and directory not in seen:
        page = _page(data, framing, directory, len(seen))
        seen.add(directory)
        if not page.one(_KIND, 0) & 5 and page.one(_OLD_KIND, 1) != 2:  # neither a reduced copy nor a mask
            full.append(page)
        if len(full) > 1:
            raise Refused("MULTIPAGE")
        directory = framing.after(data, directory)
    if not full or _DNG in full[0].tags:
        raise Refused("FORMAT_NOT_ALLOWED", "a camera's raw file, or one that holds nothing but reduced pictures")
    found = Picture(full[0].page, len(seen), framing, full[0].tags, full[0].metadata)
    _check(found)
    return found


def _page(data: bytes, framing: Framing, directory: int, number: int) -> Picture:
    tags: dict[int, tuple[int, ...]] = {}
    metadata = 0
    for entry in framing.entries(data, directory):
        if entry.start + entry.size > len(data):
            raise Refused("TRUNCATED", f"tag {entry.tag} lies behind the file's end")
        if entry.tag in _READ and entry.kind in _LETTERS:
            count = entry.count if entry.tag in _OFFSETS + _COUNTS else min(entry.count, 16)
            letters = f"{framing.order}{count}{_LETTERS[entry.kind]}"
            if values := struct.unpack_from(letters, data, entry.start):
                tags[entry.tag] = values
        else:
            metadata += entry.size
    for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
        if any(o + n > len(data) for o, n in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)):
            raise Refused("TRUNCATED", "pixels lie behind the file's end")
    return Picture(number, 1, framing, tags, metadata)


def _check(picture: Picture) -> None:
    """Refuse what Pillow does not read, or reads wrongly."""
    compression, photometric = picture.one(_COMPRESSION, 1), picture.one(_PHOTOMETRIC, 0)
    if compression not in _COMPRESSIONS:
        raise Refused("UNSUPPORTED_CODING", f"TIFF compression {compression}")
    if picture.framing.big and picture.framing.order == ">":
        raise Refused("UNSUPPORTED_CODING", "a big-endian BigTIFF file")
    if compression == _OLD_JPEG:  # says little of its samples, and has always the same
        return
    bits, extra = picture.tags.get(_BITS, (1,)), picture.tags.get(_EXTRA, ())
    if set(picture.tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        raise Refused("UNSUPPORTED_DEPTH", "samples that are signed or floating-point have no agreed range")
    samples = picture.one(_SAMPLES, 1)
    planar = picture.one(_PLANAR, 1) == 2 and samples > 1
    if planar and any(extra) and (photometric not in _COLOURED or len(extra) > 1):
        raise Refused("UNSUPPORTED_MODE", "transparency in a plane of its own")
    if planar and not any(extra):  # Pillow leaves these planes out
        samples, extra = samples - len(extra), ()
    layout = (b"II" if picture.framing.order == "<" else b"MM", photometric, (1,), picture.one(_FILL_ORDER, 1))
    known = {
        key[4][0]
        for key in TiffImagePlugin.OPEN_INFO
        if key[:4] == layout and len(key[4]) == samples and key[5] == extra
    }
    if photometric == 0:
        known.discard(16)  # Pillow leaves these inverted
    if not known:
        raise Refused("UNSUPPORTED_MODE", f"{samples} samples a pixel, photometric interpretation {photometric}")
    if len(set(bits)) > 1 or bits[0] not in known:
        raise Refused("UNSUPPORTED_DEPTH", f"{', '.join(map(str, bits[:8]))} bits a sample")
