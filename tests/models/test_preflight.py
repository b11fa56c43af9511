"""Checking a host: what is asked, with a real ledger, and what becomes of the answer."""

import dataclasses
import logging

import ledger_rows as seeding
import pytest

import strandline_contract as contract
from strandline import settings
from strandline.attempts import SealedAttempt
from strandline.models import preflight, versions

pytestmark = pytest.mark.usefixtures("database")

REPORT = contract.PreflightReport("gpu", ("a card, 1.2.3, 24576 MiB",), {"mxnet": "1.9.1"}, 12345.6, 256, 2e-6)


def test_a_check_is_asked_of_the_kind_of_host_that_classifies(monkeypatch):
    version = seeding.register()
    monkeypatch.setenv("STRANDLINE_DEVICE", "gpu")
    settings.get.cache_clear()
    request = contract.parse_request("preflight", preflight.plan().to_dict())
    assert (request.shard_id, request.runtime.device, request.runtime.backend) == ("gpu", "gpu", "onnxruntime")
    assert request.bundle == contract.BundleRef(f"models/{version}", version)


def test_without_a_champion_there_is_nothing_to_check_with():
    seeding.register(champion=False)
    with pytest.raises(versions.NoChampion, match="make up"):
        preflight.plan()


@pytest.fixture
def checked() -> SealedAttempt:
    return seal(REPORT)


def seal(report: contract.PreflightReport) -> SealedAttempt:
    folder = settings.get().store / "checked"
    folder.mkdir(parents=True)
    contract.write_json(folder / contract.REQUEST_FILE, {})
    contract.write_json(folder / contract.PREFLIGHT_FILE, report.to_dict())
    contract.write_result(folder, "preflight", [contract.PREFLIGHT_FILE], {}, {}, {})
    return SealedAttempt("gpu", "checked", contract.sha256_file(folder / contract.RESULT_FILE))


def test_a_report_is_returned_and_logged_for_people(checked, caplog):
    caplog.set_level(logging.INFO)
    found = preflight.report(checked)
    assert found == REPORT
    assert "12,346 images/s on gpu: a card, 1.2.3, 24576 MiB" in caplog.text
    assert "in batches of 256 images" in caplog.text
    assert "2.0e-06" in caplog.text


def test_that_nothing_could_be_compared_is_said(caplog):
    caplog.set_level(logging.INFO)
    preflight.report(seal(dataclasses.replace(REPORT, largest_difference=None)))
    assert "has no golden images to compare" in caplog.text


def test_an_altered_report_is_refused(checked):
    (settings.get().store / "checked" / contract.PREFLIGHT_FILE).write_text("{}")
    with pytest.raises(contract.NoResult):
        preflight.report(checked)
