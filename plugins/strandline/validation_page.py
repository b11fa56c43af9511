"""The page of a validation: one file without script or network, whatever the files that it shows are called."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #fff; --ink: #16202a; --soft: #5b6875; --line: #dfe4e8;
  --good: #0a7a48; --good-back: #e2f5ec; --bad: #b3261e; --bad-back: #fdeceb; --odd: #8a5800; --odd-back: #fdf2dc;
  --bar: #3f7fa8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11171c; --card: #1a2229; --ink: #e6ebef; --soft: #9aa7b3; --line: #2d3841;
    --good: #6fd3a3; --good-back: #12352a; --bad: #ff9c94; --bad-back: #432020; --odd: #f0bf62; --odd-back: #3c2f13;
    --bar: #5fa3cd;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; letter-spacing: -.015em; text-wrap: balance; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.125rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; font-weight: 600; }
p { margin: .5rem 0; max-width: 46rem; }
code, .name { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .875em; }
code, .name, .why { overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.verdict { padding: 1.25rem 1.5rem; border-radius: .75rem; border-left: .375rem solid; background: var(--card); }
.verdict.good { border-color: var(--good); }
.verdict.bad { border-color: var(--bad); }
.verdict .soft { font-size: .875rem; margin: 0 0 .25rem; }
.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin: 1rem 0 0; }
.counts div { padding: .875rem 1rem; border-radius: .75rem; background: var(--card); }
.counts dt { color: var(--soft); font-size: .875rem; }
.counts dd { margin: 0; font-size: 1.5rem; font-weight: 600; letter-spacing: -.01em; }
dd, td.number { font-variant-numeric: tabular-nums; }
.card { background: var(--card); border-radius: .75rem; padding: 1rem 1.5rem; margin: 0 0 .75rem; }
table { width: 100%; border-collapse: collapse; background: var(--card); border-radius: .75rem; overflow: hidden; }
th, td { padding: .625rem .75rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-size: .8125rem; font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 500; }
th:first-child, td:first-child { padding-left: 1.5rem; }
th:last-child, td:last-child { padding-right: 1.5rem; }
th.number, td.number { text-align: right; white-space: nowrap; }
tbody th code { display: block; color: var(--soft); font-weight: 400; }
.tag { padding: .0625rem .5rem; border-radius: 1rem; font-size: .8125rem; font-weight: 600; white-space: nowrap; }
.tag.good { color: var(--good); background: var(--good-back); }
.tag.bad { color: var(--bad); background: var(--bad-back); }
.tag.odd { color: var(--odd); background: var(--odd-back); }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .375rem 1rem; align-items: center; }
.bars dt, .bars dd { margin: 0; }
.bars dd { text-align: right; }
svg { display: block; width: 100%; height: .75rem; fill: var(--bar); }
ul { margin: 0; padding-left: 1.25rem; }
ul.files { padding: 0; list-style: none; }
ul.files li { padding: .5rem 0; border-top: 1px solid var(--line); }
ul.files .why { display: block; color: var(--soft); font-size: .875rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  main { padding: 1rem .75rem 3rem; }
  h1 { font-size: 1.375rem; }
  .verdict, .card { padding: 1rem; }
  .counts { grid-template-columns: repeat(2, 1fr); gap: .5rem; }
  .counts div:first-child { grid-column: 1 / -1; }
  thead { display: none; }
  tbody tr { display: grid; grid-template-columns: 1fr 1fr auto; gap: .125rem .5rem; padding: .75rem 1rem; }
  tbody tr + tr { border-top: 1px solid var(--line); }
  tbody th, tbody td, th:first-child, td:last-child { padding: 0; border: 0; }
  tbody th { grid-column: 1 / -1; }
  tbody td:nth-child(2) { grid-column: 1 / 3; }
  tbody td:nth-child(3) { justify-self: end; }
  td.number { text-align: left; color: var(--soft); font-size: .875rem; }
  td[data-label]::before { content: attr(data-label) " "; }
}
"""
HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
FOLLOWS = {"stop": "the run stops", "quarantine": "the row is quarantined", "warn": "a warning"}
COUNTS = {"entries": "Entries", "accepted": "Accepted", "quarantined": "Quarantined", "rejected": "Rejected"}


def render(result: Mapping[str, Any]) -> str:
    """The page, as HTML, of what validation.json says."""
    run_id, colour = escape(result["run_id"]), "good" if result["goes_on"] else "bad"
    counts = "".join(
        f"<div><dt>{says}</dt><dd>{result['counts'][name]:,}</dd></div>"
        for name, says in {**COUNTS, "vanished": "Vanished"}.items()
    )
    advice = f"<p>{escape(result['advice'])}</p>" if result["advice"] else ""
    failing = [one for one in result["expectations"] if one["examples"]]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{HASH}'; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Validation of {run_id}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<section class="verdict {colour}">
<p class="soft">Validation of run <code><bdi>{run_id}</bdi></code></p>
<h1>{escape(result["verdict"])}</h1>
{advice}
</section>
<dl class="counts">{counts}</dl>
{_warnings(result["warnings"])}
<h2>Expectations</h2>
{_table(result["expectations"])}
{_reasons(result["reasons"])}
{_files(failing)}
<footer>
<p>Every entry has its row in <code>outcomes.parquet</code>, and <code>validation.json</code> says the same as this
page; both lie beside it. Evaluated by Great Expectations {escape(result["great_expectations"])}.</p>
</footer>
</main>
</body>
</html>
"""


def _warnings(warnings: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<h2>Warnings</h2>\n<div class="card"><ul>{items}</ul></div>' if items else ""


def _table(expectations: Iterable[Mapping[str, Any]]) -> str:
    rows = "\n".join(_row(one) for one in expectations)
    return f"""<table>
<thead><tr><th scope="col">Expected</th><th scope="col">Where it fails</th><th scope="col">Result</th>
<th scope="col" class="number">Evaluated</th><th scope="col" class="number">Failing</th>
<th scope="col" class="number">Share</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _row(one: Mapping[str, Any]) -> str:
    failing, evaluated = one["unexpected"], one["evaluated"]
    share = f"{failing / evaluated:.1%}" if evaluated else "–"
    colour = "good" if one["success"] else "bad" if one["severity"] == "stop" else "odd"
    return (
        f'<tr><th scope="row">{escape(one["says"])}<code>{escape(one["name"])}</code></th>'
        f'<td data-label="where it fails:">{FOLLOWS[one["severity"]]}</td>'
        f'<td><span class="tag {colour}">{"holds" if one["success"] else "fails"}</span></td>'
        f'<td class="number" data-label="evaluated">{evaluated:,}</td>'
        f'<td class="number" data-label="failing">{failing:,}</td>'
        f'<td class="number" data-label="share">{share}</td></tr>'
    )


def _reasons(reasons: Mapping[str, int]) -> str:
    """Bars: attributes of a picture, because the policy of the page refuses styles on elements."""
    if not reasons:
        return ""
    most = max(reasons.values())
    bars = "".join(
        f"<dt><code>{escape(code)}</code></dt>"
        f'<dd><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * count / most:.2f}" height="4"/></svg></dd><dd>{count:,}</dd>'
        for code, count in reasons.items()
    )
    return f'<h2>Quarantined, by reason</h2>\n<dl class="card bars">{bars}</dl>'


def _files(failing: Iterable[Mapping[str, Any]]) -> str:
    cards = "".join(
        f'<section class="card"><h3>Expected: {escape(one["says"])}</h3><ul class="files">'
        f"{''.join(_file(example) for example in one['examples'])}</ul>{_more(one)}</section>"
        for one in failing
    )
    return f"<h2>Failing files</h2>\n{cards}" if cards else ""


def _file(example: Mapping[str, Any]) -> str:
    place = f"entry {example['entry']} of shard {escape(example['shard_id'][:12])}"
    why = f"<bdi>{escape(example['why'])}</bdi> · {place}" if example["why"] else place
    return f'<li><bdi class="name">{escape(example["name"])}</bdi><span class="why">{why}</span></li>'


def _more(one: Mapping[str, Any]) -> str:
    more = one["unexpected"] - len(one["examples"])
    return f'<p class="soft">and {more:,} more</p>' if more > 0 else ""
