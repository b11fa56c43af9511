"""Numbers over windows, and what took how long, as inline SVG in the page's own colours.

Of windows, the first row is the newest and stands right.
"""

import dataclasses
import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from strandline.html.document import text

LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 40, 390, 8, 140, 400, 146
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
TICKS = 5
LANE, AXIS = 10, 1000  # of bars: the height of one, and the width of all
LONGEST = 300  # characters that a bar says
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Series:
    """A number of each row, by the name of its column; `_low` and `_high` behind it name its interval.

    Args:
        points: alone, each with its interval as a line; else they are joined, and the interval is an area.
        marked: the column that tells which rows stand out.
    """

    name: str
    column: str
    points: bool = False
    marked: str | None = None


def label_shift(rows: Sequence[Row], threshold: float) -> Markup:
    series = Series("share of the images in other classes", "label_shift_distance", marked="label_shift")
    return _chart("Mix of classes", rows, [series], _percent, threshold)


def embedding_drift(rows: Sequence[Row], threshold: float) -> Markup:
    series = Series("distance of the images from the reference", "embedding_drift_distance", marked="embedding_drift")
    return _chart("Images", rows, [series], "{:.2f}".format, threshold)


def accuracy(rows: Sequence[Row]) -> Markup:
    estimated = Series("estimated", "estimated_accuracy", marked="accuracy_fell")
    return _chart("Accuracy", rows, [estimated, Series("by labels", "realized_accuracy", points=True)], _percent, None)


def bars(lanes: Sequence[Sequence[Row]], begin: datetime.datetime, end: datetime.datetime, label: str) -> Markup:
    """A lane a row, and in it a bar from each `start` to its `end`, of the class `kind`; `says` is shown on hover, and
    beside the chart on focus.
    """
    whole = max((end - begin).total_seconds(), 1e-3)

    def x(at: datetime.datetime) -> float:
        return round(AXIS * (at - begin).total_seconds() / whole, 1)

    drawing = [
        Markup('<line class="grid" x1="{}" x2="{}" y1="0" y2="100%"/>').format(10 * place, 10 * place)
        for place, _ in ticks(whole)
    ]
    for number, lane in enumerate(lanes):
        drawing += [
            Markup(
                '<rect class="{}" tabindex="0" role="img" aria-label="{}" x="{}" y="{}" width="{}" height="{}">'
                "<title>{}</title></rect>"
            ).format(
                bar["kind"],
                says := Markup(text(bar["says"], LONGEST)),
                x(bar["start"]),
                LANE * number + 1,
                max(round(x(bar["end"]) - x(bar["start"]), 1), 2),
                LANE - 2,
                says,
            )
            for bar in lane
        ]
    return Markup(
        '<svg class="bars" role="group" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none"'
        ' style="height: {}rem">{}</svg>'
    ).format(label, AXIS, LANE * len(lanes), len(lanes), Markup("").join(drawing))


def ticks(whole: float) -> list[tuple[float, int]]:
    """Of an axis of so many seconds: where its ticks stand, in percent, and their seconds."""
    step = next((step for step in SECONDS if whole <= step * TICKS), SECONDS[-1])
    return [(round(100 * at / whole, 2), at) for at in range(0, int(whole) + 1, step)]


def _chart(
    title: str,
    rows: Sequence[Row],
    series: Sequence[Series],
    write: Callable[[float], str],
    threshold: float | None,
) -> Markup:
    rows = rows[::-1]
    found = [value for one in series for row in rows for value in _values(row, one)]
    if not found:
        return Markup(
            '<figure class="card"><h3>{}</h3><p class="soft">None of these windows was measured.</p></figure>'
        ).format(title)
    low, high, step = _axis(found, threshold)

    def y(value: float) -> float:
        return round(BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP), 2)

    def x(number: int) -> float:
        return round(LEFT + (number + 0.5) / len(rows) * (RIGHT - LEFT), 2)

    levels = (low + number * step for number in range(round((high - low) / step) + 1))
    drawing = [_level(y(at), write(at)) for at in levels]
    if threshold is not None:
        drawing.append(
            Markup('<line class="threshold" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                LEFT, RIGHT, y(threshold), y(threshold)
            )
        )
    for one in series:
        drawing += _marks(rows, one, x, y, write)
    legend = [_key(one) for one in series]
    if threshold is not None:
        legend.append(
            _legend(
                '<line class="threshold" x1="0" x2="20" y1="7" y2="7"/>',
                f"smaller is not worth a word ({write(threshold)})",
            )
        )
    if any(one.marked for one in series):
        legend.append(_legend('<path class="marked" d="M10 1L16 12H4Z"/>', "beyond chance"))
    label = f"{title} in {len(rows)} windows: " + "; ".join(_summary(rows, one, write) for one in series)
    return Markup(
        '<figure class="card"><h3>{}</h3><svg class="plot" role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>'
        "<figcaption>{}</figcaption></figure>"
    ).format(title, label, WIDTH, HEIGHT, Markup("").join(drawing), Markup("").join(legend))


def _level(y: float, says: str) -> Markup:
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="soft" x="{}" y="{}" text-anchor="end">{}</text>'
    ).format(LEFT, RIGHT, y, y, LEFT - 6, y + 4, says)


def _values(row: Row, series: Series) -> list[float]:
    columns = (series.column, f"{series.column}_low", f"{series.column}_high")
    return [row[column] for column in columns if row.get(column) is not None]


def _axis(found: Sequence[float], threshold: float | None) -> tuple[float, float, float]:
    """The lowest and the highest level, and what is between two."""
    least, most = min(found), max(*found, threshold or 0.0)
    if threshold is not None:
        least = 0.0
    step = next((step for step in STEPS if most - least <= step * (TICKS - 1)), STEPS[-1])
    low = math.floor(least / step + 1e-9) * step
    return low, max(math.ceil(most / step - 1e-9) * step, low + step), step


def _marks(
    rows: Sequence[Row],
    series: Series,
    x: Callable[[int], float],
    y: Callable[[float], float],
    write: Callable[[float], str],
) -> list[Markup]:
    measured = [(number, row) for number, row in enumerate(rows) if row[series.column] is not None]
    low, high = f"{series.column}_low", f"{series.column}_high"
    drawing = []
    if not series.points:
        for run in _runs(measured):
            above = [f"{x(number)} {y(row[high])}" for number, row in run if row.get(high) is not None]
            below = [f"{x(number)} {y(row[low])}" for number, row in reversed(run) if row.get(low) is not None]
            if above and below:
                drawing.append(Markup('<path class="area" d="M{}Z"/>').format("L".join(above + below)))
            drawing.append(
                Markup('<path class="now" d="M{}"/>').format(
                    "L".join(f"{x(number)} {y(row[series.column])}" for number, row in run)
                )
            )
    for number, row in measured:
        kind, at = ("truth" if series.points else "now"), (x(number), y(row[series.column]))
        if series.points and row.get(low) is not None:
            drawing.append(Markup('<path class="truth" d="M{} {}V{}"/>').format(at[0], y(row[low]), y(row[high])))
        if series.marked and row[series.marked]:
            mark = Markup('<path class="marked" d="M{} {}l5 9h-10z">{}</path>')
            drawing.append(mark.format(at[0], at[1] - 5.5, _title(row, series, write)))
        else:
            drawing.append(
                Markup('<circle class="{}" cx="{}" cy="{}" r="2">{}</circle>').format(
                    kind, *at, _title(row, series, write)
                )
            )
    return drawing


def _runs(measured: Sequence[tuple[int, Row]]) -> list[list[tuple[int, Row]]]:
    """Parts without a window between that was not measured."""
    runs: list[list[tuple[int, Row]]] = []
    for number, row in measured:
        if runs and runs[-1][-1][0] == number - 1:
            runs[-1].append((number, row))
        else:
            runs.append([(number, row)])
    return runs


def _title(row: Row, series: Series, write: Callable[[float], str]) -> Markup:
    start = row["window_start"].astimezone(datetime.UTC)
    return Markup("<title>{:%Y-%m-%d %H:%M} UTC: {} {}</title>").format(
        start, series.name, _written(row, series, write)
    )


def _written(row: Row, series: Series, write: Callable[[float], str]) -> str:
    value, *interval = _values(row, series)
    return f"{write(value)} ({' to '.join(map(write, interval))})" if interval else write(value)


def _summary(rows: Sequence[Row], series: Series, write: Callable[[float], str]) -> str:
    last = next((row for row in reversed(rows) if row[series.column] is not None), None)
    return f"{series.name}, " + (f"last {_written(last, series, write)}" if last else "never measured")


def _key(series: Series) -> Markup:
    mark = (
        '<path class="truth" d="M10 0V14"/><circle class="truth" cx="10" cy="7" r="2.5"/>'
        if series.points
        else '<path class="now" d="M0 7H20"/><circle class="now" cx="10" cy="7" r="2"/>'
    )
    return _legend(mark, series.name)


def _legend(mark: str, name: str) -> Markup:
    return Markup('<span class="key"><svg viewBox="0 0 20 14" aria-hidden="true">{}</svg>{}</span>').format(
        Markup(mark), name
    )


def _percent(value: float) -> str:
    return f"{value:.0%}"
