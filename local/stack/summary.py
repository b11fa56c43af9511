"""What came of a drop, in words that need no knowledge of the ledger."""

import dataclasses
import datetime
import os
from collections.abc import Iterable, Sequence
from typing import Any

from local.demo.broken_files import BrokenFile
from local.stack.api import Row
from strandline import ledger, periods
from strandline.stats import estimates

# The states in the order of a story; the words are those of the table.
STATES = {"ingested": "ingested", "duplicate": "duplicates", "quarantined": "quarantined", "rejected": "rejected"}
STATES |= {"vanished": "vanished", "open": "not settled"}
SHOWN_IF_NONE = ("ingested", "duplicate", "quarantined", "rejected")


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of one drop: entries by state and reason, and how the model of one run did on its images.

    `correct` of `labelled` images got the label that their path gives.
    """

    drop: datetime.datetime
    outcomes: dict[str, dict[str | None, int]]
    model: str
    model_version: str
    classified: int
    labelled: int
    correct: int
    newly_listed: int

    @classmethod
    def read(cls, url: str, drop: datetime.datetime, run_id: str) -> "Summary":
        """From the ledger at `url`; the model is the one that the run had pinned."""
        with ledger.connect("ingest", url) as connection:
            (run,) = ledger.fetch(connection, "select_run", {"run_id": run_id})
            query = {"drop_at": drop, "model_version": run["model_version"], "version": run["model_version"]}
            counts = ledger.fetch(connection, "count_drop_outcomes", query)
            (score,) = ledger.fetch(connection, "score_drop", query)
            (model,) = ledger.fetch(connection, "select_model_version", query)
        outcomes: dict[str, dict[str | None, int]] = {}
        for row in counts:
            outcomes.setdefault(row["state"], {})[row["reason"]] = row["entries"]
        return cls(drop, outcomes, model["name"], run["model_version"], **score, newly_listed=run["listed"])

    @property
    def listed(self) -> int:
        return sum(sum(reasons.values()) for reasons in self.outcomes.values())

    def lines(self) -> list[str]:
        """The table, a line each."""
        period = periods.get()
        lines = [_line("listed", self.listed, f"in the {period.noun} {period.write(self.drop)}")]
        for state, word in STATES.items():
            reasons = self.outcomes.get(state, {})
            if reasons or state in SHOWN_IF_NONE:
                lines.append(_line(word, sum(reasons.values())))
            lines += [_line("", count, str(reason)) for reason, count in reasons.items() if reason]
        lines.append(_line("classified", self.classified, f"by {self.model}, version {self.model_version[:12]}"))
        if self.labelled:
            low, high = estimates.wilson(self.correct, self.labelled)
            share = f"{self.correct / self.labelled:.1%}"
            lines.append(
                f"  {'accuracy':12} {share:>9}   95 % interval {low:.1%} to {high:.1%}, against the folder names"
            )
        return lines


def _line(word: str, count: int, remark: str = "") -> str:
    return f"  {word:12} {count:9,}   {remark}".rstrip()


def phases(instances: Iterable[Row], names: Sequence[str], images: int) -> list[str]:
    """Seconds on the clock and images/s of each phase, start of its processes included, and of the whole run."""
    spans = {}
    for name in names:
        rows = [row for row in instances if row["task_id"] == name and row["start_date"] and row["end_date"]]
        if rows:
            spans[name] = min(_time(r["start_date"]) for r in rows), max(_time(r["end_date"]) for r in rows)
    lines = [f"  {'phase':12} {'seconds':>9} {'images/s':>10}"]
    for name, (start, end) in spans.items():
        lines.append(_rate(name, (end - start).total_seconds(), images))
    whole = max(end for _, end in spans.values()) - min(start for start, _ in spans.values())
    return [*lines, _rate("all", whole.total_seconds(), images)]


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def _rate(name: str, seconds: float, images: int) -> str:
    return f"  {name:12} {seconds:9.1f} {images / seconds if seconds else 0:10,.0f}"


def network_rate(url: str, run_id: str) -> str:
    """The line of the network alone, without the start of its process; empty if the run classified nothing."""
    with ledger.connect("ingest", url) as connection:
        (row,) = ledger.fetch(connection, "sum_classify_seconds", {"run_id": run_id})
    return _rate("network", row["seconds"], row["images"]) if row["seconds"] else ""


def surprises(url: str, drop: datetime.datetime, expected: Sequence[BrokenFile]) -> list[str]:
    """The broken files that came to another end than expected, a line each."""
    with ledger.connect("ingest", url) as connection:
        found: dict[bytes, dict[str, Any]] = {
            bytes(row["name"]): row for row in ledger.fetch(connection, "select_drop_outcomes", {"drop_at": drop})
        }
    lines = []
    for broken in expected:
        row = found.get(os.fsencode(drop.strftime(periods.get().path_format)) + b"/" + broken.name)
        end = (row["state"], row["reason"]) if row else ("not listed", None)
        if end != (broken.state, broken.reason):
            lines.append(f"{broken.name!r} ({broken.why}): {_end(*end)}, expected {_end(broken.state, broken.reason)}")
    return lines


def _end(state: str | None, reason: str | None) -> str:
    return f"{state or 'not settled'} {reason or ''}".rstrip()
