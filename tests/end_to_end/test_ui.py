"""Airflow's own pages, in a real browser: what operators open every day answers, and shows what it should."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from local.stack import configuration

TIMEOUT = 60_000  # ms: on a busy machine, a page takes its time


@pytest.fixture(scope="module")
def page(strandline) -> Iterator[Page]:
    """A page of Airflow's UI, signed in as admin; `failed` collects the requests that the server could not answer."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.fail("the pages are tested in a browser: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT)
        page.goto(strandline.stack.url)
        page.locator("input").first.fill("admin")
        page.locator("input[type=password]").fill(configuration.passwords(strandline.stack.settings)["admin"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{strandline.stack.url}/")
        yield page
        browser.close()


@pytest.fixture
def failed(page) -> Iterator[list[str]]:
    """The requests of the page that end in an error of the server, from now on."""
    errors: list[str] = []

    def note(response) -> None:
        if response.status >= 500:
            errors.append(f"{response.status} {response.url}")

    page.on("response", note)
    yield errors
    page.remove_listener("response", note)


def test_the_asset_graph_is_drawn(strandline, page, failed):
    for asset in strandline.api.rows("/assets", "assets"):
        page.goto(f"{strandline.stack.url}/assets/{asset['id']}")
        expect(page.locator(".react-flow__node", has_text=asset["name"]).first).to_be_visible(timeout=TIMEOUT)
    assert not failed


def test_every_dag_has_its_pages_and_its_form(strandline, page, failed):
    dags = [dag["dag_id"] for dag in strandline.api.dags()]
    assert dags
    for dag in dags:
        page.goto(f"{strandline.stack.url}/dags/{dag}")
        for tab in ("runs", "tasks", "events", "code", "details"):
            page.locator(f"a[href='/dags/{dag}/{tab}']").first.click()
            page.wait_for_url(f"**/dags/{dag}/{tab}")
        page.get_by_role("button", name="Trigger").first.click()
        expect(page.get_by_role("dialog")).to_contain_text(dag, timeout=TIMEOUT)
        page.keyboard.press("Escape")
    assert not failed
