"""The page of a drift report: one file, readable offline, for people who know nothing of how it was made.

Names of files and classes are arbitrary text. Evidently's own page, which needs its scripts, is put into a sandboxed
frame; frames inherit the page's policy, so that allows exactly the scripts of Evidently's template, by their hashes.
"""

import base64
import datetime
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from strandline import validation_page
from strandline.verdict import MINIMUM_ROWS

STYLE = (
    validation_page.STYLE
    + """
.verdict.odd { border-color: var(--odd); }
.verdict.unknown { border-color: var(--soft); }
.verdict p { max-width: 58rem; }
.verdict h1 + p { font-size: 1.0625rem; }
.facts { display: flex; flex-wrap: wrap; gap: .125rem 1.5rem; margin: .75rem 0 0; font-size: .875rem; }
.facts dt { display: inline; color: var(--soft); }
.facts dd { display: inline; margin: 0; }
.notes { margin: .75rem 0 0; font-size: .9375rem; }
.cards, .plots { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .75rem; margin: .75rem 0 0; }
.plots { grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: start; }
.plots figure:first-child { grid-row: span 2; }
.cards .card, .plots .card { margin: 0; padding: 1rem 1.25rem; }
.card h2 { margin: 0; font-size: 1rem; }
.card h2 .tag { float: right; }
.card p { font-size: .9375rem; line-height: 1.4; }
.card p.big { margin: .25rem 0 -.25rem; font-size: 2.25rem; font-weight: 600; line-height: 1.2; }
.card:has(.tag.unknown) .big { color: var(--soft); }
.card p.soft, figcaption, td .soft { font-size: .875rem; }
.tag.unknown { color: var(--soft); background: var(--page); }
figure { margin: 0; }
figcaption { margin: .25rem 0 .5rem; }
.key { display: inline-flex; align-items: center; gap: .375rem; margin-right: 1rem; }
.key svg { width: 1.25rem; height: .875rem; flex: none; }
svg.plot { height: auto; overflow: visible; }
svg text { fill: var(--ink); font-size: 12px; unicode-bidi: isolate; }
svg text.soft { fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg .before { fill: var(--soft); fill-opacity: .45; stroke: none; }
svg line.before, svg path.before { stroke: var(--soft); stroke-opacity: 1; stroke-width: 3; }
svg path.before { stroke-width: 1.5; stroke-dasharray: 4 4; fill: none; }
svg .now { fill: var(--bar); stroke: var(--bar); stroke-width: 2; }
svg .open { fill: var(--card); }
svg path.now { fill: none; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .75rem; }
.examples figure { padding: .75rem; border-radius: .75rem; background: var(--card); font-size: .875rem; }
.examples img { display: block; width: 6rem; height: 6rem; object-fit: contain; image-rendering: pixelated; }
.examples .name { display: block; color: var(--soft); font-size: .6875rem; }
summary { cursor: pointer; font-weight: 600; }
.frame { margin: 0 -1.5rem; overflow-x: auto; }
iframe {
  display: block; width: 100%; min-width: 65rem; height: 90vh; border: 0; background: #fff; color-scheme: light;
}
@media (min-width: 40rem) { tbody th { white-space: nowrap; } }
@media (max-width: 60rem) { .cards, .plots { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 40rem) {
  .examples { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .frame { margin: 0 -1rem; }
  tbody tr { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  tbody td:nth-child(2), tbody td:last-child { grid-column: 1 / -1; }
  tbody td:nth-child(3) { justify-self: start; }
  td.number { white-space: normal; }
}
"""
)
# Evidently's page takes a second to draw, and draws itself too small in a frame that is not shown.
OPEN = """
document.querySelector("details").addEventListener("toggle", event => {
  const frame = event.target.querySelector("iframe");
  frame.srcdoc = frame.dataset.page;
}, {once: true});
"""
EVIDENTLY_SCRIPTS = 4  # of its template: data, a global name, the library, the call that draws
EVIDENTLY_BYTES = 8_000_000
EXAMPLES, EXAMPLE_BYTES = 24, 64_000
SHOWN_CLASSES = 20
LONGEST_TEXT = 200
WIDTH = 400  # of a plot: its text is as large as the page's on a telephone, and larger on a desk

COLUMNS = {
    "width": "Width",
    "height": "Height",
    "aspect": "Width to height",
    "bytes": "File size",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "saturation": "Saturation",
    "sharpness": "Sharpness",
    "label": "Predicted class",
    "confidence": "Confidence",
    "margin": "Lead over the second class",
    "entropy": "Uncertainty (entropy)",
}
METHODS = {"wasserstein": "Wasserstein distance", "jensenshannon": "Jensen-Shannon distance"}


@dataclass(frozen=True)
class Example:
    """An image of the window; `png` is a small picture that we encoded."""

    name: str
    label: str
    confidence: float
    png: bytes


def render(report: Mapping[str, Any], examples: Sequence[Example], evidently_html: str) -> str:
    """The page, as HTML of less than 10 MB, of what report.json says."""
    scripts = _scripts(evidently_html)
    styles = "'unsafe-inline'" if scripts else _hash(STYLE)  # Evidently's scripts write styles as they draw
    allowed = f"script-src {' '.join(map(_hash, [OPEN, *scripts]))};" if scripts else ""
    start, end = (datetime.datetime.fromisoformat(report["window"][side]) for side in ("start", "end"))
    drift, verdict = report["drift"], report["verdict"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; {allowed} style-src {styles}; img-src data:;
 font-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Drift of {_hours(start, end)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{_verdict(report, _hours(start, end))}
{_cards(drift, verdict) if drift else ""}
{_plots(report)}
{_examples(examples)}
{_table(report)}
{_evidently(evidently_html)}
{_footer(report)}
</main>
</body>
</html>
"""


def _verdict(report: Mapping[str, Any], hours: str) -> str:
    verdict, window, model = report["verdict"], report["window"], report["model"]
    colour, title = {
        "none": ("good", "Nothing to do"),
        "watch": ("odd", "Something changed: have a look"),
        "retrain": ("bad", "The model should be retrained"),
    }[verdict["action"]]
    if not verdict["enough"]:
        colour, title = "unknown", "Too few images to tell" if report["drift"] else "Nothing could be compared"
    facts = {
        "Images": f"{window['images']:,}" + (f", {window['labelled']:,} with a label" if window["labelled"] else ""),
        "Model": f"<bdi>{_text(model['name'])}</bdi>, version <code>{_text(model['version'][:12])}</code>",
        "Made": _moment(report["made_at"]),
    }
    items = "".join(f"<div><dt>{name}</dt> <dd>{value}</dd></div>" for name, value in facts.items())
    return f"""<section class="verdict {colour}">
<p class="soft">Drift report: the images of {hours}, against the model's reference</p>
<h1>{title}</h1>
<p>{_text(verdict["sentence"], 2000)}</p>
<dl class="facts">{items}</dl>
{_notes(report)}
</section>"""


def _notes(report: Mapping[str, Any]) -> str:
    notes = [report["held_back"]] if report["held_back"] else []
    if report["verdict"]["action"] == "retrain" and not notes:
        notes.append("A retraining has been requested.")
    if not report["live"]:
        notes.append("Not live (backfilled, replayed or made again): raises no alarm.")
    if earlier := report["replaces"]:
        notes.append(
            f"Made again: replaces the report of {_moment(earlier['made_at'])}, number {earlier['report_id']}."
        )
    notes += report["problems"]
    return f'<ul class="notes">{"".join(f"<li>{_text(note, 1000)}</li>" for note in notes)}</ul>' if notes else ""


def _cards(drift: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    mix, pictures, detectable = drift["mix"], drift["pictures"], drift["detectable"]
    could = "What this window could have shown:"
    cards = [
        _card(
            "Mix of classes",
            _tag(verdict["mix_changed"], mix["p_value"], drift, verdict, "changed"),
            f"{mix['distance']['value']:.0%}",
            f"of the images are in other classes than usual (95% interval {_interval(mix['distance'])})",
            _chance(mix["p_value"], drift["alpha"]),
            f"{could} {detectable['mix_distance']:.0%} of the images or more in other classes.",
        ),
        _card(
            "The pictures",
            _tag(verdict["pictures_changed"], pictures["p_value"], drift, verdict, "changed"),
            f"{pictures['distance']:.2f}",
            "is how far they are from the reference's within the same class. 0 is the same; there is no unit, and no"
            " interval.",
            _chance(pictures["p_value"], drift["alpha"]),
            f"{could} that depends on what changed. {pictures['compared']:,} of {pictures['rows']:,} images drawn had"
            f" their like among {pictures['reference_rows']:,} of the reference.",
        ),
        _accuracy(drift, verdict, f"{could} a fall by {_points(detectable['accuracy_fall'])} or more, without labels."),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _accuracy(drift: Mapping[str, Any], verdict: Mapping[str, Any], could: str) -> str:
    """By labels where there are enough of them, else as estimated; the other in a sentence."""
    estimated, realised = drift["estimated"], drift["realised"]
    labelled = realised is not None and realised["labelled"] >= MINIMUM_ROWS
    accuracy, other = (realised, estimated) if labelled else (estimated, realised)
    says = f"of {accuracy['labelled']:,} labelled images" if labelled else "of the images, as estimated,"
    words = (
        f"{accuracy['expected']:.0%} is usual for such a mix of classes. {_chance(accuracy['p_value'], drift['alpha'])}"
    )
    if other:
        where = "Estimated without labels" if labelled else f"On the {other['labelled']:,} labelled images"
        words += f" {where}, it is {other['estimate']['value']:.0%} ({_interval(other['estimate'])})."
    return _card(
        "Accuracy",
        _tag(verdict["accuracy_fell"], accuracy["p_value"], drift, verdict, "fell"),
        f"{accuracy['estimate']['value']:.0%}",
        f"{says} are classified right (95% interval {_interval(accuracy['estimate'])})",
        words,
        could,
    )


def _card(title: str, tag: str, number: str, unit: str, words: str, could: str) -> str:
    return (
        f'<section class="card"><h2>{title} {tag}</h2><p class="big">{number}</p><p>{unit}</p><p>{words}</p>'
        f'<p class="soft">{could}</p></section>'
    )


def _tag(changed: bool, p_value: float, drift: Mapping[str, Any], verdict: Mapping[str, Any], says: str) -> str:
    if not verdict["enough"]:
        return '<span class="tag unknown">too few images</span>'
    if changed:
        return f'<span class="tag {"bad" if verdict["action"] == "retrain" else "odd"}">{says}</span>'
    return f'<span class="tag good">{"too little to matter" if p_value <= drift["alpha"] else "within chance"}</span>'


def _chance(p_value: float, alpha: float) -> str:
    lead = "Beyond chance" if p_value <= alpha else "Within chance"
    return f"<b>{lead}:</b> without any change, {_odds(p_value)} windows differ as much."


def _odds(p_value: float) -> str:
    if p_value > 0.095:
        return f"{round(10 * p_value)} of 10"
    if p_value < 1 / 10_000:
        return "fewer than 1 of 10,000"
    return f"1 of {round(1 / p_value):,}"


def _plots(report: Mapping[str, Any]) -> str:
    plots = [
        _shares(report) if report["drift"] else "",
        _histogram(report["confidence"]) if report["confidence"] else "",
        _reliability(report["calibration"]) if report["calibration"] else "",
    ]
    return f'<h2>What the model sees</h2>\n<div class="plots">{"".join(plots)}</div>' if any(plots) else ""


def _plot(title: str, keys: Mapping[str, str], height: float, label: str, drawing: Iterable[str]) -> str:
    legend = "".join(
        f'<span class="key"><svg viewBox="0 0 20 14" aria-hidden="true">{mark}</svg>{name}</span>'
        for name, mark in keys.items()
    )
    return (
        f'<figure class="card"><h2>{title}</h2><figcaption>{legend}</figcaption><svg class="plot" role="img"'
        f' aria-label="{label}" viewBox="0 0 {WIDTH} {height}">{"".join(drawing)}</svg></figure>'
    )


def _shares(report: Mapping[str, Any]) -> str:
    """A row for each class, or for those whose shares changed most."""
    mix, counts = report["drift"]["mix"], report["predicted"]["current"]
    changes = [abs(share["value"] - before) for share, before in zip(mix["shares"], mix["reference"], strict=True)]
    most = sorted(range(len(changes)), key=changes.__getitem__, reverse=True)[:SHOWN_CLASSES]
    shown, total = sorted(most), max(sum(counts), 1)
    largest = max(max(mix["shares"][one]["high"], mix["reference"][one], counts[one] / total) for one in shown)
    left, top, row = 96, 8, 28
    bottom = top + row * len(shown)
    x, ticks = _axis(largest, left, WIDTH - 14)
    drawing = [_tick(x(at), bottom, top, f"{at:.0%}") for at in ticks]
    for number, one in enumerate(shown):
        y, share, name = top + row * (number + 0.5), mix["shares"][one], _text(report["classes"][one], 60)
        before, predicted = mix["reference"][one], counts[one] / total
        drawing.append(
            f"<g><title>{name}: {share['value']:.1%} ({_interval(share)}), reference {before:.1%}, predicted"
            f" {predicted:.1%}</title>"
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{_text(report["classes"][one], 13)}</text>'
            f'<line class="before" x1="{x(before)}" x2="{x(before)}" y1="{y - 9}" y2="{y + 9}"/>'
            f'<path class="now" d="M{x(share["low"])} {y}H{x(share["high"])}"/>'
            f'<circle class="now open" cx="{x(predicted)}" cy="{y}" r="5"/>'
            f'<circle class="now" cx="{x(share["value"])}" cy="{y}" r="3"/></g>'
        )
    drawing.append(
        f'<text class="soft" x="{WIDTH - 14}" y="{bottom + 34}" text-anchor="end">share of the images</text>'
    )
    name, share = _text(report["classes"][most[0]], 60), mix["shares"][most[0]]
    label = (
        f"Shares of the classes. The most changed: {name}, {share['value']:.0%} ({_interval(share)}) instead of"
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


def _histogram(confidence: Mapping[str, Sequence[float]]) -> str:
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


def _reliability(points: Sequence[Mapping[str, float]]) -> str:
    left, top, bottom = 44, 26, 206
    x, y = _linear(0, 1, left, WIDTH - 10), _linear(0, 1, bottom, top)
    drawing = [_level(y(at / 4), left, f"{at / 4:.0%}") for at in range(5)]
    drawing.append(f'<path class="before" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    drawing += [
        f"<g><title>{point['images']:,} images: {point['confidence']:.0%} sure, {point['accuracy']:.0%} right"
        f" ({_interval(point)})</title>"
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


def _linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


def _axis(largest: float, start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """From 0 to a bit above the largest share, with up to six ticks."""
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if step == 0.2 or largest <= 5 * step)
    count = max(math.ceil(largest / step - 1e-9), 1)
    return _linear(0, count * step, start, end), [step * number for number in range(count + 1)]


def _tick(x: float, bottom: float, top: float, text: str) -> str:
    return f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>{_under(x, bottom, text)}'


def _level(y: float, left: float, text: str) -> str:
    line = f'<line class="grid" x1="{left}" x2="{WIDTH - 10}" y1="{y}" y2="{y}"/>'
    return f'{line}<text class="soft" x="{left - 8}" y="{y + 4}" text-anchor="end">{text}</text>'


def _under(x: float, bottom: float, text: str) -> str:
    return f'<text class="soft" x="{x}" y="{bottom + 17}" text-anchor="middle">{text}</text>'


def _named(left: float, bottom: float, across: str, up: str) -> str:
    middle = (left + WIDTH - 10) / 2
    return (
        f'<text class="soft" x="{middle}" y="{bottom + 34}" text-anchor="middle">{across}</text>'
        f'<text class="soft" x="0" y="10">{up}</text>'
    )


def _examples(examples: Sequence[Example]) -> str:
    figures = "".join(
        f'<figure><img src="data:image/png;base64,{base64.b64encode(one.png).decode()}" alt="" width="96" height="96">'
        f"<figcaption><b><bdi>{_text(one.label)}</bdi></b>, {one.confidence:.0%} sure"
        f'<bdi class="name">{_text(one.name)}</bdi></figcaption></figure>'
        for one in [one for one in examples if len(one.png) <= EXAMPLE_BYTES][:EXAMPLES]
    )
    return (
        f"""<h2>Images that differ most from the reference</h2>
<div class="examples">{figures}</div>"""
        if figures
        else ""
    )


def _table(report: Mapping[str, Any]) -> str:
    chances = report.get("column_p_values", {})
    columns = sorted(report["columns"], key=lambda one: -((one["score"] or 0) / one["threshold"]))
    rows = "".join(_row(one, chances.get(one["column"])) for one in columns)
    return (
        f"""<h2>Each measure of the images</h2>
<p class="soft">How far the window's distribution is from the reference's: of numbers in standard deviations, of classes
from 0 (the same shares) to 0.83 (no class in common). This is for orientation: the verdict does not come from it.</p>
<table>
<thead><tr><th scope="col">Measure</th><th scope="col">Result</th><th scope="col" class="number">Distance</th>
<th scope="col" class="number">Threshold</th><th scope="col" class="number">By chance</th></tr></thead>
<tbody>{rows}</tbody>
</table>"""
        if rows
        else ""
    )


def _row(one: Mapping[str, Any], chance: float | None) -> str:
    unknown = "not compared" if one["score"] is None else "not judged"
    colour, says = {True: ("odd", "drifted"), False: ("good", "as before"), None: ("unknown", unknown)}[one["drifted"]]
    problem = f'<div class="soft">{_text(one["problem"], 500)}</div>' if one["problem"] else ""
    distance = "–" if one["score"] is None else f"{one['score']:.2f}"
    odds = "–" if chance is None else _odds(chance)
    return (
        f'<tr><th scope="row">{COLUMNS.get(one["column"], _text(one["column"]))}'
        f"<code>{METHODS.get(one['method'], _text(one['method']))}</code></th>"
        f'<td><span class="tag {colour}">{says}</span>{problem}</td>'
        f'<td class="number" data-label="distance">{distance}</td>'
        f'<td class="number" data-label="threshold">{one["threshold"]:.2f}</td>'
        f'<td class="number" data-label="by chance">{odds}</td></tr>'
    )


def _evidently(html: str) -> str:
    if not html:
        return ""
    if not _scripts(html):
        return "<h2>Evidently</h2>\n<p>Evidently's page is too large, or not as expected: it is left out here.</p>"
    return f"""<h2>Evidently</h2>
<details class="card"><summary>Open Evidently's report</summary>
<p class="soft">A closer look at the distributions of the table above. Evidently calls drift what reaches a
threshold, and dataset drift where half of the columns do, whatever chance may do: neither is our verdict.</p>
<div class="frame"><iframe title="Evidently's report" sandbox="allow-scripts" data-page="{escape(html)}"></iframe></div>
</details>
<script>{OPEN}</script>"""


def _scripts(html: str) -> list[str]:
    """The scripts of Evidently's page; none where there are others, too, or where the page is too large."""
    found = re.findall(r"<script>(.*?)</script", html, re.DOTALL | re.IGNORECASE)
    closed = len(re.findall(r"</script", html, re.IGNORECASE))
    expected = len(found) == closed == EVIDENTLY_SCRIPTS and len(escape(html).encode()) <= EVIDENTLY_BYTES
    return found if expected else []


def _hash(text: str) -> str:
    """As a policy names what it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _footer(report: Mapping[str, Any]) -> str:
    window, drift = report["window"], report["drift"]
    words = ""
    if drift:
        words = (
            "The reference is images that the model classified before it was put to use. Beyond chance is what"
            f" {_odds(drift['alpha'])} unchanged windows or fewer show. A 95% interval holds the true number 95 times in"
            " 100."
        )
    if window["compared"] < window["images"]:
        words += f" Of this window's {window['images']:,} images {window['compared']:,} were compared."
    return (
        f"<footer><p>{words} The file <code>report.json</code> beside this page says the same as the page.</p></footer>"
    )


def _hours(start: datetime.datetime, end: datetime.datetime) -> str:
    """As 21 November 2026, 08:00 to 09:00 UTC."""
    start, end = start.astimezone(datetime.UTC), end.astimezone(datetime.UTC)
    until = f"{end:%H:%M}" if end - start < datetime.timedelta(days=1) else f"{end.day} {end:%B %Y, %H:%M}"
    return f"{start.day} {start:%B %Y, %H:%M} to {until} UTC"


def _moment(text: str) -> str:
    moment = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['low']:.0f}–{estimate['high']:.0%}"


def _points(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f} points"


def _text(value: str, longest: int = LONGEST_TEXT) -> str:
    """Arbitrary text for HTML: what cannot be shown, or would turn what follows around, is made visible."""
    cut = value if len(value) <= longest else f"{value[: longest - 1]}…"
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut))
