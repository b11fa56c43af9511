"""What all HTML pages share: one file each, which needs no network and stays harmless whatever it has to show."""

import base64
import datetime
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root {
  color-scheme: light dark;
  --page: light-dark(#f6f7f8, #11171c); --card: light-dark(#fff, #1a2229); --ink: light-dark(#16202a, #e6ebef);
  --soft: light-dark(#5b6875, #9aa7b3); --line: light-dark(#dfe4e8, #2d3841); --bar: light-dark(#3f7fa8, #5fa3cd);
  --good: light-dark(#0a7a48, #6fd3a3); --good-back: light-dark(#e2f5ec, #12352a);
  --bad: light-dark(#b3261e, #ff9c94); --bad-back: light-dark(#fdeceb, #432020);
  --odd: light-dark(#8a5800, #f0bf62); --odd-back: light-dark(#fdf2dc, #3c2f13);
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
.result { padding: 1.25rem 1.5rem; border-radius: .75rem; border-left: .375rem solid; background: var(--card); }
.result.good { border-color: var(--good); }
.result.bad { border-color: var(--bad); }
.result.odd { border-color: var(--odd); }
.result .soft { font-size: .875rem; margin: 0 0 .25rem; }
.result p { max-width: 58rem; }
.facts { display: flex; flex-wrap: wrap; gap: .125rem 1.5rem; margin: .75rem 0 0; font-size: .875rem; }
.facts dt { display: inline; color: var(--soft); }
.facts dd { display: inline; margin: 0; overflow-wrap: anywhere; }
.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin: 1rem 0 0; }
.counts div { padding: .875rem 1rem; border-radius: .75rem; background: var(--card); }
.counts dt { color: var(--soft); font-size: .875rem; }
.counts dd { margin: 0; font-size: 1.5rem; font-weight: 600; letter-spacing: -.01em; }
dd, td.number { font-variant-numeric: tabular-nums; }
.card { background: var(--card); border-radius: .75rem; padding: 1rem 1.5rem; margin: 0 0 .75rem; }
.cards, .plots { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .75rem; margin: .75rem 0 0; }
.plots { grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: start; }
.cards .card, .plots .card { margin: 0; padding: 1rem 1.25rem; }
.cards .card p, .plots .card p { font-size: .9375rem; line-height: 1.4; }
.card p.big { margin: .25rem 0 -.25rem; font-size: 2rem; font-weight: 600; line-height: 1.2; letter-spacing: -.02em; }
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
figure { margin: 0; }
figcaption { margin: .25rem 0 .5rem; font-size: .875rem; }
.key { display: inline-flex; align-items: center; gap: .375rem; margin-right: 1rem; }
.key svg { width: 1.25rem; height: .875rem; flex: none; }
svg.plot { height: auto; overflow: visible; }
svg text { fill: var(--ink); font-size: 12px; unicode-bidi: isolate; }
svg text.soft { fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg .now { fill: var(--bar); stroke: var(--bar); stroke-width: 2; }
svg path.now { fill: none; }
ul { margin: 0; padding-left: 1.25rem; }
ul.files { padding: 0; list-style: none; }
ul.files li { padding: .5rem 0; border-top: 1px solid var(--line); }
ul.files .why { display: block; color: var(--soft); font-size: .875rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 60rem) { .cards, .plots { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 40rem) {
  main { padding: 1rem .75rem 3rem; }
  h1 { font-size: 1.375rem; }
  .result, .card { padding: 1rem; }
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


def document(title: str, style: str, body: str, scripts: Sequence[str] = ()) -> str:
    """A page in which nothing runs but these inline scripts. It loads nothing but what they load from where it is.

    Args:
        title, body: HTML, in which arbitrary text went through `text` or `escape`.
        style: added to STYLE.
        scripts: sources, exactly as they stand in the body. They may write styles.
    """
    sheet = STYLE + style
    styles = "'unsafe-inline'" if scripts else hashes([sheet])
    allowed = f" script-src 'self' {hashes(scripts)};" if scripts else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';{allowed} style-src {styles}; img-src data:;
 font-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{sheet}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def text(value: str, longest: int = 300) -> str:
    """Arbitrary text for HTML: what cannot be shown, or would turn what follows around, is made visible."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value[:longest])
    return escape(shown if len(shown) <= longest and len(value) <= longest else f"{shown[: longest - 1]}…")


def span(start: datetime.datetime, end: datetime.datetime) -> str:
    """An interval, as 21 November 2026, 08:00 to 09:00 UTC; of whole days their dates alone."""
    start, end = start.astimezone(datetime.UTC), end.astimezone(datetime.UTC)
    if start.time() == end.time() == datetime.time():
        first, last = (f"{day.day} {day:%B %Y}" for day in (start, end - datetime.timedelta(days=1)))
        return f"{first if first == last else f'{first} to {last}'}, UTC"
    until = f"{end:%H:%M}" if end - start < datetime.timedelta(days=1) else f"{end.day} {end:%B %Y, %H:%M}"
    return f"{start.day} {start:%B %Y, %H:%M} to {until} UTC"


def hashes(sources: Iterable[str]) -> str:
    """As a policy names the inline scripts or styles that it allows."""
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'" for source in sources
    )
