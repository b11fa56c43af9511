"""The plots of a drift report: inline SVG, which is drawn in the page's own colours and needs no script.

What was before (the reference) is grey, what is now (the window) is blue.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from strandline.html.document import text

STYLE = """
svg .before { fill: var(--soft); fill-opacity: .45; stroke: none; }
svg line.before, svg path.before { stroke: var(--soft); stroke-opacity: 1; stroke-width: 3; }
svg path.before { stroke-width: 1.5; stroke-dasharray: 4 4; fill: none; }
svg .open { fill: var(--card); }
"""
WIDTH = 400  # its text is as large as the page's on a telephone, and larger on a desk
SHOWN_CLASSES = 20


def shares(mix: Mapping[str, Any], counts: Sequence[int], classes: Sequence[str]) -> str:
    """A row for each class, or for those whose shares changed most."""
    changes = [abs(share["value"] - before) for share, before in zip(mix["shares"], mix["reference"], strict=True)]
    most = sorted(range(len(changes)), key=changes.__getitem__, reverse=True)[:SHOWN_CLASSES]
    shown, total = sorted(most), max(sum(counts), 1)
    largest = max(max(mix["shares"][one]["high"], mix["reference"][one], counts[one] / total) for one in shown)
    left, top, row = 96, 8, 28
    bottom = top + row * len(shown)
    x, ticks = _axis(largest, left, WIDTH - 14)
    drawing = [_tick(x(at), bottom, top, f"{at:.0%}") for at in ticks]
    for number, one in enumerate(shown):
        y, share, name = top + row * (number + 0.5), mix["shares"][one], text(classes[one], 60)
        before, predicted = mix["reference"][one], counts[one] / total
        drawing.append(
            f"<g><title>{name}: {share['value']:.1%} ({interval(share)}), reference {before:.1%}, predicted"
            f" {predicted:.1%}</title>"
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{text(classes[one], 13)}</text>'
            f'<line class="before" x1="{x(before)}" x2="{x(before)}" y1="{y - 9}" y2="{y + 9}"/>'
            f'<path class="now" d="M{x(share["low"])} {y}H{x(share["high"])}"/>'
            f'<circle class="now open" cx="{x(predicted)}" cy="{y}" r="5"/>'
            f'<circle class="now" cx="{x(share["value"])}" cy="{y}" r="3"/></g>'
        )
    drawing.append(
        f'<text class="soft" x="{WIDTH - 14}" y="{bottom + 34}" text-anchor="end">share of the images</text>'
    )
    name, share = text(classes[most[0]], 60), mix["shares"][most[0]]
    label = (
        f"Shares of the classes. The most changed: {name}, {share['value']:.0%} ({interval(share)}) instead of"
        f" {mix['reference'][most[0]]:.0%}"
    )
    keys = {
        "reference": '<line class="before" x1="10" x2="10" y1="0" y2="14"/>',
        "this window, estimated, with 95% interval": (
            '<path class="now" d="M0 7H20"/><circle class="now" cx="10" cy="7" r="3"/>'
        ),
        "this window, as predicted": '<circle class="now open" cx="10" cy="7" r="5"/>',
    }
    title = "Share of each class" if len(shown) == len(changes) else f"The {len(shown)} classes that changed most"
    return _plot(title, keys, bottom + 38, label, drawing)


def histogram(confidence: Mapping[str, Sequence[float]]) -> str:
    edges, before, now = confidence["edges"], confidence["reference"], confidence["current"]
    left, top, bottom = 44, 26, 176
    y, ticks = _axis(max(*before, *now), bottom, top)
    x = _linear(edges[0], edges[-1], left, WIDTH - 10)
    drawing = [_level(y(at), left, f"{at:.0%}") for at in ticks]
    drawing += [
        f'<rect class="before" x="{x(low)}" y="{y(share)}" width="{x(high) - x(low):.2f}"'
        f' height="{bottom - y(share):.2f}"/>'
        for low, high, share in zip(edges[:-1], edges[1:], before, strict=True)
    ]
    steps = "".join(f"V{y(share)}H{x(high)}" for high, share in zip(edges[1:], now, strict=True))
    drawing.append(f'<path class="now" d="M{left} {bottom}{steps}V{bottom}"/>')
    drawing += [_under(x(at), bottom, f"{at:.0%}") for at in (edges[0], (edges[0] + edges[-1]) / 2, edges[-1])]
    drawing.append(_named(left, bottom, "confidence of the prediction", "share of the predictions"))
    keys = {
        "reference": '<rect class="before" width="20" height="14"/>',
        "this window": '<path class="now" d="M1 14V4H19V14"/>',
    }
    label = f"Shares of predictions by confidence. In the last bin: {now[-1]:.0%} instead of {before[-1]:.0%}"
    return _plot("How sure the model is", keys, bottom + 38, label, drawing)


def reliability(points: Sequence[Mapping[str, float]]) -> str:
    left, top, bottom = 44, 26, 206
    x, y = _linear(0, 1, left, WIDTH - 10), _linear(0, 1, bottom, top)
    drawing = [_level(y(at / 4), left, f"{at / 4:.0%}") for at in range(5)]
    drawing.append(f'<path class="before" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    drawing += [
        f"<g><title>{point['images']:,} images: {point['confidence']:.0%} sure, {point['accuracy']:.0%} right"
        f" ({interval(point)})</title>"
        f'<path class="now" d="M{x(point["confidence"])} {y(point["low"])}V{y(point["high"])}"/>'
        f'<circle class="now" cx="{x(point["confidence"])}" cy="{y(point["accuracy"])}" r="3.5"/></g>'
        for point in points
    ]
    drawing += [_under(x(at / 4), bottom, f"{at / 4:.0%}") for at in range(5)]
    drawing.append(_named(left, bottom, "how sure the model is", "how many are right"))
    keys = {
        "as sure as right": '<path class="before" d="M0 13L20 1"/>',
        "labelled images, share that is right, with 95% interval": (
            '<path class="now" d="M10 0V14"/><circle class="now" cx="10" cy="7" r="3"/>'
        ),
    }
    images, right = sum(point["images"] for point in points), sum(p["images"] * p["accuracy"] for p in points)
    sure = sum(point["images"] * point["confidence"] for point in points)
    label = (
        f"Accuracy by confidence of {images:,} labelled images: {sure / images:.0%} sure, {right / images:.0%} right"
    )
    return _plot("Is it as sure as it is right?", keys, bottom + 38, label, drawing)


def _plot(title: str, keys: Mapping[str, str], height: float, label: str, drawing: Iterable[str]) -> str:
    legend = "".join(
        f'<span class="key"><svg viewBox="0 0 20 14" aria-hidden="true">{mark}</svg>{name}</span>'
        for name, mark in keys.items()
    )
    return (
        f'<figure class="card"><h2>{title}</h2><figcaption>{legend}</figcaption><svg class="plot" role="img"'
        f' aria-label="{label}" viewBox="0 0 {WIDTH} {height}">{"".join(drawing)}</svg></figure>'
    )


def _linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


def _axis(largest: float, start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """From 0 to a bit above the largest share, with up to six ticks."""
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if step == 0.2 or largest <= 5 * step)
    count = max(math.ceil(largest / step - 1e-9), 1)
    return _linear(0, count * step, start, end), [step * number for number in range(count + 1)]


def _tick(x: float, bottom: float, top: float, says: str) -> str:
    return f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>{_under(x, bottom, says)}'


def _level(y: float, left: float, says: str) -> str:
    line = f'<line class="grid" x1="{left}" x2="{WIDTH - 10}" y1="{y}" y2="{y}"/>'
    return f'{line}<text class="soft" x="{left - 8}" y="{y + 4}" text-anchor="end">{says}</text>'


def _under(x: float, bottom: float, says: str) -> str:
    return f'<text class="soft" x="{x}" y="{bottom + 17}" text-anchor="middle">{says}</text>'


def _named(left: float, bottom: float, across: str, up: str) -> str:
    middle = (left + WIDTH - 10) / 2
    return (
        f'<text class="soft" x="{middle}" y="{bottom + 34}" text-anchor="middle">{across}</text>'
        f'<text class="soft" x="0" y="10">{up}</text>'
    )


def interval(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['low']:.0f}–{estimate['high']:.0%}"
