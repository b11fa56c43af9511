"""Reports, opened in a real browser from Airflow: by whoever may see the DAG, and harmless whatever is in them."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect
from signed_in import TIMEOUT

from local.stack import configuration
from strandline import reports

LINK = "Open report"


@pytest.fixture(scope="module")
def run(strandline, hours, report_drift) -> dict:
    """A run of ingest_images, and a drift report of its hour."""
    hour = next(hours)
    strandline.drop(hour, 60)
    run_id = strandline.ingest(hour)
    reported = strandline.api.trigger("report_drift", conf={"start": f"{hour:%Y-%m-%dT%H}"})
    ended = strandline.api.wait("report_drift", reported)
    assert ended == "success", [
        strandline.api.log("report_drift", reported, row)[-30:]
        for row in strandline.api.task_instances("report_drift", reported)
    ]
    (row,) = strandline.rows(
        "SELECT folder, images, action FROM drift_reports WHERE run_id = %(run_id)s", run_id=reported
    )
    folder = strandline.stack.settings.run_folder(run_id)
    return {
        "run_id": run_id,
        "reported": reported,
        "validation": folder.name,
        "drift": row["folder"].removeprefix("drift/"),
        "note": f"{hour:%Y-%m-%dT%H}: {row['images']} images, {row['action']}",
    }


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """Of somebody who has not signed in yet."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    yield page
    context.close()


def sign_in(strandline, page: Page, user: str) -> None:
    page.locator("input").first.fill(user)
    page.locator("input[type=password]").fill(configuration.passwords(strandline.stack.settings)[user])
    page.get_by_role("button", name="Sign in").click()


def test_who_is_not_signed_in_is_led_to_the_login_and_back_to_the_report(strandline, page, run):
    address = strandline.stack.url + reports.path("validation", run["validation"])
    page.goto(address)
    sign_in(strandline, page, "viewer")
    page.wait_for_url(address)
    expect(page.locator("h1")).to_contain_text("The run goes on")
    with page.expect_download() as download:
        page.evaluate("document.querySelector('main').innerHTML += '<a id=csv href=files.csv>files.csv</a>'")
        page.locator("#csv").click()
    assert download.value.path().read_text().startswith("\ufeff") or "," in download.value.path().read_text()


def test_the_task_that_writes_a_report_has_a_button_that_opens_it(strandline, page, run):
    task = f"/dags/ingest_images/dagRuns/{run['run_id']}/taskInstances/validate"
    links = strandline.api.request("GET", f"{task}/links")["extra_links"]
    assert links == {LINK: strandline.stack.url + reports.path("validation", run["validation"])}
    page.goto(f"{strandline.stack.url}/dags/ingest_images/runs/{run['run_id']}/tasks/validate")
    sign_in(strandline, page, "viewer")
    page.get_by_role("link", name="Details").click()
    expect(page.get_by_role("link", name=LINK)).to_have_attribute("href", links[LINK], timeout=TIMEOUT)


def test_a_run_has_a_note_of_what_its_report_says(strandline, run):
    assert strandline.api.run("report_drift", run["reported"])["note"] == run["note"]
    assert strandline.api.run("ingest_images", run["run_id"])["note"].startswith("60 files: 60 accepted, ")


def test_a_drift_report_opens_with_evidentlys_own_in_it(strandline, page, run):
    page.goto(strandline.stack.url + reports.path("drift", run["drift"]))
    sign_in(strandline, page, "viewer")
    page.get_by_text("Open Evidently's report").click()
    page.frame_locator("iframe").locator("div[id^=root_]").wait_for(state="attached")


def test_a_hostile_report_reaches_nothing_of_airflow(strandline, page, run):
    folder = strandline.stack.settings.store / "drift" / "hostile"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(
        """<!doctype html><title>waiting</title><script>
        const tries = [
          fetch('/api/v2/dags', {credentials: 'include'}).then(answer => answer.json()),
          fetch('/api/v2/dags/ingest_images', {method: 'PATCH', body: '{"is_paused": true}', credentials: 'include'}),
          new Promise((yes, no) => { try { yes(localStorage.length) } catch (error) { no(error) } }),
          new Promise((yes, no) => { try { yes(document.cookie) } catch (error) { no(error) } }),
        ];
        Promise.allSettled(tries).then(ends => { document.title = ends.map(end => end.status).join(' ') });
        </script>"""
    )
    page.goto(strandline.stack.url + reports.path("drift", "hostile"))
    sign_in(strandline, page, "admin")
    expect(page).to_have_title("rejected rejected rejected rejected", timeout=TIMEOUT)
    assert page.evaluate("window.origin") == "null"
    assert strandline.api.request("GET", "/dags/ingest_images")["is_paused"] is False


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("drift/no-such-report/", 404),
        ("drift/no-such-report", 307),  # to the address with a slash
        ("validation/{validation}/outcomes.parquet", 404),
        ("validation/{validation}/..%2F..%2F..%2Fpasswords.json", 404),
        ("validation/..%2F..%2Fmodels/", 404),
        ("nothing/at-all/", 404),
        ("assets/evidently-0.js", 404),
        ("assets/..%2F..%2Fpasswords.json", 404),
    ],
)
def test_there_is_nothing_but_reports(strandline, run, path, status):
    with httpx.Client(base_url=strandline.stack.url, trust_env=False) as client:
        login = {"username": "admin", "password": configuration.passwords(strandline.stack.settings)["admin"]}
        client.headers["Authorization"] = f"Bearer {client.post('/auth/token', json=login).json()['access_token']}"
        answer = client.get(f"{reports.PREFIX}/{path.format(**run)}")
    assert answer.status_code == status


def test_no_address_answers_somebody_unknown(strandline, run):
    paths = [reports.path(kind, run.get(kind, "any")) for kind in reports.PLACES]
    paths += [f"{path}index.html" for path in paths]
    with httpx.Client(base_url=strandline.stack.url, trust_env=False) as client:
        for path in paths:
            answer = client.get(path)
            assert (answer.status_code, answer.content) == (303, b""), path
            assert "/auth/login?next=" in answer.headers["location"]
            forged = client.get(path, headers={"Authorization": "Bearer forged"})
            assert forged.status_code == 403
            assert "The run goes on" not in forged.text
        for page in ("docs", "redoc", "openapi.json"):
            assert client.get(f"/strandline/{page}", follow_redirects=True).status_code == 404
