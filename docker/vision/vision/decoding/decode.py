"""Turn the bytes of one file into canonical pixels: upright RGB of one size, decoded by Pillow under limits.

Runs in the worker processes only, and never beside gluoncv, which switches Pillow's check for cut files off.
"""

import io
import logging
import warnings
from dataclasses import dataclass
from typing import Any

from PIL import (  # the plugins by name, since Pillow would import every plugin there is to find TIFF and WebP
    AvifImagePlugin,
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

import strandline_contract as contract
from strandline_contract.reasons import DECODED
from vision.decoding import pixels, structure, tiff
from vision.decoding.refused import Refused

_BITS_PER_SAMPLE = 258
_JPEGS = ("JPEG", "MPO")  # which have the same first bytes, and decode at any of these parts of their size
_SCALES = (1, 2, 4, 8)
_SPARE = 1.6  # times what the model sees that a picture decoded at a part of its size has: at less, it blurs
_ON_SIDE = (5, 6, 7, 8)  # orientations
# What Pillow's messages contain -> the reason. Its exception types say less.
_CAUSES = (
    ("MAX_TEXT", "METADATA_BOMB"),
    ("runcated", "TRUNCATED"),
    ("unknown pixel mode", "UNSUPPORTED_MODE"),
    ("-layer images", "UNSUPPORTED_MODE"),
    ("-bit layers", "UNSUPPORTED_DEPTH"),
    ("Unsupported BMP pixel depth", "UNSUPPORTED_DEPTH"),
    ("Unsupported BMP", "UNSUPPORTED_CODING"),  # bitfields, compression
)


@dataclass
class Outcome:
    """A row of contract.OUTCOME_COLUMNS, but for its entry; filled as far as the file lets us."""

    status: str = DECODED
    reason: str | None = None
    detail: str | None = None
    notes: str | None = None
    image_id: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    bytes: int | None = None
    dhash: int | None = None

    def row(self) -> dict[str, Any]:
        """With all statistics, which are attributes once they are measured; None until then."""
        return dict.fromkeys(contract.IMAGE_STATISTICS) | vars(self)

    def refuse(self, refused: Refused) -> None:
        self.status, self.reason, self.detail = refused.status, refused.code, refused.detail


def configure(limits: contract.Limits) -> None:
    """Set Pillow's process-wide switches; `decode` relies on them."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own code takes some planes for others
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if "HEIF" in limits.formats:
        import pillow_heif  # only here: who does not want HEIC has no HEVC decoder in the process

        pillow_heif.register_heif_opener(thumbnails=False, decode_threads=0)
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = limits.max_metadata_bytes
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def decode(data: bytes, extension: str, request: contract.PackRequest, outcome: Outcome) -> bytes:
    """The canonical pixels, height x width x 3, uint8, RGB; what was found on the way goes into `outcome`.

    Raises:
        Refused: it is no image that the limits allow.
        MemoryError: it needs more memory than this process may have.
    """
    framing = structure.inspect(data, request.limits)
    try:
        return _decode(data, extension, request, outcome, framing)
    except (Refused, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Refused("TOO_MANY_PIXELS", str(error)) from error
    except Exception as error:  # hostile files make Pillow raise nearly every type there is
        if "out of memory" in str(error):
            raise MemoryError from error
        raise Refused(_cause(error, framing), f"{type(error).__name__}: {error}") from error


def _cause(error: Exception, framing: structure.Structure) -> str:
    if framing.end is None:
        return "TRUNCATED"
    return next((code for needle, code in _CAUSES if needle in str(error)), "CORRUPT")


def _decode(
    data: bytes, extension: str, request: contract.PackRequest, outcome: Outcome, framing: structure.Structure
) -> bytes:
    image = _open(data, framing, request.limits)
    outcome.format, outcome.mode = image.format, image.mode
    outcome.width, outcome.height = image.size
    _check_header(image, request.limits)
    depth = _depth(image, data)
    notes = _notes(image, framing, len(data), extension, request.limits)
    rule = request.resize_rule()
    scale = _draft(image, rule, request.limits.max_pixels, notes) if image.format in _JPEGS else 1
    image.load()
    picture = pixels.rgb(image, depth, notes)
    if framing.picture:  # Pillow turned it upright as it loaded it
        orientation = framing.picture.tags.get(tiff.ORIENTATION, (None,))[0]
    elif image.format == "HEIF":  # and so did its own decoder
        orientation = image.info.get("original_orientation")
    else:
        orientation = structure.orientation(image.info.get("exif") or b"")
        picture = pixels.upright(picture, orientation)
        if orientation in _ON_SIDE:
            outcome.width, outcome.height = outcome.height, outcome.width
    if orientation not in (None, 1):
        notes.append("ORIENTED" if orientation in range(1, 9) else "ORIENTATION_INVALID")
    outcome.notes = " ".join(notes) or None
    if scale == 1:
        return pixels.canonical(picture, rule)
    part = pixels.part(rule, outcome.width, outcome.height)
    return pixels.canonical(picture, rule, pixels.reduced(part, scale, (outcome.width, outcome.height), orientation))


def _open(data: bytes, framing: structure.Structure, limits: contract.Limits) -> ImageFile.ImageFile:
    most = limits.max_jpeg_pixels if framing.format == "JPEG" else limits.max_pixels
    Image.MAX_IMAGE_PIXELS = most // 2  # Pillow warns above this and refuses above twice this
    try:
        image = Image.open(io.BytesIO(data), formats=(framing.format,))
    except UnidentifiedImageError:
        Image.OPEN[framing.format][0](io.BytesIO(data), "")  # raises what Image.open() keeps to itself
        raise
    if framing.picture:
        image.seek(framing.picture.page)
    return image


def _draft(image: ImageFile.ImageFile, rule: contract.ResizeRule, max_pixels: int, notes: list[str]) -> int:
    """Have a JPEG decoded at a half, a quarter or an eighth of its size, if that is more than enough for what the model
    sees, or if the limit on pixels wants it, which is noted. Returns 2, 4 or 8, or 1 if it is decoded whole.

    Raises:
        Refused: it has too many pixels even so.
    """
    width, height = image.size
    allowed = next((s for s in _SCALES if -(-width // s) * -(-height // s) <= max_pixels), None)
    if allowed is None:
        raise Refused("TOO_MANY_PIXELS", f"an eighth of {width} x {height} is more than {max_pixels} pixels")
    if allowed > 1:
        notes.append("REDUCED")
    turned = structure.orientation(image.info.get("exif") or b"") in _ON_SIDE
    enough = pixels.shrink(rule, width, height, turned) / _SPARE
    scale = max(s for s in _SCALES if s <= max(allowed, enough))
    if scale > 1:
        image.draft(None, (width // scale, height // scale))
    return scale


def _check_header(image: ImageFile.ImageFile, limits: contract.Limits) -> None:
    short, long = sorted(image.size)
    size = f"{image.width} x {image.height}"
    if image.format not in limits.formats:
        raise Refused("FORMAT_NOT_ALLOWED", f"{image.format} is not one of {', '.join(limits.formats)}")
    if short < 1:
        raise Refused("CORRUPT", f"the size is {size}")
    most = limits.max_jpeg_pixels if image.format in _JPEGS else limits.max_pixels
    if short * long > most:
        raise Refused("TOO_MANY_PIXELS", f"{size} is more than {most} pixels")
    if long > limits.max_aspect * short:
        raise Refused("BAD_ASPECT", f"{size} is longer than {limits.max_aspect:g} to 1")
    if long > limits.max_side:
        raise Refused("TOO_LONG_SIDE", f"{size} is longer than {limits.max_side} pixels")
    if short < limits.min_side:
        raise Refused("TOO_SMALL", f"{size} is shorter than {limits.min_side} pixels")
    if image.mode in ("I", "F"):
        raise Refused("UNSUPPORTED_DEPTH", f"samples of mode {image.mode} (32 bits, or signed) have no agreed range")
    if image.mode not in contract.MODES:
        raise Refused("UNSUPPORTED_MODE", f"mode {image.mode}")


def _depth(image: ImageFile.ImageFile, data: bytes) -> int:
    """Bits per sample in the file."""
    if image.format == "PNG":
        return data[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))))
    return int(image.info.get("bit_depth", 16 if image.mode in pixels.DEEP_GREY_MODES else 8))  # HEIF says it


def _notes(
    image: ImageFile.ImageFile, framing: structure.Structure, length: int, extension: str, limits: contract.Limits
) -> list[str]:
    frames = getattr(image, "n_frames", 1) if image.format in ("MPO", "HEIF", "AVIF") else framing.frames
    several = image.format in ("MPO", "TIFF", "HEIF") and frames > 1
    said = {
        "TRAILER_MISSING": framing.end is None,
        "TRAILING_DATA": framing.end is not None and framing.end < length and not several,
        "EXT_MISMATCH": _format_of(extension) != ("JPEG" if image.format in _JPEGS else image.format),
        "ANIMATED": frames > 1 and not several,
        "MULTI_PICTURE": several,
        "CONVERTED": framing.picture is not None and framing.picture.is_ycbcr,  # by the codec itself
        "METADATA_LARGE": framing.metadata > limits.max_metadata_bytes,
        "EXIF_DROPPED": bool(image.info.get("exif")),
        "ICC_DROPPED": bool(image.info.get("icc_profile")),
    }
    return [note for note, holds in said.items() if holds]


def _format_of(extension: str) -> str | None:
    format = Image.EXTENSION.get(extension)
    return "JPEG" if format in _JPEGS else format
