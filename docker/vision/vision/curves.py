"""Learning curves as a picture: one SVG, with no script and nothing from elsewhere."""

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, GAP = 300, 180, 70  # of a panel, and around it
LINES = {  # a panel: its lines, as name of the row's number, what it is called, colour
    "Loss": (("loss", "learnt from", "#8c8c8c"), ("validation_loss", "held back", "#1f5fa8")),
    "Accuracy": (("accuracy", "learnt from", "#8c8c8c"), ("validation_accuracy", "held back", "#1f5fa8")),
    "Learning rate": (("lr", "", "#1f5fa8"),),
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
        ' font-family="sans-serif" font-size="12" fill="#333">'
        f"<title>Learning curves of {len(rows)} epochs; epoch {best} was kept</title>"
        f'<rect width="{wide}" height="{high}" fill="#fff"/>{"".join(panels)}</svg>\n'
    )


def _panel(
    rows: Sequence[dict[str, Any]], best: int, title: str, lines: Sequence[tuple[str, str, str]], left: int
) -> str:
    drawn = [(name, called, colour) for name, called, colour in lines if name in rows[0]]
    values = [row[name] for row in rows for name, _, _ in drawn]
    low, high = min(values), max(values)
    span = high - low or 1.0

    def x(epoch: float) -> float:
        return left + WIDTH * (epoch - 1) / max(1, len(rows) - 1)

    def y(value: float) -> float:
        return GAP + HEIGHT * (1 - (value - low) / span)

    bottom = GAP + HEIGHT
    parts = [
        f'<text x="{left}" y="{GAP - 34}" font-size="14" font-weight="bold">{title}</text>',
        f'<path d="M{left} {GAP}V{bottom}H{left + WIDTH}" fill="none" stroke="#999"/>',
        *(_text(left - 6, y(value) + 4, f"{value:.3g}", "end") for value in (low, high)),
        *(_text(x(epoch), bottom + 18, str(epoch), "middle") for epoch in {1, len(rows)} - {best}),
        _text(x(best), bottom + 18, f"{best} kept", "middle"),
        _text(left + WIDTH / 2, bottom + 36, "epoch", "middle"),
        f'<path d="M{x(best):.1f} {GAP}V{bottom}" stroke="#c0392b" stroke-dasharray="4 3"/>',
    ]
    for number, (name, called, colour) in enumerate(drawn):
        points = " ".join(f"{x(epoch):.1f},{y(row[name]):.1f}" for epoch, row in enumerate(rows, start=1))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += (
            [f'<circle cx="{x(1):.1f}" cy="{y(rows[0][name]):.1f}" r="3" fill="{colour}"/>'] if len(rows) == 1 else []
        )
        if called:
            parts.append(f'<text x="{left + 90 * number}" y="{GAP - 14}" fill="{colour}">{called}</text>')
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
