"""The page of a replay: one file without script or network, for people who ask whether a past window still holds."""

import collections
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from strandline.html.document import document, span, text

STYLE = """
.result h1 + p { font-size: 1.0625rem; }
.wide { overflow-x: auto; border-radius: .75rem; background: var(--card); }
.wide td, .wide tbody th { font-size: .9375rem; }
.wide td .name { display: block; min-width: 12rem; max-width: 24rem; }
.wide td code { white-space: nowrap; }
.wide td.same { font-weight: 600; }
.wide td.other { background: var(--odd-back); color: var(--odd); }
@media (max-width: 40rem) {
  .wide thead { display: table-header-group; }
  .wide tbody tr { display: table-row; }
  .wide tbody th, .wide tbody td, .wide th:first-child, .wide td:last-child { padding: .5rem .75rem; }
  .wide tbody th, .wide tbody td { border-top: 1px solid var(--line); }
}
"""
STATUSES = {
    "equal": ("good", "Equal"),
    "within tolerance": ("odd", "Within tolerance"),
    "unequal": ("bad", "Not equal"),
    "not compared": ("odd", "Nothing to compare with"),
    "not replayed": ("bad", "Not replayed"),
}
COUNTS = {
    "images": "Images",
    "equal": "Equal",
    "within_tolerance": "Within tolerance",
    "different": "Different",
    "unrecorded": "Not on record",
    "missing": "Not replayed",
}
SHOWN_LABELS = 20  # of the matrix
SHOWN_RUNS = 100
UNEQUAL = (
    "The same version on the same runtime has to give the same bits, on another runtime the same label and nearly the"
    " same probabilities. If it does not, either the record was changed, or this host computes wrongly, or it is"
    " not the runtime that it says it is. Replay the window on another host; run <code>check_host</code> on this one;"
    " compare the ledger with a backup of it."
)


def render(report: Mapping[str, Any]) -> str:
    """The page, as HTML, of what replay.json says."""
    window = _span(report["window"])
    body = f"""{_status(report, window)}
{_counts(report["counts"])}
{_missing(report["missing"])}
{_rows(report)}
{_agreement(report["agreement"])}
{_runs(report["runs"])}
{_periods(report["champions"])}
{_runtimes(report["runtimes"])}
<footer><p>Every image of the window has its row in <code>rows.parquet</code>, and <code>replay.json</code> says the
same as this page; both lie beside it. <b>Equal</b>: the same label, and every probability bit for bit. <b>Within
tolerance</b>: the same label, and no probability further away than {report["tolerance"]:g}. A replay changes no
prediction. Replayed at {_moment(report["replayed_at"])} by run <code>{text(report["run_id"])}</code>.</p></footer>"""
    return document(f"Replay of {window}", STYLE, body)


def _status(report: Mapping[str, Any], when: str) -> str:
    colour, title = STATUSES[report["status"]]
    names = {period["version"]: period["name"] for period in report["champions"]}
    version = report["model_version"]
    model = f"with {_model(version, names)}" if version else "each with the version that had classified it"
    advice = f"<p>{UNEQUAL}</p>" if report["status"] == "unequal" else ""
    return f"""<section class="result {colour}">
<p class="soft">Replay: the images of {when}, {model}</p>
<h1>{title}</h1>
<p>{text(report["sentence"])}</p>
{advice}
</section>"""


def _counts(counts: Mapping[str, int]) -> str:
    items = "".join(f"<div><dt>{says}</dt><dd>{counts[name]:,}</dd></div>" for name, says in COUNTS.items())
    return f'<dl class="counts">{items}</dl>'


def _missing(missing: Iterable[Mapping[str, Any]]) -> str:
    cards = "".join(
        f'<section class="card"><h3>{row["images"]:,} images: {text(row["says"])}</h3><p>{text(row["advice"])}</p>'
        f'<ul class="files">{"".join(map(_detail, row["details"]))}</ul>{_more(row["more"])}</section>'
        for row in missing
    )
    return f"<h2>What could not be replayed</h2>\n{cards}" if cards else ""


def _detail(detail: str) -> str:
    return f'<li><bdi class="name">{text(detail)}</bdi></li>'


def _more(more: int) -> str:
    return f'<p class="soft">and {more:,} more</p>' if more > 0 else ""


def _rows(report: Mapping[str, Any]) -> str:
    rows = report["rows"]
    if not rows:
        return ""
    body = [
        [
            f'<bdi class="name">{text(row["name"] or "")}</bdi><code>{row["image_id"][:12]}</code>',
            _tag(row["status"]),
            _label(row["recorded_label"]),
            _label(row["label"]),
            "–" if row["difference"] is None else f"{row['difference']:.2g}",
            f"<code>{text(row['made_in'] or '')}</code>",
        ]
        for row in rows
    ]
    table = _table(["Image", "Status", "Recorded", "Replayed", "Largest difference", "Run"], body)
    more = report["counts"]["within_tolerance"] + report["counts"]["different"] - len(rows)
    return f"<h2>Rows that are not equal</h2>\n{table}{_more(more)}"


def _tag(status: str) -> str:
    return f'<span class="tag {"bad" if status == "different" else "odd"}">{status}</span>'


def _label(label: str | None) -> str:
    return '<span class="soft">failed</span>' if label is None else f"<bdi>{text(label)}</bdi>"


def _agreement(agreement: Mapping[str, Any] | None) -> str:
    """How many images that one version called so are called how by the other: rows the former, columns the latter."""
    if not agreement:
        return ""
    matrix: collections.Counter[tuple[str, str]] = collections.Counter()
    for pair in agreement["pairs"]:
        matrix[pair["made"], pair["replayed"]] += pair["images"]
    sizes: collections.Counter[str] = collections.Counter()
    for (made, replayed), images in matrix.items():
        sizes.update(dict.fromkeys({made, replayed}, images))
    labels = sorted(label for label, _ in sizes.most_common(SHOWN_LABELS))
    heads = "".join(f'<th scope="col" class="number"><bdi>{text(label)}</bdi></th>' for label in labels)
    lines = "".join(
        f'<tr><th scope="row"><bdi>{text(made)}</bdi></th>'
        f"{''.join(_cell(matrix[made, replayed], made == replayed) for replayed in labels)}</tr>"
        for made in labels
    )
    share = agreement["agreed"] / agreement["images"]
    cut = f" The {SHOWN_LABELS} most frequent of {len(sizes):,} labels." if len(sizes) > SHOWN_LABELS else ""
    return f"""<h2>Agreement with the version that made the predictions</h2>
<p>{agreement["agreed"]:,} of {agreement["images"]:,} images ({share:.1%}) have the same label by both. A row for each
label that the prediction has, a column for each that the replay gave.{cut}</p>
<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"""


def _cell(images: int, same: bool) -> str:
    kind = "same" if same else "other" if images else "soft"
    return f'<td class="number {kind}">{images:,}</td>'


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    body = [
        [
            f"<code>{text(run['run_id'])}</code>",
            run["kind"],
            _model(run["model_version"], {run["model_version"]: run["name"]}),
            _span({"start": run["interval_start"], "end": run["interval_end"]}),
            _moment(run["loaded_at"]),
            f"{run['images']:,}",
        ]
        for run in runs[:SHOWN_RUNS]
    ]
    table = _table(["Run", "Kind", "Model version", "Interval", "Recorded", "Images"], body)
    return f"<h2>Which run predicted, and with which version</h2>\n{table}{_more(len(runs) - SHOWN_RUNS)}"


def _periods(periods: Iterable[Mapping[str, Any]]) -> str:
    body = []
    for period in periods:
        model = _model(period["version"], {period["version"]: period["name"]})
        if period["since"] is None:
            body.append([model, "never champion", "", "", ""])
            continue
        by = (
            _model(period["replaced_by"], {period["replaced_by"]: period["replaced_by_name"]})
            if period["replaced_by"]
            else ""
        )
        until = _moment(period["until"]) if period["until"] else "now"
        why = f"<bdi>{text(period['promoted_by'])}</bdi>: <bdi>{text(period['reason'])}</bdi>"
        body.append([model, _moment(period["since"]), until, by, why])
    table = _table(["Model version", "Champion since", "Replaced at", "Replaced by", "Promoted by, and why"], body)
    return f"<h2>When these versions were champion</h2>\n{table}"


def _runtimes(runtimes: Iterable[Mapping[str, Any]]) -> str:
    items = "".join(
        f'<section class="card"><h3>{sum(runtime["statuses"].values()):,} images: {_due(runtime)}</h3>'
        f"<ul>{''.join(f'<li>{text(change)}</li>' for change in runtime['changes'])}</ul>"
        f'<p class="soft">Now: {text(", ".join(map(" ".join, runtime["replayed"].items())))}</p></section>'
        for runtime in runtimes
    )
    return f"<h2>Runtime</h2>\n{items}" if items else ""


def _due(runtime: Mapping[str, Any]) -> str:
    if runtime["must_be_equal"]:
        return "the same runtime as then, so that every bit must be the same"
    if runtime["changes"]:
        return "another runtime than then, so that probabilities may move within the tolerance"
    return "the same runtime as then; on a GPU, probabilities may still move within the tolerance"


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _model(version: str, names: Mapping[str, str]) -> str:
    return f"<bdi>{text(names.get(version, ''))}</bdi> <code>{text(version[:12])}</code>"


def _span(window: Mapping[str, str]) -> str:
    return span(*(datetime.datetime.fromisoformat(window[side]) for side in ("start", "end")))


def _moment(text: str) -> str:
    moment = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
