"""What a file's own framing says, read before any decoder sees it: format, end, frames, size of the metadata.

Pillow tells neither where an image ends nor, always, a cut file from a broken one; and it expands metadata while it
opens a file. These walks cost microseconds and allocate nothing.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import strandline_contract as contract
from vision.decoding import tiff
from vision.decoding.refused import Refused

# First bytes -> format, by Pillow's name if Pillow has one.
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"8BPS", "PSD"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"icns", "ICNS"),
    (b"SIMPLE  =", "FITS"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\x89MNG", "MNG"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
)
_ARCHIVES = (
    b"PK\3\4",
    b"PK\5\6",
    b"\x1f\x8b",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\7",
    b"BZh",
    b"\xfd7zXZ\0",
    b"(\xb5/\xfd",
)
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # neither stuffing nor a restart
_HIERARCHICAL_JPEG = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}  # frame headers
_PACKED_PNG = {b"iCCP", b"zTXt", b"iTXt"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_BOXES = {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid", b"idat", b"mpvd"}


@dataclass(frozen=True)
class Structure:
    """`end`: offset behind the image's last byte; None if the file ends before it, which need not cost a pixel.

    `metadata` are bytes in the file, `packed` those of them that a decoder would unpack; `frames` are those of an
    animation, or pages; `picture` is the page of a TIFF file that is the image.
    """

    format: str
    end: int | None
    metadata: int = 0
    frames: int = 1
    packed: int = 0
    picture: tiff.Picture | None = None


def inspect(data: bytes, limits: contract.Limits) -> Structure:
    """
    Raises:
        Refused: EMPTY, UNIDENTIFIED, FORMAT_NOT_ALLOWED or ARCHIVE; METADATA_BOMB; MULTIPAGE or UNSUPPORTED_*;
            TRUNCATED if the file ends within its headers or its pixels; CORRUPT if a checksum is wrong.
    """
    if not data:
        raise Refused("EMPTY")
    format = identify(data)
    if format is None:
        raise Refused("UNIDENTIFIED")
    if format not in limits.formats:
        raise Refused("FORMAT_NOT_ALLOWED", f"{format} is not one of {', '.join(limits.formats)}")
    walk = _WALKS.get(format)
    try:
        structure = walk(data) if walk else Structure(format, len(data))
    except (struct.error, IndexError, OverflowError) as error:  # or what it says lies beyond any file
        raise Refused("TRUNCATED", f"the file ends within its headers, at byte {len(data)}") from error
    if structure.packed > limits.max_metadata_bytes:
        raise Refused("METADATA_BOMB", f"{structure.packed} packed bytes are more than {limits.max_metadata_bytes}")
    return structure


def identify(data: bytes) -> str | None:
    """The image format that the first bytes are of.

    Raises:
        Refused: ARCHIVE.
    """
    if data.startswith(_ARCHIVES) or data[257:262] == b"ustar":
        raise Refused("ARCHIVE")
    for magic, format in _MAGIC:
        if data.startswith(magic):
            return format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _of_brands(data) or "video"
    return "SVG" if _is_svg(data[:4096].lower()) else None


def _is_svg(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text


def orientation(exif: bytes) -> int | None:
    """The orientation that EXIF data gives; None if it gives none, 0 if it cannot be read."""
    block = exif.removeprefix(b"Exif\0\0")
    if not block:
        return None
    order = "<" if block.startswith(b"II") else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        for entry in tiff.Framing(order, big=False).entries(block, directory):
            if entry.tag == tiff.ORIENTATION:
                usable = (entry.kind, entry.count) == (3, 1)
                return int(struct.unpack_from(order + "H", block, entry.start)[0]) if usable else 0
    except struct.error:
        return 0
    return None


def _jpeg(data: bytes) -> Structure:
    position, metadata = 2, 0
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == 0xD9:
            return Structure("JPEG", position, metadata)
        if marker in (0x01, 0xD8):  # these two have no length
            continue
        if marker in _HIERARCHICAL_JPEG:
            raise Refused("UNSUPPORTED_CODING", "hierarchical JPEG")
        (length,) = struct.unpack_from(">H", data, position)
        if 0xE0 <= marker <= 0xEF or marker == 0xFE:
            metadata += length
        position += length
    raise Refused("TRUNCATED", "the file has no end-of-image marker")


def _png(data: bytes) -> Structure:
    view = memoryview(data)
    position, metadata, packed, frames = 8, 0, 0, 1
    before = b""
    seen: set[bytes] = set()
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            if kind == b"IEND":
                break
            raise Refused("TRUNCATED", f"the file ends within chunk {kind!r}")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise Refused("CORRUPT", f"the checksum of chunk {kind!r} is wrong")
        if (kind == b"IHDR") != (position == 8) or (kind == b"IDAT" and kind in seen and before != kind):
            raise Refused("CORRUPT", f"chunk {kind!r} is out of order")
        before = kind
        seen.add(kind)
        if kind == b"IEND":
            return Structure("PNG", end, metadata, frames, packed)
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, position + 8)
        elif kind[0] & 0x20 and kind not in (b"fcTL", b"fdAT"):  # ancillary
            metadata += 12 + length
            packed += 12 + length if kind in _PACKED_PNG else 0
        position = end
    return Structure("PNG", None, metadata, frames, packed)


def _gif(data: bytes) -> Structure:
    position = 13 + _gif_table(data[10])
    metadata = frames = 0
    try:
        while (kind := data[position]) != 0x3B:
            start = position
            if kind == 0x2C:
                position = _gif_blocks(data, position + 11 + _gif_table(data[position + 9]))
                frames += 1
            elif kind == 0x21:
                position = _gif_blocks(data, position + 2)
                metadata += position - start
            else:
                position += 1
    except IndexError:
        return Structure("GIF", None, metadata, frames)
    return Structure("GIF", position + 1, metadata, frames)


def _gif_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks(data: bytes, position: int) -> int:
    while length := data[position]:
        position += 1 + length
    return position + 1


def _webp(data: bytes) -> Structure:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise Refused("TRUNCATED", f"{len(data)} of {end} bytes are there")
    position, metadata, frames = 12, 0, 0
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        frames += kind == b"ANMF"
        metadata += length if kind in (b"ICCP", b"EXIF", b"XMP ") else 0
        position += 8 + length + length % 2
    return Structure("WEBP", end, metadata, max(frames, 1))


def _bmp(data: bytes) -> Structure:
    size, _, pixels = struct.unpack_from("<III", data, 2)
    if size > len(data):
        return Structure("BMP", None)
    return Structure("BMP", size if size > pixels else len(data))  # some writers leave the size at 0


def _tiff(data: bytes) -> Structure:
    picture = tiff.picture(data)
    return Structure("TIFF", len(data), picture.metadata, picture.pages, picture=picture)


def _boxes(data: bytes) -> Structure:
    """HEIF and AVIF: boxes of the ISO base media file format."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if kind not in _BOXES:
            break
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
        end = position + size if size else len(data)
        if end > len(data):
            raise Refused("TRUNCATED", f"the file ends within box {kind!r}")
        position = max(end, position + 8)
    return Structure(_of_brands(data) or "", position)


def _of_brands(data: bytes) -> str | None:
    """The format that the brands of an ISO base media file name, if it is one of pictures."""
    (size,) = struct.unpack_from(">I", data)
    brands = {data[8:12], *(data[place : place + 4] for place in range(16, min(size, 256), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


_WALKS: dict[str, Callable[[bytes], Structure]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "BMP": _bmp,
    "TIFF": _tiff,
    "HEIF": _boxes,
    "AVIF": _boxes,
}
