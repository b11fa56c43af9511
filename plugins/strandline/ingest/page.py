"""The page of a validation: one file without script or network, whatever the files that it shows are called."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from strandline.html.document import document

FOLLOWS = {"stop": "the run stops", "quarantine": "the row is quarantined", "warn": "a warning"}
COUNTS = {"entries": "Entries", "accepted": "Accepted", "quarantined": "Quarantined", "rejected": "Rejected"}


def render(result: Mapping[str, Any]) -> str:
    """The page, as HTML, of what validation.json says."""
    run_id, periods = escape(result["run_id"]), escape(result["periods"])
    colour = "good" if result["goes_on"] and not result["alerts"] else "bad"
    counts = "".join(
        f"<div><dt>{says}</dt><dd>{result['counts'][name]:,}</dd></div>"
        for name, says in {**COUNTS, "vanished": "Vanished"}.items()
    )
    advice = f"<p>{escape(result['advice'])}</p>" if result["advice"] else ""
    failing = [expectation for expectation in result["expectations"] if expectation["examples"]]
    body = f"""<section class="result {colour}">
<p class="soft">Validation of {periods} (UTC), run <code><bdi>{run_id}</bdi></code></p>
<h1>{escape(result["outcome"])}</h1>
{advice}
</section>
<dl class="counts">{counts}</dl>
{_warnings(result["warnings"])}
<h2>Expectations</h2>
{_table(result["expectations"])}
{_reasons("Quarantined", result["reasons"])}
{_reasons("Rejected", result["rejected"])}
{_near_duplicates(result["near_duplicates"])}
{_files(failing)}
<footer>
<p>Each packed file that was not accepted, or has a note, is in <a href="files.csv">files.csv</a>; every packed entry
has its row in <code>outcomes.parquet</code>, and <code>validation.json</code> says the same as this page. All lie
beside it. Evaluated by Great Expectations {escape(result["great_expectations"])}.</p>
</footer>"""
    return document(f"Validation of {periods}", "", body)


def _warnings(warnings: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<h2>Warnings</h2>\n<div class="card"><ul>{items}</ul></div>' if items else ""


def _table(expectations: Iterable[Mapping[str, Any]]) -> str:
    rows = "\n".join(_row(expectation) for expectation in expectations)
    return f"""<table>
<thead><tr><th scope="col">Expected</th><th scope="col">If it fails</th><th scope="col">Result</th>
<th scope="col" class="number">Evaluated</th><th scope="col" class="number">Failing</th>
<th scope="col" class="number">Share</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _row(one: Mapping[str, Any]) -> str:
    failing, evaluated = one["unexpected"], one["evaluated"]
    share = _share(failing, evaluated) if evaluated else "–"
    colour = "good" if one["success"] else "bad" if one["severity"] == "stop" else "odd"
    return (
        f'<tr><th scope="row">{escape(one["says"])}<code>{escape(one["name"])}</code></th>'
        f'<td data-label="if it fails:">{FOLLOWS[one["severity"]]}</td>'
        f'<td><span class="tag {colour}">{"holds" if one["success"] else "fails"}</span></td>'
        f'<td class="number" data-label="evaluated">{evaluated:,}</td>'
        f'<td class="number" data-label="failing">{failing:,}</td>'
        f'<td class="number" data-label="share">{share}</td></tr>'
    )


def _share(part: int, whole: int) -> str:
    """A percentage that never rounds something to nothing, nor nearly all to all."""
    if 0 < part < whole and not 0.0005 <= part / whole < 0.9995:
        return "< 0.1%" if part < whole / 2 else "> 99.9%"
    return f"{part / whole:.1%}"


def _reasons(title: str, reasons: Mapping[str, int]) -> str:
    """Bars: attributes of an image, because the policy of the page refuses styles on elements."""
    if not reasons:
        return ""
    most = max(reasons.values())
    bars = "".join(
        f"<dt><code>{escape(code)}</code></dt>"
        f'<dd><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * count / most:.2f}" height="4"/></svg></dd><dd>{count:,}</dd>'
        for code, count in reasons.items()
    )
    return f'<h2>{title}, by reason</h2>\n<dl class="card bars">{bars}</dl>'


def _near_duplicates(found: Mapping[str, Any]) -> str:
    """What `scenes` found among the images; nothing if there were none to compare."""
    if found["compared"] < 2:
        return ""
    if not found["alike"]:
        none = f"None of {found['compared']:,} images looks nearly the same as another one of this run."
        return f'<h2>Near duplicates</h2>\n<div class="card"><p>{none}</p></div>'
    largest = "".join(
        f'<li><bdi class="name">{escape(one["name"])}</bdi>'
        f'<span class="why">and {one["files"] - 1:,} more of its scene</span></li>'
        for one in found["largest"]
    )
    more = found["scenes"] - len(found["largest"])
    return f"""<h2>Near duplicates</h2>
<div class="card">
<p class="big">{found["alike"]:,} of {found["compared"]:,} images · {_share(found["alike"], found["compared"])}</p>
<p>look nearly the same as another one of this run, and show {_scenes(found["scenes"])} between them.</p>
<p>So do the frames of a burst, or of a camera that stands still. Nothing is wrong with them and all go on, but they
tell less than as many different images: drift reports count such a scene once. Files with the same bytes are one
image here, and images with hardly any texture are not compared.</p>
<ul class="files">{largest}</ul>
<p class="soft">{f"And {_scenes(more)} more: " if more else ""}<a href="near-duplicates.csv">near-duplicates.csv</a> has
all files, by scene.</p>
</div>"""


def _scenes(count: int) -> str:
    return f"{count:,} scene{'s' if count != 1 else ''}"


def _files(failing: Iterable[Mapping[str, Any]]) -> str:
    cards = "".join(
        f'<section class="card"><h3>Expected: {escape(finding["says"])}</h3><ul class="files">'
        f"{''.join(_file(example) for example in finding['examples'])}</ul>{_more(finding)}</section>"
        for finding in failing
    )
    return f"<h2>Failing files</h2>\n{cards}" if cards else ""


def _file(example: Mapping[str, Any]) -> str:
    place = (
        f"entry {example['entry']} of shard {escape(example['shard_id'][:12])}" if "entry" in example else "a folder"
    )
    why = f"<bdi>{escape(example['why'])}</bdi> · {place}" if example["why"] else place
    return f'<li><bdi class="name">{escape(example["name"])}</bdi><span class="why">{why}</span></li>'


def _more(one: Mapping[str, Any]) -> str:
    more = one["unexpected"] - len(one["examples"])
    return f'<p class="soft"><a href="files.csv">and {more:,} more</a>, all in files.csv</p>' if more > 0 else ""
