"""The page of a drift report: what it says, and that it is safe, offline and bounded, in a real browser."""

import copy
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page

import strandline_contract as contract
from strandline.drift import detectors, evidently_page
from strandline.drift.detectors.embedding_drift import EmbeddingDrift
from strandline.drift.detectors.label_shift import LabelShift
from strandline.drift.detectors.performance import Performance
from strandline.drift.detectors.power import Detectable
from strandline.drift.evidently_report import LABEL, NUMBERS, ColumnDrift, Comparison, compare
from strandline.drift.page import Example, render
from strandline.drift.verdict import decide
from strandline.stats.estimates import Estimate

HOSTILE = [
    "</script><script>window.ran=1</script>",
    '"><img src=x onerror=window.ran=1>',
    "&#x22;&lt;img src=x onerror=window.ran=1&gt;",
    "\u202egnp.exe\udcff\x1b[31m",
    "<!--<script>window.ran=1//",
    "'-window.ran=1-'",
    "</iframe></svg></style><svg onload=window.ran=1>",
]
CLASSES = ["cat", "dog", "ship"]
RNG = np.random.default_rng(0)


def frame(rows, classes):
    labels = pd.Series(RNG.choice(np.array(classes, object), rows), dtype=object)
    return pd.DataFrame({column: RNG.normal(size=rows) for column in NUMBERS} | {LABEL: labels})


def png(side=32):
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (side, side, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def drift_of(classes=3, *, mix=0.6, images=0.5, unsure=0.4, estimate=0.92, labels=None, rows=500):
    shares = [Estimate(0.2, 0.1, 0.3)] * (classes - 1) + [Estimate(0.5, 0.4, 0.6)]
    return detectors.Drift(
        rows=rows,
        alpha=0.002,
        label_shift=LabelShift((1 / classes,) * classes, tuple(shares), Estimate(0.17, 0.13, 0.2), mix),
        embedding_drift=EmbeddingDrift(0.36, images, 500, 480, 1000),
        estimated=Performance(Estimate(estimate, estimate - 0.03, estimate + 0.03), 0.92, unsure),
        realized=labels and Performance(Estimate(0.78, 0.73, 0.82), 0.93, 1e-9, labels),
        detectable=Detectable(0.18, 0.052),
    )


def report_of(drift=None, classes=CLASSES, columns=(), earlier=(), **changed) -> dict[str, Any]:
    window = {"start": "2026-11-21T08:00:00+00:00", "end": "2026-11-21T09:00:00+00:00", "images": 512}
    compared = drift.rows if drift else 0
    shares = [0.0, 0.02, 0.08, 0.9]
    return {
        "window": window | {"compared": compared, "labelled": 0},
        "model": {"name": "resnet", "version": "3f2a91c07be4" + 52 * "0"},
        "made_at": "2026-11-21T09:07:31+00:00",
        "live": True,
        "not_live": None,
        "reopened": False,
        "replaces": None,
        "verdict": dataclasses.asdict(decide(drift, classes, earlier)),
        "held_back": None,
        "problems": [],
        "classes": classes,
        "drift": drift and dataclasses.asdict(drift),
        "predicted": {"reference": [100] * len(classes), "current": [50] * len(classes)} if drift else {"current": []},
        "confidence": {"edges": [0, 0.25, 0.5, 0.75, 1], "reference": shares, "current": shares} if drift else None,
        "calibration": None,
        "columns": [dataclasses.asdict(column) for column in columns],
        **changed,
    }


@pytest.fixture(scope="module")
def evidently() -> str:
    """Evidently's page of a window with ordinary classes."""
    return compare(frame(500, CLASSES), frame(500, CLASSES)).html


@pytest.fixture(scope="module")
def hostile() -> Comparison:
    return compare(frame(1000, [*CLASSES, *HOSTILE]), frame(500, [*HOSTILE, "</script>new"]))


@dataclasses.dataclass
class Opened:
    page: Page
    requests: list[str]
    said: list[str]


@pytest.fixture
def open_page(browser, tmp_path):
    """Open HTML without a network; what the page asks for and says is kept."""

    def opening(html: str, evidently: str = "", store: Path = tmp_path / "store", **options: Any) -> Opened:
        folder = store / "drift" / "window"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text(html, encoding="utf-8")
        evidently_page.write_shared(evidently, store)
        opened = Opened(browser.new_context(offline=True, **options).new_page(), [], [])
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("dialog", lambda dialog: opened.said.append(dialog.message))
        opened.page.goto((folder / "index.html").as_uri())
        assert opened.requests == [opened.page.url]
        return opened

    yield opening
    for context in browser.contexts:
        context.close()


def text_of(html: str, open_page) -> str:
    return open_page(html).page.locator("main").inner_text()


CASES = {
    "none": (drift_of(), (), "Nothing to do", ["within chance"] * 3),
    "warn": (
        drift_of(mix=0.0005),
        (),
        "Something changed: have a look",
        ["changed", "within chance", "within chance"],
    ),
    "first asking": (
        drift_of(images=0.0005, unsure=1e-9, estimate=0.7),
        (),
        "Something changed: have a look",
        ["within chance", "changed", "fell"],
    ),
    "retrain": (
        drift_of(images=0.0005, unsure=1e-9, estimate=0.7),
        [True],
        "The model should be retrained",
        ["within chance", "changed", "fell"],
    ),
    "small fall": (
        drift_of(unsure=0.0001, estimate=0.9),
        (),
        "Nothing to do",
        ["within chance", "within chance", "too little to matter"],
    ),
    "few": (drift_of(rows=60), (), "Too few images to tell", ["too few images"] * 3),
    "empty": (None, (), "Nothing could be compared", []),
}


@pytest.mark.parametrize(("drift", "earlier", "title", "tags"), CASES.values(), ids=CASES)
def test_the_first_screen_says_what_to_do(open_page, drift, earlier, title, tags):
    report = report_of(drift, earlier=earlier)
    opened = open_page(render(report, [], ""))
    assert opened.page.locator("h1").inner_text() == title
    assert opened.page.locator(".result h1 + p").inner_text() == report["verdict"]["sentence"]
    assert opened.page.locator(".cards .tag").all_inner_texts() == tags
    assert "21 November 2026, 08:00 to 09:00 UTC" in opened.page.locator(".result").inner_text()
    assert ("A retraining has been requested." in opened.page.locator("main").inner_text()) is (
        title.endswith("trained")
    )
    assert opened.said == []


def test_cards_say_numbers_intervals_and_chance(open_page):
    text = text_of(render(report_of(drift_of(mix=0.0005, unsure=0.04, estimate=0.9)), [], ""), open_page)
    for said in (
        "17%",
        "of the images are in other classes than usual (95% interval 13–20%)",
        "Beyond chance: hardly any unchanged windows differ as much.",
        "18% of the images or more in other classes.",
        "0.36",
        "Within chance: most unchanged windows differ as much.",
        "480 of 500 images drawn had their like among 1,000 of the reference.",
        "90%",
        "of the images, as estimated, are classified right (95% interval 87–93%)",
        "92% is usual for such a mix of classes. Within chance: few unchanged windows differ as much.",
        "a fall by 5.2 points or more, without labels.",
    ):
        assert said in text


def test_words_stand_for_p_values_and_the_numbers_are_on_hover(open_page):
    columns = [
        ColumnDrift("width", "wasserstein", 0.2, 0.01, False),
        ColumnDrift("bytes", "wasserstein", 0.2, 0.3, True),
    ]
    report = report_of(drift_of(mix=0.0005), columns=columns, column_p_values={"width": 1.0, "bytes": 0.004})
    page = open_page(render(report, [], "")).page
    assert "p =" not in page.locator("main").inner_text().replace("p = ", "p =")
    assert page.locator('td[data-label="as much by chance in"]').all_inner_texts() == [
        "very few windows",
        "nearly all windows",
    ]
    assert page.get_by_text("very few windows").get_attribute("title") == "p = 0.004"
    said = page.locator(".result h1 + p").get_attribute("title")
    assert said.startswith("p-values: mix of classes 0.0005, images 0.5, accuracy as estimated 0.4.")
    assert "no unit" not in page.content()


def test_images_of_a_burst_are_told_from_different_ones(open_page):
    drift = dataclasses.replace(drift_of(rows=60), duplicates=240)
    words = text_of(render(report_of(drift), [], ""), open_page)
    assert "512, 60 of them different" in words
    assert "the window has 300 images, 60 of them different from each other, and at least 100 are needed" in words


@pytest.mark.parametrize(
    ("labels", "first", "second"),
    [
        (
            300,
            "of 300 labelled images are classified right (95% interval 73–82%)",
            "Estimated without labels, it is 92%",
        ),
        (20, "of the images, as estimated, are classified right", "On the 20 labelled images, it is 78% (73–82%)."),
    ],
)
def test_accuracy_is_by_labels_where_there_are_enough(open_page, labels, first, second):
    points = [{"confidence": 0.9, "accuracy": 0.8, "low": 0.7, "high": 0.85, "images": labels}]
    opened = open_page(render(report_of(drift_of(labels=labels), calibration=points), [], ""))
    card = opened.page.locator(".cards .card").nth(2).inner_text()
    assert first in card
    assert second in card
    plot = opened.page.get_by_role(
        "img", name=f"Accuracy by confidence of {labels} labelled images: 90% sure, 80% right"
    )
    assert plot.count() == 1


def test_notes_say_what_is_special_of_a_report(open_page):
    report = report_of(
        drift_of(images=0.0005, unsure=1e-9, estimate=0.7),
        earlier=[True],
        live=False,
        not_live="This report raises no alarm: the window was reported before.",
        reopened=True,
        replaces={"report_id": 41, "made_at": "2026-11-21T09:07:31+00:00"},
        held_back="Retraining waits for labels.",
        problems=["12 images have no prediction."],
    )
    assert open_page(render(report, [], "")).page.locator(".notes li").all_inner_texts() == [
        "Retraining waits for labels.",
        "This report raises no alarm: the window was reported before.",
        "Labels came after this window was first reported: its accuracy is judged by them, this once. Its classes and"
        " images were judged then and raise no second alarm.",
        "Made again: replaces the report of 21 November 2026, 09:07 UTC, number 41.",
        "12 images have no prediction.",
    ]


@pytest.mark.parametrize(
    ("bypass_csp", "width"), [(False, 1280), (True, 390)], ids=["with its policy", "by escaping alone"]
)
def test_hostile_names_run_nothing_anywhere(open_page, hostile, bypass_csp, width):
    report = report_of(
        drift_of(len(HOSTILE), mix=0.0005),
        HOSTILE,
        hostile.columns,
        problems=HOSTILE,
        held_back=HOSTILE[1],
        model={"name": HOSTILE[0], "version": HOSTILE[1]},
    )
    report["columns"][0] |= {"column": HOSTILE[0], "method": HOSTILE[1], "problem": HOSTILE[2]}
    examples = [Example(name + 300 * "x", name, 0.5, png()) for name in HOSTILE]

    html = render(report, examples, hostile.html)
    opened = open_page(html, hostile.html, bypass_csp=bypass_csp, viewport={"width": width, "height": 844})
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.frames[1].url == "about:blank"  # Evidently's page is made when it is asked for
    page.get_by_text("Open Evidently's report").click()
    evidently = page.frame_locator("iframe")
    evidently.locator("tr", has_text="label").get_by_role("button").first.click()
    evidently.locator(".js-plotly-plot .xtick text", has_text="script").first.wait_for()

    assert evidently.locator(".js-plotly-plot svg").count() > 0
    assert [frame.evaluate("window.ran") for frame in page.frames] == [None, None]
    assert opened.said == []
    assert [Path(request).parent.name for request in opened.requests] == ["window", "assets"]
    assert page.frames[1].evaluate("window.origin") == "null"
    text = page.locator("main").inner_text()
    assert all(name in text for name in HOSTILE[:3] + HOSTILE[4:])
    assert r"\u202egnp.exe\udcff\x1b[31m" in text


INJECTIONS = {
    "a script": ("</head>", "<script>window.ran=1</script></head>", 0),
    "a script elsewhere": ("</head>", "<SCRIPT src=data:text/javascript,window.ran=1></SCRIPT></head>", 0),
    "a handler": ("</head>", '<img src="data:," onerror="window.ran=1"></head>', 1),
    "code after a comment": ("var global = globalThis", "var global = globalThis<!--<script>", 1),
}


@pytest.mark.parametrize(("old", "new", "frames"), INJECTIONS.values(), ids=INJECTIONS)
def test_what_is_not_evidently_in_its_page_does_not_run(open_page, evidently, old, new, frames):
    assert evidently.count(old) == 1
    changed = evidently.replace(old, new)
    opened = open_page(render(report_of(drift_of()), [], changed), changed)
    assert opened.page.locator("iframe").count() == frames
    if frames:
        opened.page.get_by_text("Open Evidently's report").click()
        opened.page.frame_locator("iframe").locator("div[id^=root_]").wait_for(state="attached")
        opened.page.frames[1].wait_for_load_state("load")
    else:
        assert "it is left out here" in opened.page.locator("main").inner_text()
    assert [frame.evaluate("window.ran") for frame in opened.page.frames] == [None] * (1 + frames)


def test_sources_are_listed_with_what_they_sent(open_page):
    accuracy = dataclasses.asdict(Performance(Estimate(0.5, 0.4, 0.6), 0.9, 1e-9, 40))
    common = {
        "predicted": [60, 40, 0],
        "rows": 100,
        "label_shift_p_value": 0.3,
        "accuracy": None,
        "accuracy_p_value": None,
    }
    sources = [{"source": "", "images": 120, **common}]
    sources += [{"source": name, "images": 100, **common} for name in HOSTILE]
    sources += [{"source": "shop1", "images": 100, **common, "accuracy": accuracy, "accuracy_p_value": 1e-8}]
    sources += [{"source": f"camera {number}", "images": 100, **common} for number in range(30)]
    opened = open_page(render(report_of(drift_of(), sources=sources), [], ""))
    text = opened.page.locator("main").inner_text()
    assert opened.said == []
    assert "without a source" in text
    assert "cat 60%, dog 40%" in text
    assert "50% of 40" in text
    assert "accuracy: hardly any windows" in text
    assert "And 19 more, in report.json." in text
    assert opened.page.evaluate("window.ran") is None


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_plots_are_readable_in_both_schemes(open_page, colour_scheme):
    page = open_page(render(report_of(drift_of()), [], ""), color_scheme=colour_scheme).page
    ink, card = (
        page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
        for where, what in (("svg.plot text", "fill"), ("figure.card", "backgroundColor"))
    )
    assert abs(brightness(ink) - brightness(card)) > 120
    assert page.get_by_role("img").count() == 2
    assert "The most changed: ship, 50% (40–60%) instead of 33%" in page.get_by_role("img").first.get_attribute(
        "aria-label"
    )


def brightness(colour: str) -> float:
    return sum(map(float, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3


def test_a_page_of_a_large_window_is_small():
    names = [f"{number}-{HOSTILE[0]}" * 20 for number in range(300)]
    comparison = compare(frame(5_000, names), frame(100_000, names))
    examples = [Example("n" * 5000, names[0], 0.5, png(140)) for _ in range(50)]
    html = render(
        report_of(drift_of(300), names, comparison.columns, problems=["x" * 10_000]), examples, comparison.html
    )
    assert len(html.encode()) < 2_000_000
    assert html.count("<figure><img") == 24
    assert html.count('text-anchor="end">') < 50


def test_evidently_is_shown_wherever_the_store_is_moved_and_a_report_without_it_says_so(open_page, evidently, tmp_path):
    html = render(report_of(drift_of()), [], evidently)
    open_page(html, evidently)
    (tmp_path / "store").rename(tmp_path / "moved #1")
    page = open_page(html, store=tmp_path / "moved #1").page
    page.get_by_text("Open Evidently's report").click()
    page.frame_locator("iframe").get_by_text("Dataset Drift").first.wait_for()
    assert not page.locator(".missing").is_visible()

    page = open_page(html, store=tmp_path / "alone").page
    page.get_by_text("Open Evidently's report").click()
    page.get_by_text("It cannot be shown").wait_for()


def test_a_store_has_one_whole_copy_of_what_evidently_pages_share(evidently, hostile, tmp_path):
    for html in (evidently, hostile.html):
        evidently_page.write_shared(html, tmp_path)
    (shared,) = (tmp_path / "assets").iterdir()
    assert shared.name == f"evidently-{contract.sha256_file(shared)}.js"
    content = shared.read_bytes()
    shared.write_bytes(content[:1000])
    evidently_page.write_shared(evidently, tmp_path)
    assert shared.read_bytes() == content


def test_a_report_is_small(evidently):
    examples = [Example("a.png", "cat", 0.5, png()) for _ in range(12)]
    page = render(report_of(drift_of()), examples, evidently)
    assert len(page.encode()) < 400_000


def test_a_page_of_evidently_that_is_too_large_is_left_out(evidently):
    page = render(report_of(drift_of()), [], evidently.replace("<body>", f"<body>{'<i>' * 2_000_000}"))
    assert len(page) < 100_000
    assert "it is left out here" in page


def test_a_report_is_not_changed_by_rendering():
    report = report_of(drift_of())
    before = copy.deepcopy(report)
    assert render(report, [], "") == render(report, [], "")
    assert report == before
