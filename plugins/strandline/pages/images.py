"""Images, as the models saw them: the pixels that a shard of the store has, and what looks like them; and what there is
to see of files that were refused.

No file that landed is ever opened.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import HTTPException, Query, Request
from fastapi.responses import Response

import strandline_contract as contract
from strandline import attempts, ledger, settings
from strandline.models import thumbnails
from strandline.pages import embeddings
from strandline.pages.parameters import NumberInPath, Sha256InPath
from strandline.pages.rooms import Facts, Room, reading

log = logging.getLogger(__name__)

AT_ONCE = 2  # pages ask for dozens together
ALIKE = 24
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}
KEPT = HEADERS | {"cache-control": "private, max-age=31536000, immutable"}
PLACEHOLDER = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72" role="img" aria-label="{0}">
<rect width="72" height="72" fill="#8a949e"/>
<text x="36" y="40" text-anchor="middle" font-family="system-ui, sans-serif" font-size="14" fill="#fff">{0}</text>
</svg>
"""
GONE, NOTHING = PLACEHOLDER.format("gone"), PLACEHOLDER.format("no view")
room = Room("ingest_images")
_readers = threading.BoundedSemaphore(AT_ONCE)


@room.pages.get("/images/{image_id}.png", response_class=Response)
def read_image(image_id: Sha256InPath, request: Request) -> Response:
    """A PNG, which a browser may keep, since it is named by its content; if the store has it no more, a picture that
    says so.
    """
    headers = KEPT | {"etag": f'"{image_id}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    with reading() as connection:
        batches = ledger.fetch(connection, "select_image_shards", {"image_id": image_id})
    with _readers:
        png = _find(batches, image_id)
    if png is None:
        return Response(GONE, 404, HEADERS | {"cache-control": "no-store"}, "image/svg+xml")
    return Response(png, headers=headers, media_type="image/png")


def _find(batches: Sequence[Mapping[str, Any]], image_id: str) -> bytes | None:
    """Of the first shard that still has it, and is the one that the ledger knows."""
    store = settings.get().store
    for batch in batches:
        try:
            shard = attempts.recorded_request(store, batch).shard
            if png := thumbnails.picture(store, shard, image_id):
                return png
        except contract.ContractError as error:
            log.warning("image %s cannot be shown: %s", image_id, error)
    return None


@room.pages.get("/quarantine/{entry_id}.png", response_class=Response)
def read_refused(entry_id: NumberInPath) -> Response:
    """A PNG of what there is to see of a refused file, which a browser may keep, since nothing of it changes; or a
    picture that says that there is nothing.
    """
    with reading() as connection:
        found = ledger.fetch(connection, "select_refused_place", {"entry_id": entry_id})
    with _readers:
        png = next(filter(None, map(_look, found)), None)
    if png is None:
        return Response(NOTHING, headers=HEADERS | {"cache-control": "no-store"}, media_type="image/svg+xml")
    return Response(png, headers=KEPT, media_type="image/png")


def _look(place: Mapping[str, Any]) -> bytes | None:
    """Of the last attempt that has it: the pixels of an image that an expectation refused, else the preview."""
    config = settings.get()
    for folder, result in attempts.packed(config, place["run_id"], place["shard_id"]):
        try:
            if place["decoded"]:
                shard = folder / contract.SHARD_FILE
                ref = contract.FileRef(str(shard.relative_to(config.store)), result.files.get(shard.name, ""))
                png = thumbnails.picture(config.store, ref, place["sha256"])
            else:
                png = thumbnails.preview(folder, result, place["ordinal"])
        except contract.ContractError as error:
            log.warning("a refused file cannot be shown: %s", error)
        else:
            return png
    return None


@room.show("/images/{image_id}", "image.html")
def show_image(image_id: Sha256InPath, version: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None) -> Facts:
    """An image as a version saw it, and the images of its drop that look most like it to that version.

    Args:
        version: of the model; by default the one that was last to classify the image.

    Raises:
        HTTPException: there is no such image, or the version has not classified it.
    """
    with reading() as connection:
        query: dict[str, Any] = {"image_id": image_id, "version": version}
        image = next(iter(ledger.fetch(connection, "select_image_of_page", query)), None)
        if image is None:
            raise HTTPException(
                404, f"there is no image {image_id} in the ledger: no file with this content was ingested"
            )
        seen = next(iter(ledger.fetch(connection, "select_seen_image", query)), None)
        if version and seen is None:
            raise HTTPException(404, f"version {version} of the model has not classified the image {image_id}")
        facts: dict[str, Any] = {
            "image": image,
            "seen": seen,
            "predictions": [],
            "landed": 0,
            "compared": 0,
            "alike": [],
        }
        if seen is None:
            return facts
        query |= {"version": seen["model_version"], "since": seen["drop_at"], "period": seen["drop_at"]}
        query |= {"image_ids": [image_id], "limit": embeddings.COMPARED}
        facts["predictions"] = ledger.fetch(connection, "select_image_predictions", query)
        facts["landed"] = sum(row["images"] for row in ledger.fetch(connection, "count_window_labels", query))
        found = ledger.fetch(connection, "select_embedded_images", query)
    read = embeddings.read(found)
    nearest = read.nearest(image_id, ALIKE)
    with reading() as connection:
        query["image_ids"] = [image for image, _ in nearest]
        rows = {row["image_id"]: row for row in ledger.fetch(connection, "select_seen_images", query)}
    alike = [rows[image] | {"distance": distance} for image, distance in nearest]
    return facts | {"compared": len(read.images) if image_id in read.images else 0, "alike": alike}
