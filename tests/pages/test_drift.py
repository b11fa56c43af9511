"""The pages of drift: which verdicts they find, in which order, and that they show them whatever they say."""

import datetime
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import ledger_rows as seeding
import psycopg
import pytest
from conftest import Database, new_ledger
from fastapi import HTTPException
from ledger_rows import HOUR
from markupsafe import Markup
from psycopg.types.json import Jsonb
from starlette.requests import Request

from strandline.pages import charts, drift, rooms

HOSTILE = "</a><script>alert(1)</script>\u202e"
WINDOWS = 60


def page(path: str, template: str, facts: Mapping[str, Any]) -> str:
    scope = {"type": "http", "root_path": "/strandline", "path": f"/strandline{path}", "headers": []}
    return bytes(rooms.render(Request(scope), template, facts).body).decode()


def measured(shift: float, found: bool) -> dict[str, Any]:
    accuracy = {"estimate": {"value": 0.9 - shift, "low": 0.85 - shift, "high": 0.93 - shift}, "expected": 0.9}
    distance = {"value": shift, "low": 0.0, "high": shift + 0.1}
    content: dict[str, Any] = {"alpha": 0.001, "estimated": accuracy, "realized": accuracy if found else None}
    content |= {
        "label_shift": {"distance": distance, "p_value": 0.5},
        "embedding_drift": {"distance": shift, "p_value": 0},
    }
    return {"drift": content, "verdict": {"enough": True, "label_shift": False, "embedding_drift": found}}


def record(connection: psycopg.Connection, version: str, number: int, **changes: Any) -> int:
    """A report of the hour of that number: of every fifth, there were no images; every seventh warns."""
    start, warns = HOUR + datetime.timedelta(hours=number), number % 7 == 0
    row: dict[str, Any] = {"run_id": f"run {number}", "window_start": start, "model_version": version, "live": True}
    row |= {"window_end": start + datetime.timedelta(hours=1), "replaces": None, "held_back": None, "sentence": HOSTILE}
    images = 0 if number % 5 == 0 else 100
    row |= dict.fromkeys(("images", "compared", "labelled"), images) | {"asks": False}
    row |= {"action": "warn" if warns and images else "none", "folder": f"drift/{number}", "html_sha256": "0" * 64}
    row |= {"report": Jsonb(measured(number / 100, warns) if images else {"drift": None})} | changes
    columns, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    statement = f"INSERT INTO drift_reports ({columns}) VALUES ({values}) RETURNING report_id"
    found = connection.execute(statement, row).fetchone()  # type: ignore[call-overload]
    return int(found[0])


@pytest.fixture(scope="module")
def reports(postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """Of each hour by the champion; the last is of another version, and replaced by a report that is made again."""
    with new_ledger(postgres_port, tmp_path_factory.mktemp("home")) as database:
        yield fill(database)


def fill(database: Database) -> list[int]:
    first, second = seeding.register("first"), seeding.register(HOSTILE)
    with psycopg.connect(database.superuser) as connection:
        ids = [record(connection, first, number) for number in range(WINDOWS)]
        replaced = record(connection, second, WINDOWS + 1)
        again = {"run_id": "again", "live": False, "replaces": replaced, "held_back": HOSTILE}
        return [*ids, replaced, record(connection, second, WINDOWS + 1, **again)]


def test_verdicts_are_paged_from_the_newest_back(reports):
    *champions, replaced, newest = reports
    first = drift.verdicts()
    older = drift.verdicts(before=first["older"])
    found = [row["report_id"] for row in itertools.chain(first["verdicts"], older["verdicts"])]
    assert found == [newest, *reversed(champions)], "what was replaced does not stand"
    assert len(first["verdicts"]) == drift.WINDOWS
    assert (older["older"], drift.verdicts(before=10**9)["verdicts"]) == (None, [])
    assert replaced not in found


def test_verdicts_are_chosen_by_version_action_and_images(reports):
    everything = drift.verdicts()["verdicts"]
    version = everything[-1]["model_version"]
    chosen = drift.verdicts(version=version, action="warn", images=True)
    assert len(chosen["verdicts"]) == sum(number % 7 == 0 and number % 5 > 0 for number in range(WINDOWS))
    assert {(row["model_version"], row["action"]) for row in chosen["verdicts"]} == {(version, "warn")}
    assert all(row["images"] for row in drift.verdicts(images=True)["verdicts"])
    html = page("/drift", "drift.html", chosen)
    assert f'<option value="{version}" selected>' in html
    assert "<option selected>warn</option>" in html


def test_the_strip_goes_to_reports_the_newest_last_and_nothing_is_markup(reports):
    found = drift.verdicts()
    html = page("/drift", "drift.html", found)
    strip = html.partition('<ol class="strip"')[2].partition("</ol>")[0]
    links = [part.partition('"')[0] for part in strip.split('href="/strandline/drift/')[1:]]
    assert links == [str(row["report_id"]) for row in reversed(found["verdicts"])]
    assert all(letter in strip for letter in (">N<", ">W<", ">E<"))
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert f"?before={found['older']}" in html


def test_a_report_leads_to_those_around_it_and_to_the_one_that_it_replaces(reports):
    *_, last, replaced, newest = reports
    found = drift.report(last - 1)
    assert found["around"] == {"before": last - 2, "after": last, "replaced_by": None}
    assert drift.report(replaced)["around"]["replaced_by"] == newest
    html = page(f"/drift/{newest}", "drift_report.html", drift.report(newest))
    assert f'href="/strandline/drift/{replaced}"' in html
    assert '<iframe class="report" sandbox="allow-scripts allow-downloads" src="/strandline/reports/drift/61/"' in html
    assert "<script>alert" not in html
    assert reports[0] not in [row["report_id"] for row in found["others"]], "its window has no images"


def test_two_reports_stand_beside_each_other(reports):
    found = drift.report(reports[2], beside=reports[12])
    html = page(f"/drift/{reports[2]}", "drift_report.html", found)
    assert html.count("<iframe") == 2
    assert "+10.0 points" in html, "of the share in other classes"
    assert "−10.0 points" in html, "of the estimated accuracy"
    with pytest.raises(HTTPException, match="there is no drift report 1000000"):
        drift.report(reports[2], beside=10**6)


def test_without_reports_the_page_says_what_makes_them(database):
    assert "report_drift" in page("/drift", "drift.html", drift.verdicts())


def window(number: int, **columns: Any) -> dict[str, Any]:
    accuracy = ("estimated_accuracy", "realized_accuracy")
    names = ("label_shift_distance", "embedding_drift_distance", *accuracy)
    row = {name + end: None for name in names for end in ("", "_low", "_high")}
    row |= dict.fromkeys(("label_shift", "embedding_drift", "accuracy_fell"))
    return row | {"window_start": HOUR + datetime.timedelta(hours=number)} | columns


def test_a_chart_leaves_out_what_was_not_measured_and_marks_what_stands_out():
    rows = [
        window(3, embedding_drift_distance=0.3, embedding_drift=True),
        window(2),
        window(1, embedding_drift_distance=0.1),
    ]
    drawn = charts.embedding_drift(rows, 0.08)
    assert isinstance(drawn, Markup)
    figure, legend = drawn.split("<figcaption>")
    assert (figure.count('class="marked"'), figure.count("<circle"), figure.count('class="threshold"')) == (1, 1, 1)
    assert figure.index("2026-11-21 09:00 UTC") < figure.index("2026-11-21 11:00 UTC"), "the newest is drawn last"
    assert "last 0.30" in figure
    assert "0.08" in legend


def test_a_chart_of_nothing_says_so():
    assert "None of these windows was measured" in charts.accuracy([window(1)])


def test_estimated_and_realized_accuracy_stand_in_one_chart():
    low, high = {"estimated_accuracy_low": 0.85, "realized_accuracy_low": 0.8}, {"estimated_accuracy_high": 0.95}
    full = {"estimated_accuracy": 0.9, "realized_accuracy": 0.88, "realized_accuracy_high": 0.93} | low | high
    drawn = charts.accuracy([window(2, **full), window(1, **full)])
    assert drawn.count('class="area"') == 1
    assert drawn.count('<path class="truth"') == 3, "the intervals of two windows, and the legend"
    assert "90% (85% to 95%)" in drawn
