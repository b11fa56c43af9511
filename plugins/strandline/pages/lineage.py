"""Where versions come from, as a graph that is read from top to bottom: a row a version, its lines beside it."""

import dataclasses
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """A version in its lane. Lines pass it in the lanes `passing`, come down to it from those of its `children`, and
    go on down in its own if it has a `parent` below.
    """

    version: Mapping[str, Any]
    lane: int
    passing: list[int]
    children: list[int]
    parent: bool


def arrange(versions: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every child above its parent, else the newest first.

    Args:
        versions: with `version`, `parent` (None, or one that may be missing here) and `registered_at`.
    """
    known = {row["version"]: row for row in versions}
    waiting = Counter(row["parent"] for row in versions if row["parent"] in known)
    ready = [_key(row) for row in versions if not waiting[row["version"]]]
    heapq.heapify(ready)
    lanes: list[str | None] = []  # the version that a lane leads down to
    rows = []
    while ready:
        row = known[heapq.heappop(ready)[1]]
        children = [number for number, version in enumerate(lanes) if version == row["version"]]
        lane = children[0] if children else lanes.index(None) if None in lanes else len(lanes)
        lanes.extend([None] * (lane + 1 - len(lanes)))
        passing = [number for number, version in enumerate(lanes) if version and number not in children]
        for child in children:
            lanes[child] = None
        parent = row["parent"] if row["parent"] in known else None
        lanes[lane] = parent
        rows.append(Row(row, lane, passing, children, parent is not None))
        if parent is not None:
            waiting[parent] -= 1
            if not waiting[parent]:
                heapq.heappush(ready, _key(known[parent]))
    return rows


def _key(row: Mapping[str, Any]) -> tuple[float, str]:
    return -row["registered_at"].timestamp(), row["version"]
