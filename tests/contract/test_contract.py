"""The contract as it was agreed; this very file is run in both environments."""

import json
from pathlib import Path

import pytest

try:
    from vision import contract
except ModuleNotFoundError:
    from strandline import contract

GOLDEN = json.loads(Path(__file__).resolve().with_name("golden.json").read_bytes())


def test_every_command_has_its_golden_request():
    assert set(GOLDEN["requests"]) == set(contract.REQUESTS)


@pytest.mark.parametrize("command", sorted(GOLDEN["requests"]))
def test_requests_survive_the_border(command):
    request = contract.parse_request(command, GOLDEN["requests"][command])
    assert json.loads(json.dumps(request.to_dict())) == GOLDEN["requests"][command]


@pytest.mark.parametrize("command", sorted(GOLDEN["requests"]))
def test_every_missing_unknown_or_mistyped_field_is_named(command):
    golden = GOLDEN["requests"][command]
    with pytest.raises(contract.BadRequest, match="surprise"):
        contract.parse_request(command, golden | {"surprise": 1})
    required = golden.keys() - {"command", "device", "resume", "reference_rows"} - _with_default(command)
    for name in required:
        with pytest.raises(contract.BadRequest, match=name):
            contract.parse_request(command, {key: value for key, value in golden.items() if key != name})
    for name in golden:
        with pytest.raises(contract.BadRequest, match=name):
            contract.parse_request(command, golden | {name: {"a": object}})


def _with_default(command: str) -> set[str]:
    fields = contract.dataclasses.fields(contract.REQUESTS[command])
    return {field.name for field in fields if field.default is not contract.dataclasses.MISSING}


@pytest.mark.parametrize("table", sorted(GOLDEN["columns"]))
def test_columns_are_as_agreed(table):
    assert [list(column) for column in getattr(contract, table)] == GOLDEN["columns"][table]


def test_results_survive_the_border():
    assert contract.Result.from_dict(GOLDEN["result"]).to_dict() == GOLDEN["result"]


def test_preflight_reports_survive_the_border():
    golden = GOLDEN["preflight_report"]
    assert json.loads(json.dumps(contract.PreflightReport.from_dict(golden).to_dict())) == golden


def test_trial_reports_survive_the_border():
    golden = GOLDEN["trial_report"]
    assert json.loads(json.dumps(contract.TrialReport.from_dict(golden).to_dict())) == golden


@pytest.fixture
def attempt(tmp_path) -> Path:
    contract.write_json(tmp_path / contract.REQUEST_FILE, GOLDEN["requests"]["pack"])
    (tmp_path / "out").write_bytes(b"rows")
    contract.write_result(tmp_path, "pack", ["out"], {"entries": 1}, {"decode": 0.1}, {})
    return tmp_path


def test_a_sealed_attempt_is_read(attempt):
    assert contract.read_result(attempt, "pack").counts == {"entries": 1}


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: (folder / contract.RESULT_FILE).unlink(),
        lambda folder: (folder / contract.RESULT_FILE).write_text("{"),
        lambda folder: (folder / contract.RESULT_FILE).write_text("[]"),
        lambda folder: (folder / "out").write_bytes(b"torn"),
        lambda folder: (folder / "out").unlink(),
        lambda folder: (folder / contract.REQUEST_FILE).write_text("another"),
    ],
    ids=["no result", "torn result", "no object", "other output", "no output", "other request"],
)
def test_an_attempt_that_disagrees_with_itself_did_not_happen(attempt, break_it):
    break_it(attempt)
    with pytest.raises(contract.NoResult, match=str(attempt)):
        contract.read_result(attempt, "pack")


def test_an_attempt_at_another_command_is_not_taken_for_this_one(attempt):
    with pytest.raises(contract.NoResult):
        contract.read_result(attempt, "classify")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_no_path_leads_out_of_the_store(tmp_path, path):
    with pytest.raises(contract.BadRequest, match="inside"):
        contract.store_path(tmp_path, path)


def test_an_input_is_what_its_hash_says(tmp_path):
    (tmp_path / "in").write_bytes(b"rows")
    ref = contract.FileRef("in", contract.sha256_file(tmp_path / "in"))
    assert contract.verified(tmp_path, ref) == tmp_path / "in"
    (tmp_path / "in").write_bytes(b"r0ws")
    with pytest.raises(contract.BadInput, match="SHA-256"):
        contract.verified(tmp_path, ref)
    (tmp_path / "in").unlink()
    with pytest.raises(contract.BadInput, match="does not exist"):
        contract.verified(tmp_path, ref)


def test_json_is_written_whole(tmp_path):
    contract.write_json(tmp_path / "x.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
