"""Turn the bytes of one file into canonical pixels: upright RGB of one size, decoded by Pillow under limits.

Runs in the worker processes only, and never beside gluoncv, which switches Pillow's check for cut files off.
"""

import io
import logging
import warnings
from dataclasses import dataclass

from PIL import (  # the plugins by name, since Pillow would import every plugin there is to find TIFF and WebP
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from vision import contract, pixels, structure
from vision.reasons import DECODED, Refused

_BITS_PER_SAMPLE = 258
_ORIENTATION = 274
# What Pillow's messages contain -> the reason. Its exception types say less.
_CAUSES = (
    ("MAX_TEXT", "METADATA_BOMB"),
    ("runcated", "TRUNCATED"),
    ("unknown pixel mode", "UNSUPPORTED_MODE"),
    ("-bit layers", "UNSUPPORTED_DEPTH"),
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
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    sharpness: float | None = None

    def refuse(self, refused: Refused) -> None:
        self.status, self.reason, self.detail = refused.status, refused.code, refused.detail


def configure(limits: contract.Limits) -> None:
    """Set Pillow's process-wide switches; `decode` relies on them."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = limits.max_pixels // 2  # Pillow warns above this and refuses above twice this
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
    image = _open(data, framing.format, request.limits)
    outcome.format, outcome.mode = image.format, image.mode
    outcome.width, outcome.height = image.size
    _check_header(image, request.limits)
    depth = _depth(image, data)
    tiff_orientation = image.tag_v2.get(_ORIENTATION) if image.format == "TIFF" else None
    image.load()
    notes = _notes(image, framing, len(data), extension)
    picture = pixels.rgb(image, depth, notes)
    if image.format == "TIFF":  # Pillow turned it upright as it loaded it
        orientation = tiff_orientation
    else:
        orientation = structure.orientation(image.info.get("exif", b""))
        picture = pixels.upright(picture, orientation)
    if orientation not in (None, 1):
        notes.append("ORIENTED" if orientation in range(1, 9) else "ORIENTATION_INVALID")
    outcome.width, outcome.height = picture.size
    outcome.notes = " ".join(notes) or None
    return pixels.canonical(picture, request.height, request.width)


def _open(data: bytes, format: str, limits: contract.Limits) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=limits.formats)
    except UnidentifiedImageError:
        Image.OPEN[format][0](io.BytesIO(data), "")  # raises what Image.open() keeps to itself
        raise


def _check_header(image: ImageFile.ImageFile, limits: contract.Limits) -> None:
    short, long = sorted(image.size)
    size = f"{image.width} x {image.height}"
    if image.format not in limits.formats:
        raise Refused("FORMAT_NOT_ALLOWED", f"{image.format} is not one of {', '.join(limits.formats)}")
    if short < 1:
        raise Refused("CORRUPT", f"the size is {size}")
    if short * long > limits.max_pixels:
        raise Refused("TOO_MANY_PIXELS", f"{size} is more than {limits.max_pixels} pixels")
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
    if image.format == "TIFF" and image.is_animated:
        raise Refused("MULTIPAGE")


def _depth(image: ImageFile.ImageFile, data: bytes) -> int:
    """Bits per sample in the file."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    return 16 if image.mode in pixels.DEEP_GREY_MODES else 8


def _notes(image: ImageFile.ImageFile, framing: structure.Structure, length: int, extension: str) -> list[str]:
    said = {
        "TRAILER_MISSING": framing.end is None,
        "TRAILING_DATA": framing.end is not None and framing.end < length,
        "EXT_MISMATCH": Image.EXTENSION.get(extension) != image.format,
        "ANIMATED": framing.frames > 1,
        "EXIF_DROPPED": bool(image.info.get("exif")),
        "ICC_DROPPED": bool(image.info.get("icc_profile")),
    }
    return [note for note, holds in said.items() if holds]
