"""Thumbnails of images, for pages: made of the pixels that a model saw, never of the files that landed."""

import io
import math
from collections.abc import Collection, Iterable
from pathlib import Path

from PIL import Image

import strandline_contract as contract
from strandline import tables
from strandline.models import bundles

SIDE = 96  # pixels, the longer side at most


def image_size(store: Path, bundle: contract.BundleRef) -> tuple[int, int]:
    """Width and height, in pixels, of the images in shards that were packed for a bundle.

    Raises:
        bundles.BundleError: it is gone or altered.
    """
    size = bundles.preprocessing(contract.store_path(store, bundle.path), bundle.version)
    return size.width, size.height


def thumbnail(pixels: bytes, size: tuple[int, int]) -> bytes:
    """A PNG of an image, made of its RGB `pixels` (height x width x 3, row by row); `size` is its width and height."""
    image = Image.frombytes("RGB", size, pixels)
    image.thumbnail((SIDE, SIDE))
    image.save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def of_shards(store: Path, shards: Iterable[contract.FileRef], images: Collection[str]) -> dict[str, bytes]:
    """The thumbnail of each of these images (by id) that one of the shards has, in the size that the shard says; one
    that says none has squares.
    """
    columns = tables.among(contract.SHARD_COLUMNS, "image_id", "pixels")
    found: dict[str, bytes] = {}
    for shard in shards:
        if missing := [image for image in images if image not in found]:
            path = contract.store_path(store, shard.path)
            table = tables.read(path, columns, images=missing)
            said = tables.metadata(path).get(contract.RESIZE_RULE)
            rule = contract.ResizeRule.from_json(said) if said else None
            for image, pixels in zip(table["image_id"].to_pylist(), table["pixels"].to_pylist(), strict=True):
                side = math.isqrt(len(pixels) // 3)
                found[image] = thumbnail(pixels, (rule.width, rule.height) if rule else (side, side))
    return found
