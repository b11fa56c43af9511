"""The map of images: where they lie, what is said of it in words, and the images of a region."""

import datetime
import shutil
from urllib.parse import parse_qs, urlsplit

import embedded_images
import ledger_rows as seeding
import numpy as np
import pytest
from ledger_rows import HOUR, File, digest
from shown_pages import HOSTILE, is_harmless, render

from strandline import settings
from strandline.pages import maps, static_files
from strandline.pages.maps import Region

WHOLE = maps.region()
LATER = HOUR + datetime.timedelta(hours=1)
COUNT = 40
# Two clouds, far from each other, each of which is longer than wide.
CLOUDS = {
    str(number): [1 + number % 2 * 8, number / 80, 1, *np.random.default_rng(number).normal(scale=0.01, size=5)]
    for number in range(COUNT)
}


def load(version, run_id="run", drop_at=HOUR, clouds=CLOUDS, name="{}.jpg"):
    files = [File(name.format(one), content=one, drop_at=drop_at, shard=run_id) for one in clouds]
    embedded_images.load(run_id, version, files, clouds)


@pytest.fixture
def version(database) -> str:
    version = seeding.register()
    load(version)
    return version


def show(chosen=WHOLE, **asked):
    return maps.show_map(chosen, **asked)


def points(found):
    return {point["image_id"]: (point["x"], point["y"]) for group in found["groups"] for point in group["points"]}


def test_what_looks_alike_lies_near_each_other_and_the_map_is_always_the_same(version):
    found = show()
    placed = points(found)
    assert placed.keys() == {digest(one) for one in CLOUDS}
    sides = [{placed[digest(str(number))][0] > 50 for number in range(first, COUNT, 2)} for first in (0, 1)]
    assert [len(side) for side in sides] == [1, 1]
    assert sides[0] != sides[1]
    assert {min(place) >= 0 and max(place) <= 100 for place in placed.values()} == {True}
    assert found["shown"] > 0.9
    assert points(show()) == placed


def test_a_plane_is_there_whatever_is_put_on_it():
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    places, shown = maps.plane(rows)
    assert places.min(axis=0).tolist() == [0, 0]
    assert places.max(axis=0) == pytest.approx([100, 100])
    assert 2 / 8 < shown < 1
    assert np.array_equal(maps.plane(rows)[0], places)
    assert maps.plane(rows[:0])[0].shape == (0, 2)
    assert maps.plane(rows[:1])[0].tolist() == [[50, 50]]
    assert maps.plane(np.ones((3, 8), np.float32))[0].tolist() == [[50, 50]] * 3
    assert maps.plane(rows[:, :1])[0][:, 1].tolist() == [50] * 50


def test_a_region_has_the_images_in_it_page_by_page_each_once(version, monkeypatch):
    monkeypatch.setattr(maps, "IMAGES", 3)
    chosen = maps.region(left=100, right=50, bottom=10, top=95)
    assert chosen == Region(50, 100, 10, 95), "however the rectangle was drawn"
    inside = {image for image, (x, y) in points(show()).items() if x >= 50 and 10 <= y <= 95}
    found, seen = show(chosen), []
    assert found["inside"] == len(inside) > 3
    while found["next"]:
        seen += [one["image_id"] for one in found["images"]]
        found = show(chosen, after=found["next"])
    seen += [one["image_id"] for one in found["images"]]
    assert (len(seen), {*seen}) == (len(inside), inside)
    html = render("map.html", show(chosen))
    assert "&amp;left=50&amp;right=100&amp;bottom=10&amp;top=95&amp;after=" in html
    assert f'href="/strandline/images/{seen[0]}?version={version}"' in html


def test_the_map_of_several_drops_is_coloured_by_drop(version):
    load(version, "later", LATER, {f"late {one}": vector for one, vector in CLOUDS.items()})
    assert len(points(show(period=HOUR))) == len(points(show())) == COUNT
    both = show(since=HOUR, period=LATER, colour="drop")
    assert [(group["name"], group["images"]) for group in both["groups"]] == [(HOUR, COUNT), (LATER, COUNT)]
    assert [group["nearest"] for group in both["groups"]] == [LATER, HOUR]
    html = render("map.html", both)
    assert "2026-11-21 08:00 UTC: 40, " in html, "for a screen reader"
    assert html.count('<time datetime="2026-11-21T08:00:00Z">') == 4, (
        "of the window, of its key, and twice in the table"
    )


def test_of_many_images_a_random_sample_is_mapped_and_the_page_says_so(version, monkeypatch):
    monkeypatch.setattr(maps, "MAPPED", 10)
    found = show()
    assert points(found).keys() == {*sorted(map(digest, CLOUDS))[:10]}
    assert "10 of 40 images" in render("map.html", found)


def test_groups_say_in_words_where_they_lie():
    places = {"a": (5, 5), "b": (50, 50), "c": (60, 55), "d": (95, 90)}
    rows = [{"label": name, "x": x + step, "y": y + step} for name, (x, y) in places.items() for step in (-1, 0, 1)]
    found = maps.groups(rows, lambda point: point["label"])
    assert [(one["name"], one["where"], one["nearest"]) for one in found] == [
        ("a", "lower left", "b"),
        ("b", "middle", "c"),
        ("c", "middle", "b"),
        ("d", "upper right", "c"),
    ]
    assert found[0]["region"] == Region(4.2, 5.8, 4.2, 5.8)


def test_beyond_the_largest_groups_images_are_others(monkeypatch):
    monkeypatch.setattr(maps, "GROUPS", 1)
    rows = [{"label": label, "x": 1, "y": 1} for label in "abbc"]
    found = maps.groups(rows, lambda point: point["label"])
    assert [(one["name"], one["images"], one["nearest"]) for one in found] == [("b", 2, None), (None, 2, "b")]


def test_without_embeddings_the_page_says_so(database):
    assert "Nothing was classified yet" in render("map.html", show())
    load(seeding.register())
    shutil.rmtree(settings.get().store / "runs")
    assert "an embedding in the store" in render("map.html", show())


def test_nothing_on_a_map_becomes_markup(database):
    load(seeding.register(), name=f"{HOSTILE}{{}}.jpg")
    html = render("map.html", show())
    assert html.count("&lt;img src=x") >= COUNT
    assert is_harmless(html)


def draw_by_mouse(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end)
    page.mouse.up()


def draw_by_finger(page, start, end):
    session = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", start), ("touchMove", end), ("touchEnd", None)):
        points = [dict(zip("xy", at, strict=True))] if at else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def write(page, start, end):
    for name, value in {"Left": 25, "Right": 75, "Bottom": 50, "Top": 90}.items():
        page.get_by_label(f"{name}, %").fill(str(value))
    page.keyboard.press("Enter")


@pytest.mark.parametrize("choose", [draw_by_mouse, draw_by_finger, write])
def test_a_rectangle_that_is_drawn_or_written_leads_to_its_images(version, browser, choose):
    address = "http://pages.test/strandline/explore/map"
    answers = {
        address: render("map.html", show(), "/explore/map"),
        "http://pages.test/strandline/static/pages.js": bytes(static_files.script().body).decode(),
        "http://pages.test/strandline/static/pages.css": bytes(static_files.style().body).decode(),
    }
    kinds = {"js": "text/javascript", "css": "text/css"}

    def answer(route):
        path = route.request.url.partition("?")[0]
        route.fulfill(body=answers.get(path, ""), content_type=kinds.get(path.rpartition(".")[2], "text/html"))

    with browser.new_context(viewport={"width": 1200, "height": 900}, has_touch=True) as context:
        page = context.new_page()
        page.route("**/*", answer)
        page.goto(address)
        box = page.locator("svg.map").bounding_box()
        start, end = (
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.75, 0.1), (0.25, 0.5))
        )
        with page.expect_navigation():
            choose(page, start, end)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
    sides = {name: float(asked[name]) for name in ("left", "right", "bottom", "top")}
    assert sides == pytest.approx({"left": 25, "right": 75, "bottom": 50, "top": 90}, abs=0.5)
    assert (asked["version"], asked["period"]) == (version, "2026-11-21T08:00:00Z")
