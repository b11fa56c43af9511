"""The page of a serving process in a real browser: a picture goes in, and its bars come out, on a phone too."""

import datetime
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_files import png
from playwright.sync_api import Browser, Page, expect

import strandline_contract as contract
from strandline import settings

CHAMPION = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
READY_SECONDS = 60_000  # ms that a page may wait


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("serving")
    champion = contract.BundleRef(CHAMPION.name, contract.sha256_file(CHAMPION / contract.BUNDLE_MANIFEST))
    now = datetime.datetime.now(datetime.UTC).isoformat()
    deployment = contract.Deployment(now, champion, anonymous_requests_per_second=1000.0)
    contract.write_json(folder / contract.DEPLOYMENT_FILE, deployment.to_dict())
    command = [settings.load().vision.python, "-m", "vision.serving", "--store", CHAMPION.parent, "--folder", folder]
    environment = os.environ | {"PYTHONPATH": str(settings.REPOSITORY / "docker" / "vision")}
    process = subprocess.Popen([*command, "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[1]
        wait_until_ready(address)
        yield address
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/v2/health/ready").close()
            return
        except urllib.error.HTTPError:
            assert time.monotonic() < deadline, "no version is ready"
            time.sleep(0.05)


@pytest.fixture(params=[(1280, 800), (360, 640)], ids=["desk", "phone"])
def page(request, browser: Browser, address: str) -> Iterator[Page]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [line for line in said if "422" not in line] == []
    context.close()


def test_a_picture_shows_its_bars(page: Page, tmp_path: Path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(1))
    page.set_input_files("#file", picture)
    expect(page.locator("#bars tr")).to_have_count(10, timeout=READY_SECONDS)
    first = page.locator("#bars tr").first
    expect(page.locator("#message")).to_have_text(first.locator("td").first.inner_text())
    values = [float(bar.get_attribute("value")) for bar in page.locator("#bars progress").all()]
    assert values == sorted(values, reverse=True)
    assert abs(sum(values) - 1) < 1e-5
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#about")).to_contain_text("prediction")


def test_a_file_that_is_no_picture_shows_why(page: Page, tmp_path: Path):
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"<script>alert(1)</script>"})
    expect(page.locator("#message")).to_contain_text("UNIDENTIFIED", timeout=READY_SECONDS)
    expect(page.locator("#bars tr")).to_have_count(0)


def test_a_dropped_picture_is_taken(page: Page):
    data = page.evaluate_handle(
        """(bytes) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"})); return data; }""",
        list(png(1)),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    expect(page.locator("#bars tr")).to_have_count(10, timeout=READY_SECONDS)


def test_what_programs_may_ask_is_listed(page: Page):
    page.get_by_text("For programs").click()
    expect(page.locator("table")).to_contain_text("/classify")


def test_nothing_from_elsewhere_is_allowed(address: str):
    with urllib.request.urlopen(address) as response:
        assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
