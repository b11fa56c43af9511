"""Thumbnails of images, for pages: made of pixels that came out of the decoding sandbox, never of files that landed."""

import io
import math
from collections.abc import Collection, Iterable
from pathlib import Path

from PIL import Image

import strandline_contract as contract
from strandline import tables
from strandline.models import bundles

SIDE = 96  # pixels, the longer side at most
MOST_PREVIEWS = 1000  # of an attempt


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
            for image, pixels in zip(table["image_id"].to_pylist(), table["pixels"].to_pylist(), strict=True):
                found[image] = thumbnail(pixels, _size(path, pixels))
    return found


def picture(store: Path, shard: contract.FileRef, image: str) -> bytes | None:
    """A PNG of an image as a model saw it, in its whole size; None if the shard has no such image.

    Raises:
        contract.ContractError: the shard is gone, or is none.
    """
    path = contract.store_path(store, shard.path)
    if (pixels := tables.pixels(path, image)) is None:
        return None
    width, height = _size(path, pixels)
    if len(pixels) != 3 * width * height or not pixels:
        raise tables.TableError(f"{path} has {len(pixels):,} bytes of pixels for an image of {width} x {height}")
    Image.frombytes("RGB", (width, height), pixels).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def preview(folder: Path, result: contract.Result, entry: int) -> bytes | None:
    """A PNG of what there is to see of a file that an attempt of `pack` refused, by its row in the manifest; None if
    there is nothing.

    Raises:
        contract.ContractError: the attempt's file of previews is gone, or is none.
    """
    if contract.PREVIEWS_FILE not in result.files:  # older ones made none
        return None
    path = folder / contract.PREVIEWS_FILE
    if not contract.is_whole(folder, path.name, result.files[path.name]):
        raise tables.TableError(f"{path} is gone, or not what its result says")
    for row in tables.read(path, contract.PREVIEW_COLUMNS, most=MOST_PREVIEWS).to_pylist():
        if row["entry"] == entry:
            width, height, pixels = row["width"], row["height"], row["pixels"]
            if min(width, height) < 1 or len(pixels) != 3 * width * height:
                raise tables.TableError(f"{path} has {len(pixels):,} bytes of pixels for {width} x {height}")
            return thumbnail(pixels, (width, height))
    return None


def _size(shard: Path, pixels: bytes) -> tuple[int, int]:
    """Width and height, as the shard says them; one that says none has squares."""
    if said := tables.metadata(shard).get(contract.RESIZE_RULE):
        rule = contract.ResizeRule.from_json(said)
        return rule.width, rule.height
    side = math.isqrt(len(pixels) // 3)
    return side, side
