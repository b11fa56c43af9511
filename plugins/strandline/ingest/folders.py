"""Folders of drops, judged one by one: one with too many broken files is set aside, and stops no other."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from strandline.scan import display_name, drop_folder, judged_folder, source

SET_ASIDE = "SET_ASIDE"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of a drop, by its path: how many of its entries this run lists, how many of them are quarantined, and
    the `limit`, the largest share that may be.

    It is `judged` if it has files enough to say something; small ones are judged if together they say something.
    """

    name: bytes
    entries: int
    quarantined: int
    limit: float
    judged: bool

    @property
    def says(self) -> str:
        share = self.quarantined / self.entries
        shown = display_name(self.name) or "the landing zone itself"
        return f"{shown} ({self.quarantined:,} of {self.entries:,} files are broken, {share:.1%})"


@dataclasses.dataclass(frozen=True)
class Tally:
    """By a folder's path: how many entries a run lists in it, and how many of these are quarantined."""

    listed: collections.Counter[bytes] = dataclasses.field(default_factory=collections.Counter)
    broken: collections.Counter[bytes] = dataclasses.field(default_factory=collections.Counter)

    def add(self, outcomes: Any) -> None:
        """Count in a table with a row an entry: `name`, and `state`."""
        for name, state in zip(outcomes["name"].to_pylist(), outcomes["state"].to_pylist(), strict=True):
            if name is not None:
                folder = judged_folder(name)
                self.listed[folder] += 1
                self.broken[folder] += state == "quarantined"


def examine(tally: Tally, limit: float, source_limits: Mapping[str, float], least: int) -> list[Folder]:
    """The folders of a run's entries, in the order of their names.

    Args:
        limit: the largest share of quarantined entries.
        source_limits: the same of the sources that have one of their own, by name.
        least: entries that a folder needs to be judged by itself. Smaller ones of a drop are judged only if together
            they have as many, and a larger share than the limit: so a little folder with one broken file is not, and a
            hundred of them are.
    """
    listed, broken = tally.listed, tally.broken
    small = [name for name, count in listed.items() if count < least]
    together: collections.Counter[bytes] = collections.Counter()
    broken_together: collections.Counter[bytes] = collections.Counter()
    for name in small:
        together[_drop(name)] += listed[name]
        broken_together[_drop(name)] += broken[name]
    limits = {drop: source_limits.get(display_name(source(drop)), limit) for drop in map(_drop, listed)}
    bad = {drop for drop, count in together.items() if count >= least and broken_together[drop] / count > limits[drop]}
    return [
        Folder(name, count, broken[name], limits[_drop(name)], count >= least or _drop(name) in bad)
        for name, count in sorted(listed.items())
    ]


def _drop(folder: bytes) -> bytes:
    return drop_folder(folder + b"/")


def frame(found: Sequence[Folder]) -> Any:
    """What `expectations.of_folders` looks at. Null, which it passes over, is a share that says little."""
    shares = [one.quarantined / one.entries if one.judged else None for one in found]
    share = pd.array(shares, "Float64").to_numpy("float64", na_value=float("nan"))
    return pd.DataFrame({"limit": pd.Series([one.limit for one in found], dtype="float64"), "share": share})


def set_aside(outcomes: Any, aside: Sequence[Folder]) -> Any:
    """The outcomes, a table with `name`, with each accepted entry of these folders quarantined, and the note on all of
    theirs that are.
    """
    if not aside:
        return outcomes
    by_name = {folder.name: folder for folder in aside}
    columns = {name: outcomes[name].to_pylist() for name in ("state", "reason", "detail", "notes")}
    state, reason, detail, notes = columns.values()
    for row, name in enumerate(outcomes["name"].to_pylist()):
        found = by_name.get(judged_folder(name)) if name is not None else None
        if found is None or state[row] not in ("accepted", "quarantined"):
            continue
        notes[row] = " ".join(filter(None, (notes[row], SET_ASIDE)))
        if state[row] == "accepted":
            state[row], reason[row] = "quarantined", SET_ASIDE
            detail[row] = f"set aside with its folder: {found.says}, and {100 * found.limit:.3g}% are allowed"
    arrays = {name: pa.array(values, outcomes.schema.field(name).type) for name, values in columns.items()}
    return pa.table({name: arrays.get(name, outcomes[name]) for name in outcomes.schema.names}, outcomes.schema)
