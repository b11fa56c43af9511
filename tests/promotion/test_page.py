"""The page of a gate, in a real browser: what it says, and that names of classes stay text."""

import dataclasses
import json

import numpy as np
import pytest
from playwright.sync_api import Page

from strandline.models import thumbnails
from strandline.promotion import page as gate_page
from strandline.promotion.check import InfraValidation
from strandline.promotion.comparison import Answers, LabelledSet
from strandline.promotion.gate import examine
from strandline.promotion.rules import Rules

HOSTILE = (
    "<img src=x onerror=window.ran=1>",
    '"><script>window.ran=1</script>',
    "</style></title></text><svg onload=window.ran=1>",
    "\u202eevil\x1b[31m\n",
    "x" * 300,
)
RULES = Rules(recent_rule="non-inferior")


def labelled(rows, lost, classes, slices=()):
    """Each class in turn; both models miss every tenth image, the challenger `lost` more."""
    truth = np.arange(rows) % classes
    wrong = (truth + 1) % classes
    champion = np.where(np.arange(rows) % 10 == 0, wrong, truth)
    challenger = np.where((np.arange(rows) % 10 == 1) & (np.arange(rows) < 10 * lost), wrong, champion)

    def answers(predicted):
        probabilities = np.full((rows, classes), 0.1 / (classes - 1))
        probabilities[np.arange(rows), predicted] = 0.9
        return Answers(predicted, probabilities)

    masks = {name: np.arange(rows) % len(slices) == number for number, name in enumerate(slices)}
    return LabelledSet([f"{row:064x}" for row in range(rows)], truth, answers(champion), answers(challenger), masks)


def report(classes=("bird", "cat", "dog"), lost=0, recent=2000, ratio=1.0, slices=(), loaded=True):
    seconds, golden = np.array([1.0, 1.01, 0.99, 1.02, 0.98, 1.01]), np.full((2, 3), 1 / 3)
    validation = InfraValidation(loaded, seconds, ratio * seconds[::-1], golden, golden, "<b>no memory</b>")
    holdout, newest = (
        (labelled(6000, lost, len(classes)), labelled(recent, 0, len(classes), slices) if recent else None)
        if loaded
        else (None, None)
    )
    found = {
        "challenger": "a7" * 32,
        "champion": "3f" * 32,
        "requested_by": "<i>ada</i>",
        "made_at": "21 November 2026, 08:00 UTC",
        "rules": dataclasses.asdict(RULES),
        **dataclasses.asdict(examine(classes, holdout, newest, validation, RULES)),
    }
    return json.loads(json.dumps(found, allow_nan=False))  # as it comes back from gate.json


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page offline, and looks whether it asks for anything or says anything to the console."""
    contexts, requests, said = [], [], []

    def opens(found, width=1280, bypass_csp=False, images=None) -> Page:
        path = tmp_path / "index.html"
        path.write_text(gate_page.render(found, images or {}), encoding="utf-8")
        contexts.append(
            browser.new_context(offline=True, bypass_csp=bypass_csp, viewport={"width": width, "height": 800})
        )
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield opens
    for context in contexts:
        context.close()
    assert requests == [(tmp_path / "index.html").as_uri()] * len(contexts)
    assert said == []


@pytest.mark.parametrize(
    ("changes", "title", "colour"),
    [
        ({}, "The challenger passes: it may be approved", "good"),
        ({"lost": 300}, "The challenger fails: it cannot be promoted", "bad"),
        ({"recent": 300, "lost": 10}, "The challenger passes: it may be approved", "good"),
        ({"recent": 100}, "Not enough evidence: it cannot be promoted yet", "odd"),
        ({"recent": 0}, "Not enough evidence: it cannot be promoted yet", "odd"),
    ],
)
def test_the_verdict_is_what_is_seen_first(opened, changes, title, colour):
    page = opened(report(**changes))
    verdict = page.locator(".result")
    assert verdict.locator("h1").inner_text() == title
    assert colour in verdict.get_attribute("class").split()
    assert verdict.bounding_box()["y"] < 100


def test_every_check_has_its_row_and_what_stands_in_the_way_comes_first(opened):
    found = report(lost=300, ratio=1.24, recent=100)
    page = opened(found)
    rows = [row.inner_text() for row in page.locator("tbody tr").all()]
    assert len(rows) == len(found["checks"]) == 10
    tags = page.locator("tbody .tag").all_inner_texts()
    order = ("fails", "not enough evidence", "passes")
    assert set(tags) == set(order)
    assert tags == sorted(tags, key=order.index)
    for check in found["checks"]:
        assert any(check["sentence"] in row for row in rows)
    measured = [check for check in found["checks"] if check["found"]]
    assert page.locator("td.plotted svg").count() == len(measured) == 8  # loading is no number, and there are no slices
    holdout = page.locator("tbody tr", has_text="Accuracy on 6,000 holdout images").locator("td.plotted svg")
    dot, bound = holdout.locator("circle").bounding_box(), holdout.locator("line.bound").bounding_box()
    assert dot["x"] + dot["width"] < bound["x"]  # the loss is left of what is allowed


def test_plots_show_both_sets(opened):
    page = opened(report(slices=("source=camera1", "source=camera2"), lost=30))
    titles = page.locator("figure h3").all_inner_texts()
    assert titles.count("Champion: what each class was taken for") == 2
    assert titles.count("Change of each class") == titles.count("Is it as sure as it is right?") == 2
    assert titles.count("Change of each slice") == 1
    cells = page.locator("figure").nth(1).locator("svg.plot text.small").all_text_contents()
    assert sum(map(int, cells)) == 6000
    assert page.locator("ul.files li").count() == 12


def test_images_that_are_lost_are_shown_by_name_and_picture(opened):
    found = report(lost=30)
    ids = [one["image"] for one in found["holdout"]["lost"]]
    image = thumbnails.thumbnail(bytes(range(192)) * 16, (32, 32))
    page = opened(found, images={ids[0]: gate_page.Image(HOSTILE[0], image), ids[1]: gate_page.Image(None, image)})
    named, unnamed, unseen = page.locator("ul.files li").all()[:3]
    assert HOSTILE[0] in named.inner_text()
    assert [item.locator("img").count() for item in (named, unnamed, unseen)] == [1, 1, 0]
    assert named.locator("img").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [32, 32]
    assert ids[1][:12] in unnamed.inner_text()


def test_a_challenger_that_does_not_load_has_a_page(opened):
    text = opened(report(loaded=False)).locator("main").inner_text()
    assert "or does not answer: <b>no memory</b>" in text
    assert text.count("There is nothing to compare") == 2


@pytest.mark.parametrize("count", [30, 70])
def test_many_classes_are_no_trouble(opened, count):
    page = opened(report(classes=tuple(f"class {number}" for number in range(count))), width=400)
    assert page.locator("text=Too many classes to draw").count() == (4 if count == 70 else 0)
    assert page.locator("h3", has_text=f"the 20 of {count} that may have lost most").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("bypass_csp", [False, True], ids=["with its policy", "by escaping alone"])
@pytest.mark.parametrize("width", [1280, 400])
def test_names_run_nothing(opened, bypass_csp, width):
    page = opened(report(classes=HOSTILE, lost=300, slices=HOSTILE), width, bypass_csp)
    assert page.evaluate("window.ran") is None
    assert page.locator("script, img, link, iframe, object, i, b").count() == 0
    text = page.locator("main").text_content()
    assert HOSTILE[0] in text
    assert r"\u202eevil\x1b[31m\n" in text
    assert "<i>ada</i>" in text
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
