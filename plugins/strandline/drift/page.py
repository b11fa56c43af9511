"""The page of a drift report: readable offline, for people who know nothing of how it was made.

Names of files and classes are arbitrary text. Evidently's own page, which needs its scripts, is put into a sandboxed
frame: see `evidently_page`.
"""

import base64
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import strandline_contract as contract
from strandline.drift import evidently_page
from strandline.drift import plots as drift_plots
from strandline.drift.plots import interval
from strandline.drift.verdict import SMALLEST_EMBEDDING_DRIFT
from strandline.html.document import document, span, text

STYLE = (
    drift_plots.STYLE
    + """
main { overflow-wrap: anywhere; }
.result.unknown { border-color: var(--soft); }
.result h1 + p { font-size: 1.0625rem; }
.notes { margin: .75rem 0 0; font-size: .9375rem; }
.plots figure:first-child { grid-row: span 2; }
.card h2 { margin: 0; font-size: 1rem; }
.card h2 .tag { float: right; }
.card:has(.tag.unknown) .big { color: var(--soft); }
.card p.soft, td .soft { font-size: .875rem; }
.tag.unknown { color: var(--soft); background: var(--page); }
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
TO_STORE = "../.."  # from the page, in drift/<report>/
EXAMPLES, EXAMPLE_BYTES = 24, 64_000
SOURCES = 20  # that are shown

COLUMNS = {
    "width": "Width",
    "height": "Height",
    "aspect": "Width to height",
    "bytes": "File size",
    **{name: name.capitalize() for name in contract.IMAGE_STATISTICS},
    "label": "Predicted class",
    "confidence": "Confidence",
    "margin": "Lead over the second class",
    "entropy": "Uncertainty (entropy)",
}
METHODS = {"wasserstein": "Wasserstein distance", "jensenshannon": "Jensen-Shannon distance"}


@dataclass(frozen=True)
class Example:
    """An image of the window; `png` is a small image that we encoded."""

    name: str
    label: str
    confidence: float
    png: bytes


def render(report: Mapping[str, Any], examples: Sequence[Example], evidently_html: str) -> str:
    """The page, as HTML, of what report.json says. Evidently's part needs the file of `evidently_page.write_shared`."""
    evidently = evidently_page.take_apart(evidently_html)
    start, end = (datetime.datetime.fromisoformat(report["window"][side]) for side in ("start", "end"))
    drift, verdict = report["drift"], report["verdict"]
    body = f"""{_verdict(report, span(start, end))}
{_cards(drift, verdict) if drift else ""}
{_plots(report)}
{_examples(examples)}
{_sources(report)}
{_table(report)}
{evidently_page.section(evidently, TO_STORE) if evidently_html else ""}
{_footer(report)}"""
    scripts = [evidently_page.OPEN, *evidently.scripts] if evidently else []
    return document(f"Drift of {span(start, end)}", STYLE, body, scripts)


def _verdict(report: Mapping[str, Any], when: str) -> str:
    verdict, window, model = report["verdict"], report["window"], report["model"]
    colour, title = {
        "none": ("good", "Nothing to do"),
        "warn": ("odd", "Something changed: have a look"),
        "retrain": ("bad", "The model should be retrained"),
    }[verdict["action"]]
    if not verdict["enough"]:
        colour, title = "unknown", "Too few images to tell" if report["drift"] else "Nothing could be compared"
    facts = {
        "Images": f"{window['images']:,}"
        + (f", {report['drift']['rows']:,} of them different" if (report["drift"] or {}).get("duplicates") else "")
        + (f", {window['labelled']:,} with a label" if window["labelled"] else ""),
        "Model": f"<bdi>{text(model['name'])}</bdi>, version <code>{text(model['version'][:12])}</code>",
        "Made": _moment(report["made_at"]),
    }
    items = "".join(f"<div><dt>{name}</dt> <dd>{value}</dd></div>" for name, value in facts.items())
    return f"""<section class="result {colour}">
<p class="soft">Drift report: the images of {when}, against the model's reference</p>
<h1>{title}</h1>
<p{_p_values(report["drift"])}>{text(verdict["sentence"], 2000)}</p>
<dl class="facts">{items}</dl>
{_notes(report)}
</section>"""


def _p_values(drift: Mapping[str, Any] | None) -> str:
    """The numbers behind the sentence, for those who point at it."""
    if not drift:
        return ""
    named = {
        "mix of classes": drift["label_shift"],
        "images": drift["embedding_drift"],
        "accuracy as estimated": drift["estimated"],
    }
    if drift["realized"]:
        named["accuracy by labels"] = drift["realized"]
    said = ", ".join(f"{name} {one['p_value']:.2g}" for name, one in named.items())
    return f' title="p-values: {said}. Beyond chance is {drift["alpha"]:.2g} or less."'


def _notes(report: Mapping[str, Any]) -> str:
    notes = [report["held_back"]] if report["held_back"] else []
    if report["verdict"]["action"] == "retrain" and not notes:
        notes.append("A retraining has been requested.")
    if report["not_live"]:
        notes.append(report["not_live"])
    if report["reopened"]:
        notes.append(
            "Labels came after this window was first reported: its accuracy is judged by them, this once. Its classes"
            " and images were judged then and raise no second alarm."
        )
    if earlier := report["replaces"]:
        notes.append(
            f"Made again: replaces the report of {_moment(earlier['made_at'])}, number {earlier['report_id']}."
        )
    notes += report["problems"]
    return f'<ul class="notes">{"".join(f"<li>{text(note, 1000)}</li>" for note in notes)}</ul>' if notes else ""


def _cards(drift: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    mix, images, detectable = drift["label_shift"], drift["embedding_drift"], drift["detectable"]
    could = "What this window could have shown:"
    cards = [
        _card(
            "Mix of classes",
            _tag(verdict["label_shift"], mix["p_value"], drift, verdict, "changed"),
            f"{mix['distance']['value']:.0%}",
            f"of the images are in other classes than usual (95% interval {interval(mix['distance'])})",
            _chance(mix["p_value"], drift["alpha"]),
            f"{could} {detectable['label_shift_distance']:.0%} of the images or more in other classes.",
        ),
        _card(
            "The images",
            _tag(verdict["embedding_drift"], images["p_value"], drift, verdict, "changed"),
            f"{images['distance']:.2f}",
            "on a scale from 0 (the same) to about 1 (nothing in common) is how far they are from the reference's"
            f" within the same class. From {SMALLEST_EMBEDDING_DRIFT} on it is worth a word.",
            _chance(images["p_value"], drift["alpha"]),
            f"{could} that depends on what changed. {images['compared']:,} of {images['rows']:,} images drawn had"
            f" their like among {images['reference_rows']:,} of the reference.",
        ),
        _accuracy(drift, verdict, f"{could} a fall by {_points(detectable['accuracy_fall'])} or more, without labels."),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _accuracy(drift: Mapping[str, Any], verdict: Mapping[str, Any], could: str) -> str:
    """By labels if there are enough of them, else as estimated; the other in a sentence."""
    estimated, realized = drift["estimated"], drift["realized"]
    labelled = verdict["by_labels"]
    accuracy, other = (realized, estimated) if labelled else (estimated, realized)
    says = f"of {accuracy['labelled']:,} labelled images" if labelled else "of the images, as estimated,"
    words = (
        f"{accuracy['expected']:.0%} is usual for such a mix of classes. {_chance(accuracy['p_value'], drift['alpha'])}"
    )
    if other:
        where = "Estimated without labels" if labelled else f"On the {other['labelled']:,} labelled images"
        words += f" {where}, it is {other['estimate']['value']:.0%} ({interval(other['estimate'])})."
    return _card(
        "Accuracy",
        _tag(verdict["accuracy_fell"], accuracy["p_value"], drift, verdict, "fell"),
        f"{accuracy['estimate']['value']:.0%}",
        f"{says} are classified right (95% interval {interval(accuracy['estimate'])})",
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
    return (
        f'<b>{lead}:</b> <span title="p = {p_value:.2g}">{_how_many(p_value)} unchanged windows differ as much.</span>'
    )


def _how_many(p_value: float) -> str:
    """A probability in words: of it, people who know no statistics have an idea as well."""
    words = {0.95: "nearly all", 0.5: "most", 0.1: "many", 0.01: "few", 0.001: "very few"}
    return next((word for least, word in words.items() if p_value >= least), "hardly any")


def _plots(report: Mapping[str, Any]) -> str:
    if not report["drift"]:
        return ""
    plots = [
        drift_plots.shares(report["drift"]["label_shift"], report["predicted"]["current"], report["classes"]),
        drift_plots.histogram(report["confidence"]) if report["confidence"] else "",
        drift_plots.reliability(report["calibration"]) if report["calibration"] else "",
    ]
    return f'<h2>What the model sees</h2>\n<div class="plots">{"".join(plots)}</div>'


def _examples(examples: Sequence[Example]) -> str:
    figures = "".join(
        f'<figure><img src="data:image/png;base64,{base64.b64encode(one.png).decode()}" alt="" width="96" height="96">'
        f"<figcaption><b><bdi>{text(one.label)}</bdi></b>, {one.confidence:.0%} sure"
        f'<bdi class="name">{text(one.name)}</bdi></figcaption></figure>'
        for one in [example for example in examples if len(example.png) <= EXAMPLE_BYTES][:EXAMPLES]
    )
    return (
        f"""<h2>Images that differ most from the reference</h2>
<div class="examples">{figures}</div>"""
        if figures
        else ""
    )


def _sources(report: Mapping[str, Any]) -> str:
    sources = report.get("sources", [])
    rows = "".join(_source(one, report["classes"]) for one in sources[:SOURCES])
    more = len(sources) - SOURCES
    rest = f"<p>And {more:,} more, in <code>report.json</code>.</p>" if more > 0 else ""
    return (
        f"""<h2>Each source</h2>
<p class="soft">Each against the whole reference. Right are those of the images with a label, with the 95% interval.
The last column says how many unchanged windows have a source whose classes differ as much, or whose accuracy is as low
for such classes. This is for orientation: the verdict does not come from it.</p>
<table>
<thead><tr><th scope="col">Source</th><th scope="col">Predicted most</th><th scope="col" class="number">Images</th>
<th scope="col" class="number">Right</th><th scope="col" class="number">As much by chance in</th></tr></thead>
<tbody>{rows}</tbody>
</table>
{rest}"""
        if rows
        else ""
    )


def _source(one: Mapping[str, Any], classes: Sequence[str]) -> str:
    shares = sorted(zip(one["predicted"], classes, strict=True), key=lambda item: -item[0])[:3]
    most = ", ".join(f"<bdi>{text(name)}</bdi> {count / one['rows']:.0%}" for count, name in shares if count)
    accuracy, right = one["accuracy"], "–"
    chance = one["label_shift_p_value"]
    chances = f'<span title="p = {chance:.2g}">classes: {_how_many(chance)} windows</span>'
    if accuracy:
        right = f"{accuracy['estimate']['value']:.0%} of {accuracy['labelled']:,} ({interval(accuracy['estimate'])})"
        p_value = one["accuracy_p_value"]
        chances += f'<br><span title="p = {p_value:.2g}">accuracy: {_how_many(p_value)} windows</span>'
    name = f"<bdi>{text(one['source'])}</bdi>" if one["source"] else "without a source"
    return (
        f'<tr><th scope="row">{name}</th><td>{most}</td>'
        f'<td class="number" data-label="images">{one["images"]:,}</td>'
        f'<td class="number" data-label="right">{right}</td>'
        f'<td class="number" data-label="as much by chance in">{chances}</td></tr>'
    )


def _table(report: Mapping[str, Any]) -> str:
    chances = report.get("column_p_values", {})
    columns = sorted(report["columns"], key=lambda one: -((one["score"] or 0) / one["threshold"]))
    rows = "".join(_row(column, chances.get(column["column"])) for column in columns)
    return (
        f"""<h2>Each measure of the images</h2>
<p class="soft">How far the window's distribution is from the reference's: of numbers in standard deviations, of classes
from 0 (the same shares) to 0.83 (no class in common). The last column says how many unchanged windows
have a measure that differs as much. This is for orientation: the verdict does not come from it.</p>
<table>
<thead><tr><th scope="col">Measure</th><th scope="col">Result</th><th scope="col" class="number">Distance</th>
<th scope="col" class="number">Threshold</th><th scope="col" class="number">As much by chance in</th></tr></thead>
<tbody>{rows}</tbody>
</table>"""
        if rows
        else ""
    )


def _row(one: Mapping[str, Any], chance: float | None) -> str:
    unknown = "not compared" if one["score"] is None else "not judged"
    colour, says = {True: ("odd", "drifted"), False: ("good", "as before"), None: ("unknown", unknown)}[one["drifted"]]
    problem = f'<div class="soft">{text(one["problem"], 500)}</div>' if one["problem"] else ""
    distance = "–" if one["score"] is None else f"{one['score']:.2f}"
    chances = "–" if chance is None else f'<span title="p = {chance:.2g}">{_how_many(chance)} windows</span>'
    return (
        f'<tr><th scope="row">{COLUMNS.get(one["column"], text(one["column"]))}'
        f"<code>{METHODS.get(one['method'], text(one['method']))}</code></th>"
        f'<td><span class="tag {colour}">{says}</span>{problem}</td>'
        f'<td class="number" data-label="distance">{distance}</td>'
        f'<td class="number" data-label="threshold">{one["threshold"]:.2f}</td>'
        f'<td class="number" data-label="as much by chance in">{chances}</td></tr>'
    )


def _footer(report: Mapping[str, Any]) -> str:
    window, drift = report["window"], report["drift"]
    words = ""
    if drift:
        words = (
            "The reference is images that the model classified before it was put to use. Beyond chance is what"
            f" 1 of {1 / drift['alpha']:,.0f} unchanged windows shows, or fewer. A 95% interval holds the true number"
            " in 95 of 100 cases."
        )
    if window["compared"] < window["images"]:
        words += f" Of this window's {window['images']:,} images {window['compared']:,} were compared."
    return (
        f"<footer><p>{words} The file <code>report.json</code> beside this page says the same as the page.</p></footer>"
    )


def _moment(iso: str) -> str:
    moment = datetime.datetime.fromisoformat(iso).astimezone(datetime.UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _points(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f} points"
