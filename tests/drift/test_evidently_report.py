"""Evidently's comparison of columns: pinned, guarded, and harmless whatever the classes are called."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from strandline.drift.evidently_report import LABEL, NUMBERS, ColumnDrift, Comparison, compare

CLASSES = ["cat", "dog", "ship"]
HOSTILE = "</script><script>alert(1)</script>"


def frame(rows, seed=0, **columns):
    rng = np.random.default_rng(seed)
    values = {column: rng.normal(size=rows) for column in NUMBERS} | {LABEL: rng.choice(CLASSES, rows)}
    return pd.DataFrame(values | columns)


def compared(current, reference=None):
    comparison = compare(frame(5000, seed=1) if reference is None else reference, current)
    assert [column.column for column in comparison.columns] == [*NUMBERS, LABEL]
    assert {one.method for one in comparison.columns} == {"wasserstein", "jensenshannon"}
    json.dumps([comparison.snapshot, [vars(one) for one in comparison.columns]], allow_nan=False)
    return {one.column: one for one in comparison.columns}, comparison


@pytest.mark.parametrize("rows", [400, 6000])
def test_methods_and_thresholds_are_the_same_for_any_number_of_rows(rows):
    columns, comparison = compared(frame(rows, brightness=np.random.default_rng(2).normal(0.5, size=rows)))

    assert {metric["config"].get("method") for metric in comparison.snapshot["metrics"][1:]} == {
        "wasserstein",
        "jensenshannon",
    }
    assert [(column.method, column.threshold) for column in comparison.columns] == [("wasserstein", 0.2)] * 11 + [
        ("jensenshannon", 0.15)
    ]
    assert columns["brightness"].score == pytest.approx(0.5, abs=0.1)
    assert [name for name, one in columns.items() if one.drifted] == ["brightness"]
    assert all(one.problem is None for one in comparison.columns)


@pytest.mark.parametrize("rows", [1, 40])
def test_a_small_window_is_scored_but_not_judged(rows):
    columns, _ = compared(frame(rows))
    assert all(column.score is not None and column.drifted is None for column in columns.values())
    assert "In so few images, chance alone" in columns["entropy"].problem


@pytest.mark.parametrize("column", ["contrast", LABEL])
def test_distance_by_chance_is_about_what_unchanged_windows_have(column):
    columns, _ = compared(frame(40))
    foretold = float(re.search(r"about ([\d.]+)\.", columns[column].problem)[1])
    rng, reference = np.random.default_rng(3), frame(5000)[column]
    scores = []
    for _ in range(100):
        current = rng.choice(CLASSES, 40) if column == LABEL else rng.normal(size=40)
        scores.append(distance(reference, pd.Series(current)))
    assert np.mean(scores) == pytest.approx(foretold, rel=0.15)


def distance(reference, current):
    """As Evidently measures it."""
    from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    if current.dtype == float:
        return wasserstein_stat_test(reference, current, ColumnType.Numerical, 1).drift_score
    return jensenshannon_stat_test(reference, current, ColumnType.Categorical, 1).drift_score


GUARDED = {
    "missing": (frame(500).drop(columns="width"), None, "width", "The window has no values."),
    "all NaN": (frame(500, width=np.nan), None, "width", "The window has no values."),
    "all infinite": (frame(500, width=np.inf), None, "width", "The window has no values."),
    "no class": (frame(500, label=None), None, LABEL, "The window has no values."),
    "missing in the reference": (
        frame(500),
        frame(500).drop(columns=LABEL),
        LABEL,
        "The reference has no values.",
    ),
    "missing in both": (
        frame(500, margin=np.nan),
        frame(500, margin=np.nan),
        "margin",
        "The reference and the window has no values.",
    ),
    "constant": (
        frame(500, width=32),
        frame(500, width=32),
        "width",
        "The reference has only 32: no scale to measure on. The window has 32.",
    ),
    "constant in the reference": (
        frame(500, width=[32] * 400 + [640] * 100),
        frame(500, width=32),
        "width",
        "The reference has only 32: no scale to measure on. The window has 32 to 640.",
    ),
}


@pytest.mark.parametrize(("current", "reference", "column", "problem"), GUARDED.values(), ids=GUARDED)
def test_a_column_that_cannot_be_compared_is_left_out_and_says_why(current, reference, column, problem):
    columns, comparison = compared(current, reference)
    method, threshold = ("jensenshannon", 0.15) if column == LABEL else ("wasserstein", 0.2)
    assert columns[column] == ColumnDrift(column, method, threshold, None, None, problem)
    assert sum(one.score is not None for one in columns.values()) == len(NUMBERS)
    assert "<script" in comparison.html


@pytest.mark.parametrize(
    ("changed", "column", "problem"),
    [
        (
            {"bytes": [np.inf, -np.inf, np.nan] + [0.1, -0.1] * 300},
            "bytes",
            "3 of 603 values of the window are missing or not finite, and left out.",
        ),
        ({LABEL: ["cat", None, "dog"] * 201}, LABEL, "201 of 603 values of the window are missing or not finite"),
        ({LABEL: ["cat", "dog", "fox"] * 201}, LABEL, "The reference has no fox."),
        ({LABEL: [str(number) for number in range(603)]}, LABEL, "The reference has no 0, 1, 10 and 600 more."),
    ],
)
def test_a_column_with_oddities_is_compared_with_a_note(changed, column, problem):
    columns, _ = compared(frame(603, **changed))
    assert columns[column].score > 0.15
    assert columns[column].problem.startswith(problem)


@pytest.mark.parametrize("changed", [{"brightness": 3.0}, {LABEL: "cat"}])
def test_a_window_of_one_value_has_drifted(changed):
    (column,) = changed
    assert compared(frame(500, **changed))[0][column].drifted is True


@pytest.mark.parametrize(("reference", "current"), [(500, 0), (0, 500), (0, 0)])
def test_without_rows_there_is_nothing_to_compare(reference, current):
    columns, comparison = compared(frame(current), frame(reference))
    assert comparison == Comparison("", tuple(columns.values()), {})
    assert all(column.problem and column.score is None and column.drifted is None for column in columns.values())


def test_a_class_is_no_part_of_the_page():
    names = [HOSTILE, "<!--<script>", "&#x22;", "R&D", "\u202egnp", "bl\xe5", "\x1b[31m"]
    columns, comparison = compared(frame(700, **{LABEL: names * 100}))
    assert comparison.html.count("</script>") == 4
    assert "alert(1)" in comparison.html
    assert not any(name in comparison.html for name in names[:3] + names[4:])
    assert "R&D" in comparison.html
    assert columns[LABEL].problem == r"The reference has no R&D, \u202egnp, \x1b[31m and 4 more."


def test_different_classes_stay_different():
    names = ["<", "\\x3c"]
    columns, _ = compared(frame(500, **{LABEL: ["<"] * 500}), frame(500, **{LABEL: names * 250}))
    assert columns[LABEL].drifted is True


LARGE = """
import json, pathlib, socket
import numpy as np, pandas as pd
from strandline.drift.evidently_report import LABEL, NUMBERS, compare
def refuse(*_): raise AssertionError("Evidently wants to go online")
socket.socket.connect = socket.getaddrinfo = refuse
rng = np.random.default_rng(0)
reference, current = (
    pd.DataFrame({column: rng.normal(size=rows) for column in NUMBERS} | {LABEL: rng.choice(list("abcdefghij"), rows)})
    for rows in (5_000, 100_000)
)
html = compare(reference, current).html
# Of this process alone: what getrusage gives is also that of the process which started it.
peak = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(json.dumps([int(peak) / 1024, len(html)]))
"""


def test_a_large_window_is_compared_in_bounds_and_offline():
    plugins = Path(__file__).parents[2] / "plugins"
    done = subprocess.run(
        [sys.executable, "-c", LARGE], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(plugins)}
    )
    megabytes, length = json.loads(done.stdout)
    assert megabytes < 800
    assert length < 5_000_000
    assert done.stderr == ""
