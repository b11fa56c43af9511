"""People in a real browser, signed in to a running Strandline."""

import datetime
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect
from running_stack import Strandline

from local.stack import configuration

TIMEOUT = 60_000  # ms: on a busy machine, a page takes its time
expect.set_options(timeout=TIMEOUT)


def token(strandline: Strandline, user: str) -> str:
    """What Airflow's API takes for this user's word."""
    login = {"username": user, "password": configuration.passwords(strandline.stack.settings)[user]}
    answer = httpx.post(f"{strandline.stack.url}/auth/token", json=login, trust_env=False, timeout=60)
    return str(answer.json()["access_token"])


def signed_in(strandline: Strandline, browser: Browser, user: str, **options: Any) -> BrowserContext:
    """A browser of this user's own; `options` are Playwright's."""
    context = browser.new_context(base_url=strandline.stack.url, **options)
    context.set_default_timeout(TIMEOUT)
    context.add_cookies([{"name": "_token", "value": token(strandline, user), "url": strandline.stack.url}])
    return context


def press(page: Page, name: str) -> str:
    """Press a button of a page that begins a run, and give the run's id."""
    page.get_by_role("button", name=re.compile(f"^{name}")).first.click()
    link = page.get_by_role("link", name="The run has begun").get_attribute("href")
    assert link
    return str(httpx.URL(link).path.rpartition("/")[2])


def backfill(page: Page, dag: str, first: datetime.datetime, last: datetime.datetime, *choices: str) -> None:
    """Fill in Airflow's form for a backfill, and send it. `choices` are labels of what is to be ticked."""
    page.goto(f"/dags/{dag}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog").filter(has_text=dag)
    form.get_by_text("Backfill", exact=True).click()
    for moment in (first, last):
        form.get_by_text("Select date and time").first.click()
        page.get_by_placeholder("YYYY/MM/DD").fill(f"{moment:%Y/%m/%d}")
        page.get_by_placeholder("HH:mm").fill(f"{moment:%H:%M}")
        page.keyboard.press("Escape")
    for choice in choices:
        form.get_by_text(choice, exact=True).click()
    form.get_by_role("button", name="Run Backfill").click()
    expect(form).to_have_count(0)


def reload_until(page: Page, address: str, shown: Callable[[Page], bool], seconds: float = 120) -> None:
    """Open a page until it shows what is waited for."""
    deadline = time.monotonic() + seconds
    page.goto(address)
    while not shown(page):
        assert time.monotonic() < deadline, f"{address} does not show it:\n{page.locator('main').inner_text()}"
        page.goto(address)
