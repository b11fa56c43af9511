"""From Pillow's many modes to upright 8-bit RGB, and the statistics of it."""

import functools

import numpy as np
from PIL import Image

import strandline_contract as contract
from vision.decoding.refused import Refused

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Box = tuple[float, float, float, float]  # left, top, right, bottom
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
DEEP_GREY_MODES = {"I;16", "I;16L", "I;16B", "I;16N"}


def rgb(image: Image.Image, depth: int, notes: list[str]) -> Image.Image:
    """Mode RGB of the same size, transparency on white; what had to be done for it is added to `notes`.

    `image` has one of contract.MODES and its samples had `depth` bits in the file.

    Raises:
        Refused: UNSUPPORTED_MODE if they cannot be told apart any more.
    """
    if depth > 8:
        notes.append("SCALED_16_TO_8")
    if image.mode != "RGB":
        notes.append("CONVERTED")
    if depth != 8:
        image = _with_8_bit_samples(image, depth)
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        return image.convert("RGB")  # a fourth byte that nobody filled in, as every viewer takes it
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _on_white(image, notes)
    return image if image.mode == "RGB" else image.convert("RGB")


def upright(image: Image.Image, orientation: object) -> Image.Image:
    """Turned as EXIF says; as stored if that is none of 1 to 8."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def canonical(image: Image.Image, rule: contract.ResizeRule, box: Box | None = None) -> bytes:
    """height x width x 3 of the part that the rule takes, or of `box`, in pixels of `image`.

    Pillow leaves them untouched if that is all of the picture and its size is right.
    """
    resampling = Image.Resampling[rule.interpolation.upper()]
    return image.resize((rule.width, rule.height), resampling, box or part(rule, *image.size)).tobytes()


def shrink(rule: contract.ResizeRule, width: int, height: int, turned: bool) -> float:
    """How many pixels of a picture of this size, on either side, become one; `turned`: by a quarter, before that."""
    left, top, right, bottom = part(rule, height, width) if turned else part(rule, width, height)
    return min((right - left) / rule.width, (bottom - top) / rule.height)


def reduced(box: Box, scale: int, size: tuple[int, int], orientation: object) -> Box:
    """A part of a picture of this width and height, in pixels of what was decoded at 1 / scale and then turned upright.

    Its last column and row, as stored, may be parts of pixels.
    """
    x, y = (-side % scale / scale for side in size)
    x, y = x if orientation in (2, 3, 6, 7) else 0, y if orientation in (3, 4, 7, 8) else 0
    left, top, right, bottom = (edge / scale for edge in box)
    return left + x, top + y, right + x, bottom + y


def part(rule: contract.ResizeRule, width: int, height: int) -> Box:
    """What is taken of a picture of this size: left, top, right, bottom, in its pixels."""
    aspect = rule.width / rule.height
    if rule.resize == "squash" or (rule.resize == "fit" and width / height == aspect):
        return 0, 0, width, height
    if rule.resize == "fit":
        wide, high = (aspect * height, height) if width / height > aspect else (width, width / aspect)
        left, top = (width - wide) / 2, (height - high) / 2
        return left, top, left + wide, top + high
    # As MXNet's Resize and CenterCrop, which round down.
    short, side = min(width, height), rule.height
    resized = [whole * rule.short_side // short for whole in (width, height)]
    left, top = ((whole - side) // 2 for whole in resized)
    x, y = width / resized[0], height / resized[1]
    return left * x, top * y, (left + side) * x, (top + side) * y


def _with_8_bit_samples(image: Image.Image, depth: int) -> Image.Image:
    """Grey samples of 9 to 16 bits by their high byte, if Pillow would clip; Pillow itself does so for colours.

    The transparent colour of a PNG is given at the file's depth: of 16 bits, all count.
    """
    info = dict(image.info)
    if image.mode in DEEP_GREY_MODES:
        samples = np.asarray(image)
        image = Image.fromarray((samples >> (depth - 8)).astype(np.uint8))
        if "transparency" in info:
            image.putalpha(Image.fromarray(np.where(samples == info.pop("transparency"), 0, 255).astype(np.uint8)))
    elif "transparency" in info and depth > 8:
        raise Refused("UNSUPPORTED_MODE", "16-bit colours of which one is transparent")
    elif "transparency" in info and image.mode == "L":
        info["transparency"] = info["transparency"] * 255 // (2**depth - 1)
    image.info = info
    return image


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    if image.mode != "RGBA":
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = image.getchannel("A")
    notes.append("ALPHA")
    if alpha.getextrema()[1] == 0:
        notes.append("ALL_TRANSPARENT")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def luma(images: np.ndarray) -> np.ndarray:
    """float32 [n, height, width] of uint8 [n, height, width, 3]: (0.299 R + 0.587 G + 0.114 B) / 255."""
    red, green, blue = (np.ascontiguousarray(images[..., channel], np.float32) for channel in range(3))
    weighted: np.ndarray = 0.299 * red + 0.587 * green + 0.114 * blue
    return weighted / 255


def statistics(images: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """float32 [n, statistics] of uint8 [n, height, width, 3], in the order of contract.IMAGE_STATISTICS.

    With luma Y of each pixel:
        brightness  mean of Y
        contrast    standard deviation of Y
        saturation  mean of (max(R, G, B) - min(R, G, B)) / max(R, G, B), 0 for black
        sharpness   variance of 4 Y - (the sum of the 4 neighbours of Y), over the pixels that have all four
    """
    red, green, blue = (images[..., channel] for channel in range(3))
    high = np.maximum(np.maximum(red, green), blue).astype(np.float32)
    low = np.minimum(np.minimum(red, green), blue).astype(np.float32)
    saturation = (high - low) / np.maximum(high, 1)
    neighbours = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    edges = 4 * luma[:, 1:-1, 1:-1] - neighbours
    each = (1, 2)
    sharpness = edges.var(each) if edges.size else np.zeros(len(images))
    columns = (luma.mean(each), luma.std(each), saturation.mean(each), sharpness)
    return np.stack(columns, axis=1).astype(np.float32)


def dhash(luma: np.ndarray) -> np.ndarray:
    """int64 [n] of luma [n, height, width]: the difference hash, 64 bits of what an image looks like. Of 8 rows of 9
    grey levels, each bit says whether one is lighter than the one to its left (Krawetz, "Kind of Like That",
    hackerfactor.com, 2013).

    By Lanczos' filter, whose levels noise hurts less: of CIFAR-10 with noise of 8 levels 86 % of the images differ in
    at most 4 bits from what they were, and 73 % where a level is the mean of a box, which takes more
    different images for one.
    """
    _, height, width = luma.shape
    # einsum, because BLAS ends a process that is out of memory. Clipped and rounded, what is flat has equal levels.
    rows = np.einsum("nhw,wk->nhk", luma, _lanczos(width, 9)).clip(0, 1)
    levels = np.rint(255 * np.einsum("nhk,hj->njk", rows, _lanczos(height, 8)).clip(0, 1))
    bits = (levels[:, :, 1:] > levels[:, :, :-1]).reshape(-1, 64)
    return np.packbits(bits, axis=1).view(">i8").ravel().astype(np.int64)


@functools.cache
def _lanczos(samples: int, levels: int) -> np.ndarray:
    """float32 [samples, levels]: the weight of each sample in each level, as Pillow has them."""
    each = Image.fromarray(np.eye(samples, dtype=np.float32))
    return np.asarray(each.resize((levels, samples), Image.Resampling.LANCZOS))
