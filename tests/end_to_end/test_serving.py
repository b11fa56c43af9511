"""The champion over HTTP beside a real Airflow: the bits of its batch rows, promotions under load, deaths."""

import json
import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from asking import RATE, Load, champion, consumer, like_the_champion, on_record, wait_for
from gates import answer, hold
from playwright.sync_api import expect
from running_stack import Strandline

import strandline_contract as contract
from local.stack import serving
from strandline import ledger, periods
from strandline.promotion import promotion


@pytest.fixture(scope="module")
def pictures(strandline: Strandline, hours) -> list[Path]:
    """Of a drop that the champion has classified."""
    hour = next(hours)
    strandline.drop(hour, 40)
    strandline.ingest(hour)
    return sorted((strandline.landing / f"{hour:%Y-%m-%dT%H}").glob("*/*.*"))


def test_an_answer_has_the_bits_of_the_batch_row(strandline, served, pictures):
    """By curl, as people call it."""
    answers = {}
    for path in pictures:
        command = ["curl", "--silent", "--data-binary", f"@{path}", f"{served}/classify"]
        said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        answers[contract.sha256_file(path)] = said
    on_record(strandline, {said["prediction_id"] for said in answers.values()})
    rows = strandline.rows(
        "SELECT DISTINCT image_id, served.label, served.confidence::text, served.probabilities::text,"
        " batch.label AS same_label, batch.confidence::text AS same_confidence, batch.probabilities::text AS same"
        " FROM served_predictions AS served JOIN predictions AS batch USING (image_id)"
        " WHERE batch.model_version = served.version AND prediction_id = ANY (%(predictions)s)",
        predictions=[said["prediction_id"] for said in answers.values()],
    )
    assert len(rows) == len(pictures)
    for row in rows:
        assert (row["label"], row["confidence"], row["probabilities"]) == (
            row["same_label"],
            row["same_confidence"],
            row["same"],
        )
        assert answers[row["image_id"]]["label"] == row["label"]


def test_the_page_answers_a_picture_that_a_person_gives_it(served, browser, pictures):
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto(served)
        page.locator("input[type=file]").set_input_files(pictures[0])
        expect(page.locator("main")).to_contain_text(pictures[0].parent.name)
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def test_what_was_served_is_a_drop_of_a_source_of_its_own(strandline, served, pictures):
    """With new bytes, it is classified in its hour as any other, and what its application says is its label."""
    data = pictures[0].read_bytes() + b"as an application sent it"
    said = httpx.post(f"{served}/classify", content=data, trust_env=False).json()
    assert said["notes"][0] == "TRAILING_DATA"
    httpx.post(
        f"{served}/feedback", json={"prediction_id": said["prediction_id"], "label": "frog"}, trust_env=False
    ).raise_for_status()
    landed = f"serving/*/{said['image_id']}.*"
    [path] = wait_for(lambda: list(strandline.landing.glob(landed)))
    hour = periods.get().parse(path.parent.name)
    strandline.ingest(hour)
    query = (
        "SELECT source, label, probabilities::text FROM entries JOIN outcomes USING (entry_id)"
        " JOIN predictions USING (image_id) WHERE image_id = %(image)s"
    )
    [row] = strandline.rows(query, image=said["image_id"])
    assert (row["source"], row["label"]) == ("serving", said["label"])
    labels = "SELECT label FROM labels WHERE image_id = %(image)s AND source = 'feedback'"
    assert wait_for(lambda: strandline.rows(labels, image=said["image_id"])) == [{"label": "frog"}]


def test_a_promotion_and_a_roll_back_under_load_lose_no_request(strandline, served, config, pictures, tmp_path):
    first = champion(strandline)
    second = like_the_champion("served beside it", tmp_path)
    load = Load(served, consumer(strandline, "create", "--name", "load", "--rate", str(2 * RATE)), pictures)
    with load.running():
        load.wait(RATE)
        promotion.record_approval(hold("a gate for serving", second, first), answer())
        promotion.promote("a gate for serving")
        wait_for(lambda: load.answers[-1].json()["model_version"] == second)
        load.wait(RATE)
        promotion.roll_back("back from serving", "op", "it was to see that it works")
        wait_for(lambda: load.answers[-1].json()["model_version"] == first)
        load.wait(RATE)
    assert (load.lost, len(load.answers), {said.status_code for said in load.answers}) == (0, load.sent, {200})
    versions = {said.json()["prediction_id"]: said.json()["model_version"] for said in load.answers}
    assert set(versions.values()) == {first, second}
    assert {row["prediction_id"]: row["version"] for row in on_record(strandline, set(versions))} == versions
    seen = strandline.rows("SELECT version, predictions FROM reporting.served_versions WHERE consumer = 'load'")
    assert {row["version"] for row in seen} == {first, second}
    assert sum(row["predictions"] for row in seen) == len(versions)


def test_what_was_answered_is_on_record_though_everything_dies(strandline, served, config, pictures):
    load = Load(served, consumer(strandline, "create", "--name", "survivor", "--rate", str(2 * RATE)), pictures)
    with load.running():
        load.wait(RATE)
        for module in ("vision.decoding.worker", "vision.models.network_worker"):
            kill_children(strandline, module)
            load.wait(RATE // 2)
        assert (load.lost, {said.status_code for said in load.answers}) == (0, {200})
        for name in (serving.AGENT, serving.SERVER):
            kill(strandline, name)
        wait_for(lambda: load.lost)
        wait_for(lambda: serving.is_ready(strandline.stack.settings))
        load.wait(RATE)
    answered = {said.json()["prediction_id"] for said in load.answers if said.status_code == 200}
    assert len(on_record(strandline, answered)) == len(answered)
    with ledger.connect("ingest", config.database_url) as connection:
        assert {name: rows for name, rows in ledger.check_invariants(connection).items() if rows} == {}


def test_who_is_revoked_is_refused_within_seconds(strandline, served, pictures):
    token = consumer(strandline, "create", "--name", "shop")
    content, headers = pictures[0].read_bytes(), {"authorization": f"Bearer {token}"}

    def status() -> int:
        answer = httpx.post(f"{served}/classify", content=content, headers=headers, trust_env=False, timeout=60)
        return answer.status_code

    wait_for(lambda: status() == httpx.codes.OK)
    consumer(strandline, "revoke", "--name", "shop")
    wait_for(lambda: status() == httpx.codes.UNAUTHORIZED)


def kill(strandline: Strandline, name: str) -> None:
    process = strandline.stack.running(name)
    assert process
    os.kill(process.pid, signal.SIGKILL)


def kill_children(strandline: Strandline, module: str) -> None:
    """Of the serving process, those that run this module."""
    server = strandline.stack.running(serving.SERVER)
    assert server
    children = Path(f"/proc/{server.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    found = [pid for pid in pids if module in Path(f"/proc/{pid}/cmdline").read_text()]
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)
