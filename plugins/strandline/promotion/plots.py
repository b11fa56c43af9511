"""The plots of a gate: inline SVG, in the page's own colours, without script.

What was before (the champion) is grey, what is now (the challenger) is blue. Places are attributes and colours are
classes, because the policy of the page refuses styles on elements.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from strandline.html.document import text

STYLE = """
svg text.small { font-size: 10px; }
svg .zero { stroke: var(--soft); stroke-dasharray: 3 3; fill: none; }
svg .allowed { fill: var(--good-back); }
svg .bound { stroke: var(--bad); stroke-width: 1.5; }
svg .old { fill: var(--soft); stroke: var(--soft); stroke-width: 2; }
svg path.old { fill: none; }
svg .right { fill: var(--bar); }
svg .wrong { fill: var(--bad); }
svg .frame { fill: none; stroke: var(--line); }
"""
WIDTH = 400  # of a plot: its text is as large as the page's on a telephone, and larger on a desk
SHOWN_ROWS = 20  # of classes or slices in a plot
NAMED_CLASSES, DRAWN_CLASSES = 20, 60  # of a confusion matrix


Report = Mapping[str, Any]
Scale = Callable[[float], float]


def interval(check: Report, allowed: str) -> str:
    """A line on a scale of its own: green is where it is allowed to be, the red line where that ends."""
    found, bound = check["found"], check["bound"]
    marks = [found["low"], found["value"], found["high"], bound]
    marks += [0.0] if check["unit"] in ("points", "gap", "probability") else [1.0] if check["unit"] == "ratio" else []
    room = 0.12 * ((max(marks) - min(marks)) or 1.0)
    x = _linear(min(marks) - room, max(marks) + room, 0, 200)
    start, end = (x(bound), 200.0) if check["allowed"] == "above" else (0.0, x(bound))
    equal = f'<path class="zero" d="M{x(marks[4])} 2V26"/>' if len(marks) > 4 else ""
    middle = min(max(x(bound), 58), 142)
    return (
        f'<svg class="plot" viewBox="0 0 200 42" role="img" aria-label="{escape(check["name"])}: {allowed}">'
        f'<rect class="allowed" x="{start}" y="2" width="{end - start:.2f}" height="24"/>{equal}'
        f'<line class="bound" x1="{x(bound)}" x2="{x(bound)}" y1="2" y2="26"/>'
        f'<path class="now" d="M{x(found["low"])} 14H{x(found["high"])}"/>'
        f'<circle class="now" cx="{x(found["value"])}" cy="14" r="3.5"/>'
        f'<text class="soft" x="{middle}" y="39" text-anchor="middle">{allowed}</text></svg>'
    )


def confusion(who: str, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """A row for each true class: blue the share that is right, red the shares that are not."""
    size, title = len(classes), f"{who}: what each class was taken for"
    if size > DRAWN_CLASSES:
        return f'<figure class="card"><h3>{title}</h3><figcaption>Too many classes to draw.</figcaption></figure>'
    named = size <= NAMED_CLASSES
    left, top = (88, 84) if named else (20, 20)
    cell = round((WIDTH - left - 4) / size, 2)
    drawing = []
    for row, line in enumerate(counts):
        y, total = top + row * cell, sum(line)
        if named:
            name, middle = text(classes[row], 11), left + (row + 0.5) * cell
            drawing.append(f'<text x="{left - 6}" y="{y + cell / 2 + 4:.2f}" text-anchor="end">{name}</text>')
            drawing.append(
                f'<text transform="translate({middle + 4:.2f} {top - 6}) rotate(-60)" text-anchor="start">{name}</text>'
            )
        for column, count in enumerate(line):
            if count:
                drawing.append(_cell(left + column * cell, y, cell, count / total, count, row == column, size <= 12))
    drawing.append(f'<rect class="frame" x="{left}" y="{top}" width="{size * cell:.2f}" height="{size * cell:.2f}"/>')
    right = sum(line[row] for row, line in enumerate(counts))
    label = f"{who}: {right:,} of {sum(map(sum, counts)):,} images on the diagonal"
    keys = {
        "right": '<rect class="right" width="20" height="14"/>',
        "wrong": '<rect class="wrong" width="20" height="14"/>',
        "rows: true class; columns: predicted": "",
    }
    return _plot(title, keys, top + size * cell + 4, label, drawing)


def _cell(x: float, y: float, side: float, share: float, count: int, right: bool, written: bool) -> str:
    strength = 0.12 + 0.6 * (share if right else math.sqrt(share))  # the root: errors are few, and they matter
    number = (
        f'<text class="small" x="{x + side / 2:.2f}" y="{y + side / 2 + 3.5:.2f}" text-anchor="middle">{count}</text>'
        if written
        else ""
    )
    return (
        f"<g><title>{count:,} images, {share:.1%} of the class</title>"
        f'<rect class="{"right" if right else "wrong"}" x="{x:.2f}" y="{y:.2f}" width="{side}" height="{side}"'
        f' fill-opacity="{strength:.2f}"/>{number}</g>'
    )


def changes(title: str, found: Sequence[Report], margin: float | None) -> str:
    """A row for each class or slice; of many, those that may have lost most."""
    known = [change for change in found if change["rows"]]
    if not known:
        return ""
    shown = sorted(known, key=lambda change: change["difference"]["low"])[:SHOWN_ROWS]
    if len(shown) == len(known):
        shown = known
    else:
        title = f"{title}: the {SHOWN_ROWS} of {len(known):,} that may have lost most"
    ends = [0.0, *(change["difference"][end] for change in shown for end in ("low", "high")), -(margin or 0)]
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if step == 0.5 or max(ends) - min(ends) <= 5 * step)
    first, last = math.floor(min(ends) / step - 1e-9), math.ceil(max(ends) / step + 1e-9)
    left, top, row = 150, 8, 26
    bottom = top + row * len(shown)
    x = _linear(first * step, last * step, left, WIDTH - 14)
    drawing = [] if margin is None else [_allowed(x(-margin), WIDTH - 14, top, bottom)]
    drawing += [
        _tick(x(number * step), bottom, top, f"{100 * number * step:+.0f}" if number else "0")
        for number in range(first, last + 1)
    ]
    drawing.append(f'<path class="zero" d="M{x(0)} {top}V{bottom}"/>')
    drawing += [_change(change, x, left, top + row * (number + 0.5)) for number, change in enumerate(shown)]
    drawing.append(f'<text class="soft" x="{WIDTH - 14}" y="{bottom + 34}" text-anchor="end">points of accuracy</text>')
    worst = min(shown, key=lambda change: change["difference"]["low"])
    label = f"{title}. The lowest: {text(worst['name'], 60)}, {points(worst['difference'])}"
    keys = {
        "challenger less champion, with 95% interval": (
            '<path class="now" d="M0 7H20"/><circle class="now" cx="10" cy="7" r="3"/>'
        )
    }
    if margin is not None:
        keys["allowed"] = '<rect class="allowed" width="20" height="14"/>'
    return _plot(title, keys, bottom + 38, label, drawing)


def _change(change: Report, x: Scale, left: float, y: float) -> str:
    found, name = change["difference"], text(change["name"], 60)
    return (
        f"<g><title>{name}: {change['champion']:.1%} → {change['challenger']:.1%} of {change['rows']:,} images,"
        f" {points(found)}</title>"
        f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{text(change["name"], 19)}</text>'
        f'<path class="now" d="M{x(found["low"])} {y}H{x(found["high"])}"/>'
        f'<circle class="now" cx="{x(found["value"])}" cy="{y}" r="3"/></g>'
    )


def reliability(champion: Report | None, challenger: Report) -> str:
    """Accuracy by confidence, of both or of the challenger alone."""
    left, top, bottom = 44, 26, 246
    x, y = _linear(0, 1, left, WIDTH - 10), _linear(0, 1, bottom, top)
    drawing = [
        f'<line class="grid" x1="{left}" x2="{WIDTH - 10}" y1="{y(at / 4)}" y2="{y(at / 4)}"/>'
        f'<text class="soft" x="{left - 8}" y="{y(at / 4) + 4}" text-anchor="end">{at / 4:.0%}</text>'
        f'<text class="soft" x="{x(at / 4)}" y="{bottom + 17}" text-anchor="middle">{at / 4:.0%}</text>'
        for at in range(5)
    ]
    drawing.append(f'<path class="zero" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    sides = [(champion, "old")] if champion else []
    for side, name in [*sides, (challenger, "now")]:
        bins, total = side["reliability"], sum(one["rows"] for one in side["reliability"])
        path = "L".join(f"{x(one['confidence'])} {y(one['accuracy'])}" for one in bins)
        drawing.append(f'<path class="{name}" d="M{path}"/>')
        drawing += [
            f"<g><title>{bin_['rows']:,} images: {bin_['confidence']:.0%} sure, {bin_['accuracy']:.0%} right</title>"
            f'<circle class="{name}" cx="{x(bin_["confidence"])}" cy="{y(bin_["accuracy"])}"'
            f' r="{1.5 + 6 * math.sqrt(bin_["rows"] / total):.2f}"/></g>'
            for bin_ in bins
        ]
    drawing.append(
        f'<text class="soft" x="{(left + WIDTH - 10) / 2}" y="{bottom + 34}" text-anchor="middle">how sure it is</text>'
        '<text class="soft" x="0" y="10">how many are right</text>'
    )
    old, now = (f"{100 * side['calibration_error']:.1f}" if side else "" for side in (champion, challenger))
    keys = {f"champion, off by {old} points on average": '<circle class="old" cx="10" cy="7" r="4"/>'} if old else {}
    keys[f"challenger, {now}" if old else f"challenger, off by {now} points on average"] = (
        '<circle class="now" cx="10" cy="7" r="4"/>'
    )
    keys["as sure as right"] = '<path class="zero" d="M0 13L20 1"/>'
    label = "Accuracy by confidence: " + (
        f"the champion is off by {old} points on average, the challenger by {now}"
        if old
        else f"the challenger is off by {now} points on average"
    )
    return _plot("Is it as sure as it is right?", keys, bottom + 38, label, drawing)


def _plot(title: str, keys: Mapping[str, str], height: float, label: str, drawing: Iterable[str]) -> str:
    legend = "".join(f'<span class="key">{_key(mark)}<span>{name}</span></span>' for name, mark in keys.items())
    return (
        f'<figure class="card"><h3>{title}</h3><figcaption>{legend}</figcaption><svg class="plot" role="img"'
        f' aria-label="{label}" viewBox="0 0 {WIDTH} {height:.2f}">{"".join(drawing)}</svg></figure>'
    )


def _key(mark: str) -> str:
    return f'<svg viewBox="0 0 20 14" aria-hidden="true">{mark}</svg>' if mark else ""


def _allowed(start: float, end: float, top: float, bottom: float) -> str:
    return (
        f'<rect class="allowed" x="{start}" y="{top}" width="{end - start:.2f}" height="{bottom - top}"/>'
        f'<line class="bound" x1="{start}" x2="{start}" y1="{top}" y2="{bottom}"/>'
    )


def _tick(x: float, bottom: float, top: float, says: str) -> str:
    return (
        f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
        f'<text class="soft" x="{x}" y="{bottom + 17}" text-anchor="middle">{says.replace("-", "−")}</text>'
    )


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


def points(found: Report) -> str:
    return f"{signed(found['value'])} points ({signed(found['low'])} to {signed(found['high'])})"


def signed(share: float) -> str:
    """In points."""
    return f"{100 * share:+.1f}".replace("-", "−") if share else "0.0"
