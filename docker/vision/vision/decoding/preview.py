"""A small picture of a file that was refused, so that people see what it is: of a broken one, what there is of it.

Runs in a decoding process of its own, which refuses nothing for being cut.
"""

import dataclasses
import io

import numpy as np
from PIL import Image, ImageFile, ImageOps

import strandline_contract as contract
from vision.decoding import decode

SIDE = 96  # pixels, the longer one at most
CPU_SECONDS = 2  # nobody waits long for a picture of a file that is of no use
# Reasons of files that have something to show; what has ended a decoding process is not tried again.
REASONS = frozenset(
    {
        *("TRUNCATED", "CORRUPT", "FORMAT_NOT_ALLOWED", "TOO_MANY_PIXELS", "TOO_LONG_SIDE", "TOO_SMALL", "BAD_ASPECT"),
        *("METADATA_BOMB", "MULTIPAGE", "UNSUPPORTED_DEPTH", "UNSUPPORTED_MODE", "UNSUPPORTED_CODING"),
    }
)
_DRAFTED = ("JPEG", "MPO")


def configure(limits: contract.Limits) -> contract.Limits:
    """Set Pillow's process-wide switches; returns the limits of previews."""
    decode.configure(limits)
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    Image.MAX_IMAGE_PIXELS = limits.max_jpeg_pixels
    return dataclasses.replace(limits, cpu_seconds=min(limits.cpu_seconds, CPU_SECONDS))


def preview(data: bytes, limits: contract.Limits) -> Image.Image | None:
    """RGB, upright; None if nothing of it can be shown.

    Raises:
        MemoryError: it needs more memory than this process may have.
    """
    try:
        return _preview(data, limits)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - hostile files make Pillow raise nearly every type there is
        return None


def _preview(data: bytes, limits: contract.Limits) -> Image.Image | None:
    known = [format for format in contract.FORMATS if format in Image.OPEN]  # MPO is opened as JPEG
    image = Image.open(io.BytesIO(data), formats=known)
    if image.format in _DRAFTED:
        image.draft("RGB", (SIDE, SIDE))
    if image.width * image.height > limits.max_pixels:
        return None
    image.thumbnail((SIDE, SIDE))
    picture: Image.Image = image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        picture = _grey(np.asarray(image, np.float32))
    picture = ImageOps.exif_transpose(picture).convert("RGB")
    is_blank = picture.getcolors(1) is not None  # none of its pixels came, most likely
    return None if is_blank else picture


def _grey(samples: np.ndarray) -> Image.Image:
    """8 bits, from the darkest sample to the lightest."""
    low, high = samples.min(), samples.max()
    return Image.fromarray(((samples - low) * (255 / ((high - low) or 1))).astype(np.uint8))
