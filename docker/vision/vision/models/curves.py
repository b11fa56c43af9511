"""Learning curves as a drawing: one SVG, with no script and nothing from elsewhere."""

import math
from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, GAP = 300, 180, 70  # of a panel, and around it
TICKS = 5  # of an axis, at the most one more
STYLE = """
rect { fill: #fff } text { fill: #333 } .axis, .tick { stroke: #999 } .grid { stroke: #e4e4e4 }
.kept { stroke: #c0392b } .learnt { stroke: #767676 } .held { stroke: #1f5fa8 }
@media (prefers-color-scheme: dark) {
  rect { fill: #1a2229 } text { fill: #e6ebef } .axis, .tick { stroke: #7d8a96 } .grid { stroke: #2d3841 }
  .kept { stroke: #ff9c94 } .learnt { stroke: #9aa7b3 } .held { stroke: #7ab8e0 }
}
"""
LINES = {  # a panel: its lines, as name of the row's number, what it is called, class in STYLE
    "Loss": (("loss", "learnt from", "learnt"), ("validation_loss", "held back", "held")),
    "Accuracy": (("accuracy", "learnt from", "learnt"), ("validation_accuracy", "held back", "held")),
    "Learning rate": (("lr", "", "held"),),
}


def plot(rows: Sequence[dict[str, Any]], best: int) -> str:
    """Loss, accuracy and learning rate by epoch; a dashed line marks the epoch whose weights were kept."""
    panels = [
        _panel(rows, best, title, lines, GAP + number * (WIDTH + GAP))
        for number, (title, lines) in enumerate(LINES.items())
    ]
    wide, high = len(LINES) * (WIDTH + GAP) + GAP, HEIGHT + 2 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
        f' font-family="sans-serif" font-size="12"><style>{STYLE}</style>'
        f"<title>Learning curves of {len(rows)} epochs; epoch {best} was kept</title>"
        f'<rect width="{wide}" height="{high}"/>{"".join(panels)}</svg>\n'
    )


def _panel(
    rows: Sequence[dict[str, Any]], best: int, title: str, lines: Sequence[tuple[str, str, str]], left: int
) -> str:
    drawn = [(name, called, colour) for name, called, colour in lines if name in rows[0]]
    values: list[float] = [row[name] for row in rows for name, _, _ in drawn]
    low, high = min(values), max(values)
    span = high - low or 1.0

    def x(epoch: float) -> float:
        return left + WIDTH * (epoch - 1) / max(1, len(rows) - 1)

    def y(value: float) -> float:
        return GAP + HEIGHT * (1 - (value - low) / span)

    bottom = GAP + HEIGHT
    parts = [f'<text x="{left}" y="{GAP - 34}" font-size="14" font-weight="bold">{title}</text>']
    for value in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{left} {y(value):.1f}H{left + WIDTH}"/>')
        parts += [f'<path class="tick" d="M{left - 4} {y(value):.1f}H{left}"/>', _text(left - 8, y(value) + 4, value)]
    for epoch in sorted({round(tick) for tick in _ticks(1, len(rows))} | {1}):
        parts += [f'<path class="tick" d="M{x(epoch):.1f} {bottom}v4"/>', _text(x(epoch), bottom + 18, epoch, "middle")]
    parts += [
        f'<path class="axis" d="M{left} {GAP}V{bottom}H{left + WIDTH}" fill="none"/>',
        _text(left + WIDTH / 2, bottom + 36, "epoch", "middle"),
        f'<path class="kept" d="M{x(best):.1f} {GAP}V{bottom}" stroke-dasharray="4 3"/>',
        _text(x(best), GAP - 4, f"{best} kept", "middle"),
    ]
    for number, (name, called, colour) in enumerate(drawn):
        points = " ".join(f"{x(epoch):.1f},{y(row[name]):.1f}" for epoch, row in enumerate(rows, start=1))
        parts.append(f'<polyline class="{colour}" points="{points}" fill="none" stroke-width="2"/>')
        if len(rows) == 1:
            parts.append(f'<circle class="{colour}" cx="{x(1):.1f}" cy="{y(rows[0][name]):.1f}" r="2"/>')
        if called:
            at = left + 110 * number
            parts.append(f'<path class="{colour}" d="M{at} {GAP - 22}h16" stroke-width="2"/>')
            parts.append(_text(at + 22, GAP - 18, called, "start"))
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high; of a flat line its only value."""
    if high <= low:
        return [low]
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _text(x: float, y: float, says: float | str, anchor: str = "end") -> str:
    words = says if isinstance(says, str) else f"{says:.3g}"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
