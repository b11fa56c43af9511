"""The images of a drift report that differ most, beside what looks like them where nothing was found."""

import shutil
from collections.abc import Iterator

import drift_windows as drifting
import pytest
from conftest import new_ledger
from drift_windows import FIRST, HOUR, ingest, rows, worse
from fastapi import HTTPException
from shown_pages import is_harmless, render

from strandline import ledger, settings
from strandline.drift import evidently_report, schedule
from strandline.drift import report as reporting
from strandline.pages import drift, embeddings

IMAGES = 300


@pytest.fixture(scope="module")
def found(postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[reporting.Reported]]:
    """The reports of a quiet hour, and of two bad ones."""
    home = tmp_path_factory.mktemp("home")
    with new_ledger(postgres_port, home), pytest.MonkeyPatch.context() as patch:
        nothing = evidently_report.Comparison("", (), {})
        patch.setattr(evidently_report, "compare", lambda reference, current: nothing)
        version = drifting.register(home)
        made = []
        for number, change in enumerate([None, worse, worse]):
            run_id = ingest(version, FIRST + number * HOUR, rows(IMAGES, number, change))
            (window,) = schedule.list_windows([run_id])
            made.append(reporting.report(f"report {number}", window))
        yield made


def landed_in(images, hour):
    with ledger.connect("analyst") as connection:
        query = "SELECT DISTINCT drop_at FROM reporting.predictions WHERE image_id = ANY(%s)"
        return [row["drop_at"] for row in connection.execute(query, ([*images],))] == [hour]


def test_images_that_differ_most_stand_beside_their_like_of_the_last_quiet_window(found):
    quiet, _, last = found
    assert [report.action for report in found] == ["none", "warn", "retrain"]
    shown = drift.images(last.report_id)
    assert shown["quiet"]["report_id"] == quiet.report_id
    assert shown["compared"] == IMAGES
    differing = [pair["image"]["image_id"] for pair in shown["pairs"]]
    assert differing == shown["report_row"]["most_changed"]
    assert (len(differing), len({*differing})) == (reporting.EXAMPLES, reporting.EXAMPLES)
    assert landed_in(differing, FIRST + 2 * HOUR)
    for pair in shown["pairs"]:
        distances = [one["distance"] for one in pair["alike"]]
        assert (len(distances), distances) == (drift.ALIKE, sorted(distances))
        assert landed_in([one["image_id"] for one in pair["alike"]], FIRST)
    html = render("drift_images.html", shown)
    assert html.count('<a href="/strandline/images/') == reporting.EXAMPLES * (1 + drift.ALIKE)
    assert f'<a href="/strandline/drift/{quiet.report_id}">' in html
    assert is_harmless(html)


def test_the_report_shows_them_and_leads_there(found):
    report_id = found[1].report_id
    html = render("drift_report.html", drift.report(report_id))
    for image in drift.images(report_id)["report_row"]["most_changed"]:
        assert f'src="/strandline/images/{image}.png"' in html
    assert f'href="/strandline/drift/{report_id}/images"' in html


def test_before_the_first_window_there_is_nothing_to_lay_beside_them(found):
    shown = drift.images(found[0].report_id)
    assert (shown["quiet"], len(shown["pairs"])) == (None, reporting.EXAMPLES)
    assert "In no window before it was nothing found" in render("drift_images.html", shown)


def test_of_a_large_window_a_sample_is_compared_and_the_page_says_so(found, monkeypatch):
    monkeypatch.setattr(embeddings, "COMPARED", 50)
    shown = drift.images(found[1].report_id)
    assert shown["compared"] == 50
    assert "among 50 of the 300 images" in render("drift_images.html", shown)


def test_a_report_without_noted_images_says_what_to_do(found):
    row = drift.images(found[1].report_id)["report_row"] | {"most_changed": []}
    html = render("drift_images.html", {"report_row": row, "quiet": None, "compared": 0, "pairs": []})
    assert "to have it made again" in html
    assert f'href="/strandline/drift/{row["report_id"]}/images"' not in render(
        "drift_report.html", drift.report(row["report_id"]) | {"report_row": row}
    )


def test_a_report_that_is_not_there_is_named(found):
    with pytest.raises(HTTPException, match="there is no drift report 1000000"):
        drift.images(10**6)


def test_without_the_embeddings_the_images_are_shown_alone(found):
    store = settings.get().store
    shutil.move(store / "runs", store / "away")
    try:
        shown = drift.images(found[1].report_id)
    finally:
        shutil.move(store / "away", store / "runs")
    assert [pair["alike"] for pair in shown["pairs"]] == [[]] * reporting.EXAMPLES
    assert "has its embedding no more" in render("drift_images.html", shown)
