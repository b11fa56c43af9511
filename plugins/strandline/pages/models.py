"""Which versions there are, what each can do, where it comes from, and how two of them differ."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import HTTPException, Path, Query

from strandline import ledger
from strandline.pages import lineage, measurements
from strandline.pages.rooms import Facts, Room, reading

GATES = 20
COMPARED_IMAGES = 10_000  # at least, if there are so many: the newest
DISAGREEMENTS = 1000  # of which the labels are looked up
SAMPLE = 24  # of which the images are shown
room = Room("promote_model")

Version = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$")]
Asked = Annotated[str | None, Query(pattern=r"^([0-9a-f]{8,64})?$")]


@room.show("/models", "models.html")
def models() -> Facts:
    """All versions, the champion's history, and which version came of which."""
    with reading() as connection:
        versions = ledger.fetch(connection, "select_versions")
        history = ledger.fetch(connection, "select_champion_history", {"version": None})
    return {"versions": versions, "history": history, "timeline": _timeline(history), "rows": lineage.arrange(versions)}


@room.show("/models/compare", "compare.html")
def compare(one: Asked = None, other: Asked = None) -> Facts:
    """Two versions side by side, and what they said of the same images.

    Raises:
        HTTPException: there is no such version.
    """
    with reading() as connection:
        versions = ledger.fetch(connection, "select_versions")
        if not one or not other:
            return {"versions": versions, "pair": None, "differences": None, "same": None}
        pair = [_version(connection, _full(connection, version)) for version in (one, other)]
        same = _same_images(connection, versions, *(version["version"] for version in pair))
    return {"versions": versions, "pair": pair, "differences": _differences(*pair), "same": same}


@room.show("/models/{version}", "model.html")
def model(version: Version) -> Facts:
    """The card of one version.

    Raises:
        HTTPException: there is no such version, or what is given are the first digits of one: it names all of them.
    """
    with reading() as connection:
        full = _full(connection, version)
        if full != version:
            raise HTTPException(307, headers={"location": full})
        key = {"version": version}
        origin = next(iter(ledger.fetch(connection, "select_version_lineage", key)), None)
        sets = [origin[name] for name in ("training_set", "holdout", "recent_set")] if origin else []
        found = ledger.fetch(connection, "select_lineage_datasets", {"datasets": sets})
        return {
            "model": _version(connection, version),
            "lineage": origin,
            "children": ledger.fetch(connection, "select_version_children", key),
            "datasets": {row["dataset_id"]: row for row in found},
            "gates": ledger.fetch(connection, "select_version_gates", key | {"limit": GATES}),
            "parity": ledger.fetch(connection, "select_version_parity", key),
            "periods": ledger.fetch(connection, "select_champion_history", key),
            "champion": next(iter(ledger.fetch(connection, "select_champion_in_use")), None),
        }


def _full(connection: ledger.Connection, version: str) -> str:
    found = ledger.fetch(connection, "select_full_versions", {"prefix": version})
    if not found:
        raise HTTPException(404, f"there is no model version {version}")
    if len(found) > 1:
        raise HTTPException(404, f"several model versions begin with {version}: give more digits")
    return str(found[0]["version"])


def _version(connection: ledger.Connection, version: str) -> dict[str, Any]:
    (row,) = ledger.fetch(connection, "select_version", {"version": version})
    measured = measurements.read(row.pop("metrics"), row["classes"])
    return row | {"measured": measured, "confused": measured.confused(row["classes"])}


def _same_images(
    connection: ledger.Connection, versions: Sequence[dict[str, Any]], one: str, other: str
) -> dict[str, Any]:
    """What two versions said of the same images: of the newest ones of the version that classified fewer, where the
    share that the other one knows is largest.
    """
    classified = {row["version"]: row["classified"] for row in versions}
    turned = classified[other] < classified[one]
    first, second = (other, one) if turned else (one, other)
    newest = ledger.fetch(connection, "select_newest_runs", {"version": first, "images": COMPARED_IMAGES})
    asked = {"runs": [row["run_id"] for row in newest], "one": first, "other": second}
    counts = ledger.fetch(connection, "count_prediction_pairs", asked)
    pairs = ledger.fetch(connection, "select_disagreements", asked | {"limit": DISAGREEMENTS})
    if turned:
        counts, pairs = [_turn(row) for row in counts], [_turn(row) for row in pairs]
    known = [pair for pair in pairs if pair["label"] is not None]
    return {
        "looked_through": first,
        "all": classified[first] <= COMPARED_IMAGES,
        "images": sum(row["images"] for row in counts),
        "agree": sum(row["images"] for row in counts if row["agree"]),
        "disagreements": [row for row in counts if not row["agree"]],
        "looked_up": len(pairs),
        "known": len(known),
        "one_right": sum(pair["label"] == pair["one_label"] for pair in known),
        "other_right": sum(pair["label"] == pair["other_label"] for pair in known),
        "sample": pairs[:SAMPLE],
    }


def _turn(row: dict[str, Any]) -> dict[str, Any]:
    """The same, from the side of the other version."""
    sides = {"one_": "other_", "other_": "one_"}
    swapped = {}
    for name, value in row.items():
        side = next((side for side in sides if name.startswith(side)), "")
        swapped[sides.get(side, "") + name.removeprefix(side)] = value
    return swapped


def _differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """By what the other version differs from the first: its numbers, its recall by class, what it takes for what."""
    before, after = one["measured"], other["measured"]
    recalls = dict(before.recall), dict(after.recall)
    changed = dict(before.robustness), dict(after.robustness)
    same_classes = one["classes"] == other["classes"] and before.confusion and after.confusion
    return {
        "recall": [_row(name, *(side.get(name) for side in recalls)) for name in recalls[0] | recalls[1]],
        "robustness": [_row(name, *(side.get(name) for side in changed)) for name in changed[0] | changed[1]],
        "confusion": [
            [new - old for old, new in zip(*rows, strict=True)]
            for rows in zip(before.shares(), after.shares(), strict=True)
        ]
        if same_classes
        else [],
    }


def _row(name: str, one: float | None, other: float | None) -> dict[str, Any]:
    difference = None if one is None or other is None else other - one
    return {"name": name, "one": one, "other": other, "difference": difference}


def _timeline(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each version that was champion, its periods by their place between the first moment and now, in percent."""
    if not history:
        return []
    now = datetime.datetime.now(datetime.UTC)
    begin = min(period["since"] for period in history)
    whole = max((now - begin).total_seconds(), 1.0)
    versions: dict[str, dict[str, Any]] = {}
    for period in reversed(history):
        row = versions.setdefault(
            period["version"], {"version": period["version"], "model": period["model"], "bars": []}
        )
        until = period["until"] or now
        start = (period["since"] - begin).total_seconds() / whole
        row["bars"].append(
            period | {"start": 100 * start, "width": 100 * (until - period["since"]).total_seconds() / whole}
        )
    return list(versions.values())
