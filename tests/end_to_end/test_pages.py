"""The pages inside a real Airflow, in a real browser: who may see what, and what people do there."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from running_stack import let_the_hour_pass
from signed_in import signed_in, token
from starlette.routing import Route

from strandline.pages import application
from strandline.pages.rooms import API, MENU

DAG = "ingest_images"
ASKED = 16  # images of which neither path nor person says anything
LABELLED = 10


@pytest.fixture(scope="module")
def run(strandline, hours) -> dict[str, str]:
    """A run with images of classes, images that nothing is said of, and a file that is no image."""
    hour = next(hours)
    strandline.drop(hour, 40)
    folder = strandline.landing / f"{hour:%Y-%m-%dT%H}"
    generator = np.random.default_rng(7)
    for number in range(ASKED):
        Image.fromarray(generator.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"unknown{number}.png")
    broken = folder / "broken <b>.jpg"
    Image.linear_gradient("L").save(whole := io.BytesIO(), "JPEG")
    broken.write_bytes(whole.getvalue()[:-300])
    let_the_hour_pass(strandline.api)
    run_id = strandline.ingest(hour, quarantine_limit=1.0)
    sampled = strandline.api.trigger("ingest_labels", conf={"at_once": True})
    assert strandline.api.wait("ingest_labels", sampled, timeout=300) == "success"
    return {"run_id": run_id, "broken": f"{folder.name}/{broken.name}", "folder": str(folder)}


@pytest.fixture
def page(strandline, browser) -> Iterator[Page]:
    with signed_in(strandline, browser, "user") as context:
        yield context.new_page()


def routes() -> list[tuple[str, str]]:
    """Each route of the application as a method and an address that fits it."""
    found = []
    for route in application.application.routes:
        assert isinstance(route, Route)
        path = re.sub(r"\{[^}]*(image_id|version)[^}]*\}", "0" * 64, route.path)
        path = re.sub(r"\{[^}]*\}", "1", path)
        if not path.startswith(("/static", "/reports/assets")):
            found += [(method, path) for method in (route.methods or set()) - {"HEAD"}]
    return found


def test_every_route_is_only_for_those_who_are_signed_in(strandline, run):
    assert len(routes()) > 20
    with httpx.Client(base_url=f"{strandline.stack.url}/strandline", trust_env=False, timeout=60) as client:
        for method, path in routes():
            stranger = client.request(method, path)
            led_to_login = stranger.status_code == 303 and "/auth/login?next=" in stranger.headers["location"]
            if method == "GET" and not path.startswith(API):
                assert led_to_login, path
            else:
                assert stranger.status_code == 401, (method, path)
            forged = client.request(method, path, headers={"Authorization": "Bearer forged"})
            assert forged.status_code == 403, (method, path)


@pytest.mark.parametrize(
    ("user", "writes", "approves"),
    [("viewer", False, False), ("user", True, False), ("op", True, True), ("admin", True, True)],
)
def test_viewers_read_everything_and_write_nothing(strandline, run, user, writes, approves):
    headers = {"Authorization": f"Bearer {token(strandline, user)}"}
    with httpx.Client(
        base_url=f"{strandline.stack.url}/strandline", trust_env=False, timeout=60, headers=headers
    ) as client:
        for method, path in routes():
            status = client.request(method, path).status_code
            assert status < 500, (method, path)
            may = method == "GET" or (approves if "/serving/consumers" in path else writes)
            assert (status == 403) == (not may), (method, path, status)
        if writes:
            foreign = client.post("/labels", headers={"sec-fetch-site": "cross-site"})
            assert foreign.status_code == 403


def test_the_menu_of_airflow_has_the_pages(page, run):
    page.goto("/")
    page.get_by_role("link", name="Strandline").click()
    frame = page.frame_locator("iframe")
    expect(frame.locator("h1")).to_be_visible()
    frame.get_by_role("link", name="Runs", exact=True).click()
    expect(frame.locator("h1")).to_have_text("Runs")
    expect(page).to_have_url(re.compile("/plugin/strandline/strandline/runs$"))  # the address is that of the page
    frame.locator(f"a[href$='{quote(run['run_id'], safe='')}']").first.click()
    frame.get_by_role("link", name="Its tasks in Airflow").click()
    page.wait_for_url(f"**/dags/{DAG}/runs/**")
    expect(page.locator("iframe")).to_have_count(0)
    page.locator("a[href$='/plugin/strandline-run']").click()
    expect(frame.locator("h1")).to_be_visible()
    expect(frame.get_by_role("link", name="Its tasks in Airflow")).to_be_visible()
    page.goto(f"/dags/{DAG}")
    page.locator("a[href$='/plugin/strandline-dag']").click()
    expect(frame.locator("h1")).to_have_text("Runs")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page_is_sound_and_asks_no_other_host(strandline, browser, run, scheme, width):
    found, hosts, problems = {}, set(), []
    with signed_in(strandline, browser, "op", color_scheme=scheme, viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.on("request", lambda request: hosts.add(httpx.URL(request.url).netloc))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        (image,) = strandline.rows("SELECT image_id FROM predictions LIMIT 1")
        more = ["/explore/map", f"/runs/{run['run_id']}", f"/images/{image['image_id']}"]
        for address in [*(path for path, _ in MENU), *more]:
            answer = page.goto(f"/strandline{address}")
            assert answer.status == 200, address
            axe = Axe().run(page).response["violations"]
            serious = [(one["id"], one["nodes"][0]["html"]) for one in axe if one["impact"] in ("serious", "critical")]
            wider = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
            if serious or wider:
                found[address] = (serious, wider)
    assert found == {}
    assert {host.decode() for host in hosts} == {strandline.stack.url.removeprefix("http://")}
    assert problems == []


def test_the_theme_that_was_chosen_in_airflow_holds(page, run):
    page.goto("/strandline/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.goto("/strandline/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def shown_size(image: Locator) -> tuple[int, int]:
    """Of what the browser got, in pixels."""
    image.scroll_into_view_if_needed()
    image.evaluate("image => image.decode()")
    return tuple(image.evaluate("image => [image.naturalWidth, image.naturalHeight]"))


def test_a_refused_file_is_found_and_listed_again(strandline, page, run):
    page.goto("/strandline/")
    page.get_by_role("navigation").get_by_role("link", name="Quarantine").click()
    row = page.get_by_role("row").filter(has_text=run["broken"])
    assert shown_size(row.locator("img")) == (96, 96)
    row.get_by_role("button", name=re.compile("List again")).click()
    link = row.get_by_role("link", name="The run has begun")
    again = link.get_attribute("href").rpartition("/")[2]
    strandline.ended(unquote(again))
    outcomes = strandline.rows(
        "SELECT entries.version, state FROM entries JOIN outcomes USING (entry_id) WHERE display_name = %(name)s",
        name=run["broken"],
    )
    assert [row["state"] for row in outcomes] == ["quarantined", "quarantined"]
    row.get_by_role("link", name=run["broken"]).click()
    expect(page.locator("main")).to_contain_text("TRUNCATED")
    expect(page.locator("main b")).to_have_count(0)


def test_who_may_not_trigger_is_told_so(strandline, browser, run):
    with signed_in(strandline, browser, "viewer") as context:
        page = context.new_page()
        page.goto("/strandline/quarantine")
        row = page.get_by_role("row").filter(has_text=run["broken"]).first
        row.get_by_role("button").click()
        expect(row).to_contain_text("You may not trigger this DAG.")


def test_ten_images_are_labelled_by_keyboard(strandline, page, run):
    page.goto("/strandline/labels")
    classes = page.locator(".choices button[name=label]").all_inner_texts()
    for number in range(LABELLED):
        image = page.locator("input[name=image_id]").first.get_attribute("value")
        page.keyboard.press(str(1 + number % 3))
        page.wait_for_url(f"**/strandline/labels?last={image}")
    page.keyboard.press("u")
    expect(page.locator("main")).to_contain_text("You said")
    said = strandline.rows(
        "SELECT label, count(*) AS images FROM labels WHERE source = 'person' AND labeller = 'user' GROUP BY 1"
    )
    first_three = [name.split()[-1] for name in classes[:3]]
    assert {row["label"]: row["images"] for row in said} == dict(zip(first_three, (4, 3, 3), strict=True))


def test_an_image_of_a_file_is_shown_as_the_model_saw_it(strandline, page, run):
    page.goto("/strandline/files?q=unknown3.png")
    page.get_by_role("link", name=re.compile("unknown3.png")).first.click()
    picture = page.locator("img.large, main img").first
    expect(picture).to_be_visible()
    source = picture.get_attribute("src")
    shown = page.request.get(source)
    (folder,) = {run["folder"]}
    seen = page.evaluate(
        """async (source) => {
            const image = new Image();
            image.src = source;
            await image.decode();
            const canvas = new OffscreenCanvas(image.width, image.height);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, image.width, image.height).data];
        }""",
        source,
    )
    landed = np.asarray(Image.open(Path(folder) / "unknown3.png").convert("RGBA"))
    assert shown.headers["content-type"] == "image/png"
    assert np.array_equal(np.array(seen, np.uint8).reshape(landed.shape), landed)


def test_a_roll_back_is_asked_for_with_a_reason_and_refused_to_a_viewer(strandline, browser, run):
    (champion,) = strandline.rows("SELECT version FROM champions WHERE period @> now()")
    with signed_in(strandline, browser, "viewer") as context:
        page = context.new_page()
        page.goto("/strandline/models")
        page.locator(f"a[href$='/models/{champion['version']}']").first.click()
        page.get_by_role("textbox", name="Why").fill("it errs")
        with page.expect_request("**/dags/promote_model/dagRuns") as asked:
            page.get_by_role("button", name=re.compile("^Roll back")).click()
        assert asked.value.post_data_json["conf"] == {
            "action": "roll back",
            "reason": "it errs",
            "expected_champion": champion["version"],
        }
        expect(page.locator("form.trigger output").first).to_have_text("You may not trigger this DAG.")
