"""A map of images, on which those lie near each other that look alike to a model."""

import collections
import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import scipy.linalg
from fastapi import Depends, Query
from numpy.typing import NDArray

from strandline import ledger
from strandline.pages import embeddings
from strandline.pages.rooms import Facts, Room, reading

MAPPED = 2_000  # images: more of them hide each other
GROUPS = 10  # that have a colour of their own
IMAGES = 60  # a page
MIDDLE = (10, 90)  # percentiles between which a group's region lies
room = Room("ingest_images")

Percent = Annotated[float, Query(ge=0, le=100)]


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of the map, in percent of it, from the left and from the bottom."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def whole(self) -> bool:
        return self == Region(0, 100, 0, 100)

    def holds(self, point: Mapping[str, Any]) -> bool:
        return bool(self.left <= point["x"] <= self.right and self.bottom <= point["y"] <= self.top)


def region(left: Percent = 0, right: Percent = 100, bottom: Percent = 0, top: Percent = 100) -> Region:
    return Region(min(left, right), max(left, right), min(bottom, top), max(bottom, top))


@room.show("/explore/map", "map.html")
def show_map(
    chosen: Annotated[Region, Depends(region)],
    period: datetime.datetime | None = None,
    since: datetime.datetime | None = None,
    version: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
    colour: Literal["class", "drop"] = "class",
    after: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "",
) -> Facts:
    """Where the images of drops lie, and a page of those that lie in a region.

    Args:
        period: the first moment of the last drop; the newest that was classified by default.
        since: that of the first drop; by default the same.
        version: of the model; by default that of the newest run.
        colour: groups are classes, as the model says, or drops.
        left, right, bottom, top: of the region, in percent of the map.
        after: goes on behind an image of the region, as `next` of the answer before has it.
    """
    with reading() as connection:
        newest = next(iter(ledger.fetch(connection, "select_newest_window")), {"period": None, "version": None})
        last = period or newest["period"]
        window = {"period": last, "since": since or last, "version": version or newest["version"]}
        (landed,) = ledger.fetch(connection, "count_mapped_images", window)
        found = ledger.fetch(connection, "select_embedded_images", window | {"image_ids": [], "limit": MAPPED})
    read = embeddings.read(found)
    with reading() as connection:
        query = window | {"image_ids": read.images}
        rows = {row["image_id"]: row for row in ledger.fetch(connection, "select_seen_images", query)}
    places, shown = plane(read.directions)
    points = [
        rows[image] | {"x": x, "y": y} for image, (x, y) in zip(read.images, places.round(1).tolist(), strict=True)
    ]
    inside = sorted((one for one in points if chosen.holds(one)), key=lambda one: str(one["image_id"]))
    rest = [one for one in inside if one["image_id"] > after]
    return {
        "window": window,
        "colour": colour,
        "region": chosen,
        "landed": landed["images"],
        "shown": shown,
        "groups": groups(points, _by(colour)),
        "inside": len(inside),
        "images": rest[:IMAGES],
        "next": rest[IMAGES - 1]["image_id"] if len(rest) > IMAGES else None,
    }


def plane(directions: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Where rows [n, features] lie on the plane on which they differ most, in percent of its width and height [n, 2],
    and the share of their variance that it shows.
    """
    if len(directions) < 2:
        return np.full((len(directions), 2), 50.0), 0.0
    centred = (directions - directions.mean(axis=0)).astype(np.float64)
    centred = np.pad(centred, ((0, 0), (0, max(2 - centred.shape[1], 0))))
    products, features = centred.T @ centred, centred.shape[1]
    values, axes = scipy.linalg.eigh(products, subset_by_index=[features - 2, features - 1])
    # Which way an axis points is for the library to choose: here it is always the same.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    places = centred @ axes[:, ::-1]
    low, width = places.min(axis=0), np.ptp(places, axis=0)
    scaled = np.where(width > 1e-9, 100 * (places - low) / np.maximum(width, 1e-9), 50.0)
    return scaled, float(values.sum() / max(np.trace(products), 1e-12))


def groups(points: Sequence[Mapping[str, Any]], by: Callable[[Mapping[str, Any]], Any]) -> list[dict[str, Any]]:
    """The largest groups, in order, and the others as one without a name: which images, where on the map, the region
    of most of them, and which other group is nearest.
    """
    sizes = collections.Counter(by(point) for point in points)
    named = sorted(name for name, _ in sizes.most_common(GROUPS))
    found = []
    for name in [*named, None]:
        members = [point for point in points if (by(point) if by(point) in named else None) == name]
        if members:
            found.append({"name": name, "images": len(members), **_place(members), "points": members})
    for group in found:
        others = [one for one in found if one is not group and one["name"] is not None]
        nearest = min(others, key=lambda one: np.hypot(*np.subtract(one["centre"], group["centre"])), default=None)
        group["nearest"] = nearest and nearest["name"]
    return found


def _by(colour: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda point: point["drop_at" if colour == "drop" else "label"]


def _place(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    places = np.array([(point["x"], point["y"]) for point in points])
    (left, bottom), (right, top) = np.percentile(places, MIDDLE, axis=0).round(1).tolist()
    x, y = np.median(places, axis=0).tolist()
    return {"centre": (x, y), "where": _where(x, y), "region": Region(left, right, bottom, top)}


def _where(x: float, y: float) -> str:
    """A place in percent, in words."""
    across, up = ("left", "", "right")[min(int(x * 3 / 100), 2)], ("lower", "", "upper")[min(int(y * 3 / 100), 2)]
    return f"{up} {across}".strip() or "middle"
