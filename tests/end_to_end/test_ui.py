"""Airflow's own pages, in a real browser: what operators open every day answers, and shows what it should."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from signed_in import TIMEOUT

from local.stack import configuration


@pytest.fixture(scope="module")
def page(strandline, browser) -> Page:
    """A page of Airflow's UI, signed in as admin; `failed` collects the requests that the server could not answer."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(strandline.stack.url)
    page.locator("input").first.fill("admin")
    page.locator("input[type=password]").fill(configuration.passwords(strandline.stack.settings)["admin"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{strandline.stack.url}/")
    return page


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
