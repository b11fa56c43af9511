"""Evidently's comparison of a window with the reference, column by column: for orientation, and for a look at each
distribution. The verdict comes from `detectors`, not from here.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

import strandline_contract as contract

NUMBERS = (*contract.IMAGE_STATISTICS, "width", "height", "aspect", "bytes", "confidence", "margin", "entropy")
LABEL = "label"
SHOWN_CLASSES = 3  # in a sentence


@dataclass(frozen=True)
class ColumnDrift:
    """A distance between the columns of both sides, and whether it reaches the threshold. `problem` says why there is
    no score or why it is not judged, or what was left out.
    """

    column: str
    method: str
    threshold: float
    score: float | None = None
    drifted: bool | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Evidently's page and its result; empty if no column could be compared."""

    html: str
    columns: tuple[ColumnDrift, ...]
    snapshot: dict[str, Any]


def compare(reference: pd.DataFrame, current: pd.DataFrame) -> Comparison:
    """Compare NUMBERS and LABEL; other columns of the frames are ignored.

    Methods and thresholds are the same for all windows. Evidently's own choice changes with the number of rows, from
    p-values, which call any difference drift in a large window, to distances. Distances are of another kind of trouble
    in a small window: noise alone adds to them (see `_by_chance`). There the score is given but not judged.

    All rows are used: Evidently's page holds histograms, not rows, so its size does not grow with them.
    """
    sides = {column: (_values(reference, column), _values(current, column)) for column in (*NUMBERS, LABEL)}
    obstacles = {column: _obstacle(*side, text=column == LABEL) for column, side in sides.items()}
    usable = [column for column, obstacle in obstacles.items() if not obstacle]
    html, snapshot = _evidently({column: sides[column] for column in usable}) if usable else ("", {})
    scores = {
        one["config"]["column"]: float(one["value"]) for one in snapshot.get("metrics", ()) if "column" in one["config"]
    }
    columns = tuple(
        _judged(column, *side, scores[column])
        if column in scores
        else ColumnDrift(column, *_method(column), problem=obstacles[column])
        for column, side in sides.items()
    )
    return Comparison(html, columns, snapshot)


def _method(column: str) -> tuple[str, float]:
    """A distance and its threshold: in standard deviations of the reference, or from 0 (same shares) to 0.83."""
    return ("jensenshannon", 0.15) if column == LABEL else ("wasserstein", 0.2)


def _values(frame: pd.DataFrame, column: str) -> "pd.Series[Any]":
    """A column as Evidently can take it: finite numbers, or harmless text; missing if it is neither."""
    if column not in frame:
        return pd.Series(np.nan, index=range(len(frame)))
    series = frame[column].reset_index(drop=True)
    if column == LABEL:
        return series.astype(object).map(lambda name: _harmless(str(name)), na_action="ignore")
    return pd.to_numeric(series, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)


def _harmless(name: str) -> str:
    """A class as text that means nothing to HTML: Evidently writes it into a script of its page as it is. What has a
    meaning there, or cannot be shown, is escaped; so is the backslash, so that different names stay different.
    """
    return re.sub(r"[<>\\]|&(?=#?\w+;)|[^ -~]", _escaped, name)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in "<>&\\":
        return f"\\x{ord(character):02x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _obstacle(reference: "pd.Series[Any]", current: "pd.Series[Any]", text: bool) -> str | None:
    """Why the values cannot be compared, for people."""
    empty = [name for name, side in (("reference", reference), ("window", current)) if not side.count()]
    if empty:
        return f"The {' and the '.join(empty)} has no values."
    if not text and reference.nunique() == 1:
        least, most = current.min(), current.max()
        window = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
        return f"The reference has only {reference.max():.4g}: no scale to measure on. The window has {window}."
    return None


def _judged(column: str, reference: "pd.Series[Any]", current: "pd.Series[Any]", score: float) -> ColumnDrift:
    method, threshold = _method(column)
    notes = [
        f"{side.isna().sum():,} of {len(side):,} values of the {name} are missing or not finite, and left out."
        for name, side in (("reference", reference), ("window", current))
        if side.hasnans
    ]
    if column == LABEL and (new := sorted(set(current.dropna()) - set(reference.dropna()))):
        more = f" and {len(new) - SHOWN_CLASSES:,} more" if len(new) > SHOWN_CLASSES else ""
        notes.append(f"The reference has no {', '.join(new[:SHOWN_CLASSES])}{more}.")
    enough = (by_chance := _by_chance(reference.dropna(), current.dropna(), column == LABEL)) <= threshold / 2
    if not enough:
        notes.append(f"In so few images, chance alone makes a distance of about {by_chance:.2f}.")
    return ColumnDrift(
        column, method, threshold, score, score >= threshold if enough else None, " ".join(notes) or None
    )


def _by_chance(reference: "pd.Series[Any]", current: "pd.Series[Any]", text: bool) -> float:
    """The mean distance between samples of these sizes if nothing changed.

    Wasserstein: the limit is the integral of the absolute Brownian bridge at F, of which the mean at each point is
    sqrt(2 F (1 - F) / pi) (del Barrio, Giné, Matrán, "Central Limit Theorems for the Wasserstein Distance Between the
    Empirical and the True Distributions", Annals of Probability 27, 1999). Jensen-Shannon: an eighth of chi-square for
    near distributions (Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory
    37, 1991, by Taylor's series). On windows of the first champion's reference, from 50 to 1,000 images, both are right
    within a sixth, and 1 of 100 unchanged windows has more than two to three times this distance (of classes, more than
    one and a half times). So if a threshold is twice this or more, chance seldom reaches it: with ten classes, from
    some 200 images on.
    """
    per_row = 1 / len(reference) + 1 / len(current)
    if text:
        return math.sqrt((len({*reference, *current}) - 1) / 8 * per_row)
    values = np.sort(reference)
    below = np.arange(1, len(values)) / len(values)
    spread = (np.sqrt(below * (1 - below)) * np.diff(values)).sum() / max(values.std(), 0.001)  # as Evidently scales
    return math.sqrt(2 / math.pi * per_row) * float(spread)


def _evidently(sides: Mapping[str, "tuple[pd.Series[Any], pd.Series[Any]]"]) -> tuple[str, dict[str, Any]]:
    """Evidently's page, and its result as JSON says it."""
    os.environ.setdefault("DO_NOT_TRACK", "true")  # read at the import
    columns = list(sides)
    definition = DataDefinition(
        numerical_columns=[column for column in columns if column != LABEL],
        categorical_columns=[column for column in columns if column == LABEL],
    )
    reference, current = (
        Dataset.from_pandas(pd.DataFrame({column: sides[column][side] for column in columns}), definition)
        for side in (0, 1)
    )
    drift = DataDriftPreset(
        columns=columns,
        per_column_method={column: _method(column)[0] for column in columns},
        per_column_threshold={column: _method(column)[1] for column in columns},
    )
    with np.errstate(invalid="ignore"):  # Evidently correlates the columns with each other, and one may not vary
        snapshot = Report([drift]).run(current, reference)
        return snapshot.get_html_str(as_iframe=False), json.loads(snapshot.json())
