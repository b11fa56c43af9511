"""The page of a gate, for the person who approves: one file without script or network, whatever classes are called."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from strandline.html.document import document, text
from strandline.promotion import plots as gate_plots
from strandline.promotion.plots import points, signed
from strandline.promotion.words import decimal

STYLE = (
    gate_plots.STYLE
    + """
.card h3 { margin: 0; }
.says { display: block; font-size: .875rem; font-weight: 400; overflow-wrap: anywhere; color: var(--soft); }
tbody th::first-letter { text-transform: uppercase; }
td.measured { white-space: nowrap; font-size: .875rem; font-variant-numeric: tabular-nums; }
td.measured .soft { display: block; }
td.plotted { width: 14rem; }
ul.files li { display: flex; gap: .75rem; align-items: center; font-size: .875rem; padding: .25rem 0; }
ul.files img { width: 3rem; height: 3rem; object-fit: contain; image-rendering: pixelated; flex: none; }
ul.files span { overflow-wrap: anywhere; }
ul.files .name, ul.files code { display: block; color: var(--soft); }
@media (max-width: 40rem) {
  tbody tr { grid-template-columns: minmax(0, 1fr) auto; }
  tbody th { grid-column: 1 / -1; }
  tbody td:nth-child(2) { grid-column: 1 / -1; justify-self: start; }
  tbody td:nth-child(n + 3) { grid-column: 1 / -1; justify-self: stretch; width: auto; }
  td.plotted { max-width: 16rem; }
}
"""
)
OUTCOMES = {
    "pass": ("good", "The challenger passes: it may be approved"),
    "fail": ("bad", "The challenger fails: it cannot be promoted"),
    "not enough evidence": ("odd", "Not enough evidence: it cannot be promoted yet"),
}
TAGS = {"pass": ("good", "passes"), "fail": ("bad", "fails"), "not enough evidence": ("odd", "not enough evidence")}

Report = Mapping[str, Any]


class Image(NamedTuple):
    """What a person sees of an image: the name of the file that it came of, if it landed here, and a PNG."""

    name: str | None
    png: bytes


def render(report: Report, images: Mapping[str, Image]) -> str:
    """The page, as HTML.

    Args:
        report: a `gate.Gate` as a dictionary, with `champion`, `challenger`, `rules`, `requested_by` and `made_at`.
        images: by id, those that only the champion has right, as far as they can be shown.
    """
    colour, title = OUTCOMES[report["outcome"]]
    facts = {
        "Challenger": _version(report["challenger"]),
        "Champion": _version(report["champion"]),
        "Requested by": f"<bdi>{text(report['requested_by'])}</bdi>",
        "Made": text(report["made_at"]),
    }
    items = "".join(f"<div><dt>{name}</dt> <dd>{value}</dd></div>" for name, value in facts.items())
    first = report.get("own") and report["holdout"] is None
    what = "A first gate: a challenger alone" if first else "The gate: a challenger against the champion"
    body = f"""<section class="result {colour}">
<p class="soft">{what}, on {"images of its own classes" if first else "the same images"}</p>
<h1>{title}</h1>
<p>{text(report["sentence"], 2000)}</p>
<dl class="facts">{items}</dl>
</section>
{_cards(report)}
<h2>Checks</h2>
{_checks(report["checks"])}
{_own(report)}
{"" if first else _set("The holdout", "holdout", report, images)}
{"" if first else _set("The newest labelled images", "recent", report, images)}
{_footer(report)}"""
    return document(f"Gate of {text(report['challenger'])}", STYLE, body)


def _version(version: str) -> str:
    return f'<code title="{text(version)}"><bdi>{text(version[:12])}</bdi></code>'


def _cards(report: Report) -> str:
    checks = {check["name"]: check for check in report["checks"]}
    if "latency" not in checks:
        return ""
    cards = [
        _accuracy("Holdout", "the fixed images that no version was trained on", report["holdout"]),
        _accuracy("Recent", "the newest labelled images", report["recent"]),
        _latency(checks["latency"]["found"]),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _accuracy(title: str, what: str, compared: Report | None) -> str:
    if compared is None:
        return _card(title, "–", f"No answers to {what}.", "")
    old, new = (compared[side]["accuracy"]["value"] for side in ("champion", "challenger"))
    return _card(
        title,
        f"{old:.1%} → {new:.1%}",
        f"right of {compared['rows']:,} images: {what}",
        f"Difference {points(compared['difference'])}. Only the challenger is right on {compared['gained_rows']:,},"
        f" only the champion on {compared['lost_rows']:,}.",
    )


def _latency(found: Report | None) -> str:
    if found is None:
        return _card("Speed", "–", "was not timed", "")
    return _card(
        "Speed",
        f"{found['value']:.2f} ×",
        "the champion's time for an image",
        f"Interval {found['low']:.2f} to {found['high']:.2f}.",
    )


def _card(title: str, number: str, unit: str, words: str) -> str:
    return (
        f'<section class="card"><h3>{title}</h3><p class="big">{number}</p><p>{unit}</p><p class="soft">{words}</p>'
        "</section>"
    )


def _checks(checks: Sequence[Report]) -> str:
    """What stands in the way comes first."""
    order = ("fail", "not enough evidence", "pass")
    return f"""<table>
<thead><tr><th scope="col">Check</th><th scope="col">Result</th><th scope="col">Measured</th>
<th scope="col">Interval, and what is allowed</th></tr></thead>
<tbody>
{"".join(map(_check, sorted(checks, key=lambda check: order.index(check["outcome"]))))}
</tbody>
</table>"""


def _check(check: Report) -> str:
    colour, says = TAGS[check["outcome"]]
    found, measured, plot = check["found"], "", ""
    if found is not None:
        side = {"above": "at least", "below": "at most"}[check["allowed"]]
        show, unit = _unit(check["unit"])
        interval = f"{show(found['low'])} to {show(found['high'])}" if found["high"] > found["low"] else ""
        measured = f'{show(found["value"])}{unit}<span class="soft">{interval}</span>'
        plot = gate_plots.interval(check, f"{side} {show(check['bound'])}{unit}")
    return (
        f'<tr><th scope="row">{escape(check["name"])}<span class="says">{text(check["sentence"], 2000)}</span></th>'
        f'<td><span class="tag {colour}">{says}</span></td><td class="measured">{measured}</td>'
        f'<td class="plotted">{plot}</td></tr>\n'
    )


def _set(title: str, name: str, report: Report, images: Mapping[str, Image]) -> str:
    compared, rules = report[name], report["rules"]
    if compared is None:
        return f"<h2>{title}</h2>\n<p>There is nothing to compare: no labelled image was answered.</p>"
    margin = rules["class_margin"] if name == "holdout" else None
    plots = [
        gate_plots.confusion("Champion", compared["champion"]["confusion"], report["classes"]),
        gate_plots.confusion("Challenger", compared["challenger"]["confusion"], report["classes"]),
        gate_plots.changes("Change of each class", compared["classes"], margin),
        gate_plots.reliability(compared["champion"], compared["challenger"]),
        gate_plots.changes("Change of each slice", compared["slices"], rules["slice_margin"]),
        _lost(compared["lost"], images),
    ]
    return f'<h2>{title}, {compared["rows"]:,} images</h2>\n<div class="plots">{"".join(plots)}</div>'


def _own(report: Report) -> str:
    """What the challenger did on its whole holdout, if the champion does not have all of its classes."""
    if not (own := report.get("own")):
        return ""
    rows = sum(map(sum, own["confusion"]))
    plots = gate_plots.confusion("Challenger", own["confusion"], report["classes"]) + gate_plots.reliability(None, own)
    return f'<h2>The holdout of the challenger, {rows:,} images</h2>\n<div class="plots">{plots}</div>'


def _lost(lost: Sequence[Report], images: Mapping[str, Image]) -> str:
    if not lost:
        return ""
    items = "".join(_image(image, images.get(image["image"])) for image in lost)
    return (
        '<section class="card"><h3>Images that only the champion has right</h3><p class="soft">Those of which the'
        f' challenger is most sure.</p><ul class="files">{items}</ul></section>'
    )


def _image(one: Report, shown: Image | None) -> str:
    png = f'<img src="data:image/png;base64,{b64encode(shown.png).decode()}" alt="">' if shown else ""
    name = f'<bdi class="name">{text(shown.name, 100)}</bdi>' if shown and shown.name else _version(one["image"])
    return (
        f'<li title="image {text(one["image"])}">{png}<span><bdi>{text(one["truth"], 40)}</bdi>, taken for'
        f" <bdi>{text(one['predicted'], 40)}</bdi> ({one['confidence']:.0%} sure){name}</span></li>"
    )


def _unit(unit: str) -> tuple[Callable[[float], str], str]:
    """How to write a number of it, and what comes after the last."""
    return {
        "share": (lambda value: f"{value:.1%}", ""),
        "points": (signed, " points"),
        "gap": (signed, " points"),
        "ratio": (lambda value: f"{value:.2f}", " times"),
        "probability": (decimal, ""),
    }[unit]


def _footer(report: Report) -> str:
    level, gain = 1 - 2 * report["rules"]["alpha"], 100 * report["rules"]["recent_gain"]
    return f"""<footer>
<p>Intervals hold the true number {level:.0%} of the time. A check passes if the whole interval is allowed, fails
if none of it is, and lacks evidence if it straddles the bound. Slices pass unless harm is shown. If the
challenger must be better, it also fails if it can be ruled out that it is better by {gain:.1f} points. Labels said
to be needed would show it with a probability of about 80%, if the challenger is in truth as good as the champion (if
it must be better: by {gain:.1f} points better), or, if that is ruled out, as measured.
The file <code>gate.json</code> beside this page says the same as the page.</p>
</footer>"""
