"""The contract as it was agreed; this very file is run in both environments."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

try:
    import strandline_contract as contract
except ModuleNotFoundError:
    import strandline_contract as contract

GOLDEN = json.loads(Path(__file__).resolve().with_name("golden.json").read_bytes())


def test_every_command_has_its_golden_request():
    assert set(GOLDEN["requests"]) == set(contract.REQUESTS)


@pytest.mark.parametrize("command", sorted(GOLDEN["requests"]))
def test_requests_survive_the_border(command):
    request = contract.parse_request(command, GOLDEN["requests"][command])
    assert json.loads(json.dumps(request.to_dict())) == GOLDEN["requests"][command]


def test_a_message_is_the_same_object_before_and_after_json():
    """What carries it may tell lists and tuples apart, as Airflow does."""
    request = contract.parse_request("evaluate", GOLDEN["requests"]["evaluate"])
    assert request.to_dict() == GOLDEN["requests"]["evaluate"]
    assert type(request.to_dict()["shards"]) is list


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
    fields = dataclasses.fields(contract.REQUESTS[command])
    return {field.name for field in fields if field.default is not dataclasses.MISSING}


@pytest.mark.parametrize("table", sorted(GOLDEN["columns"]))
def test_columns_are_as_agreed(table):
    assert [list(column) for column in getattr(contract, table)] == GOLDEN["columns"][table]


def test_preprocessing_survives_the_border():
    assert contract.Preprocessing.from_dict(GOLDEN["preprocessing"]).to_dict() == GOLDEN["preprocessing"]


def test_preprocessing_of_before_there_was_a_choice_is_fit_by_bicubic_interpolation_in_rgb():
    found = contract.Preprocessing.from_json(b'{"height": 32, "width": 48, "mean": [0, 0, 0], "std": [1, 1, 1]}')
    assert (found.resize, found.interpolation, found.channel_order) == ("fit", "bicubic", "rgb")
    assert found.resize_rule() == contract.ResizeRule(32, 48)


@pytest.mark.parametrize(("side", "short_side"), [(224, 256), (299, 342), (331, 379), (256, 293)])
def test_the_short_side_of_a_crop_is_rounded_up(side, short_side):
    assert contract.ResizeRule(side, side, "crop", 0.875).short_side == short_side


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "sides are 1 to"),
        ({"width": 2049, "resize": "fit", "crop_ratio": None}, "sides are 1 to"),
        ({"crop_ratio": None}, "crop_ratio from 0.1 to 1"),
        ({"crop_ratio": 0.05}, "crop_ratio from 0.1 to 1"),
        ({"crop_ratio": 1.1}, "crop_ratio from 0.1 to 1"),
        ({"resize": "squash"}, "of the resize `crop` only"),
        ({"width": 200}, "a crop is a square"),
        ({"resize": "pad"}, "must be one of fit, crop, squash"),
        ({"interpolation": "nearest"}, "must be one of bilinear, bicubic, hamming"),
        ({"channel_order": "bgr"}, "must be one of rgb"),
        ({"mean": [0.5], "std": [0.5]}, "three channels"),
        ({"std": []}, "three channels"),
        ({"mean": [123.7, 116.8, 103.9]}, "of values from 0 to 1"),
        ({"std": [0.2, 0.2, 0]}, "of values from 0 to 1"),
        ({"mean": [0.5, "a", 0.5]}, r"mean\[1\] must be float"),
        ({"pad": 4}, "has no field pad"),
    ],
)
def test_preprocessing_that_nobody_can_do_is_refused_with_a_sentence(changes, message):
    with pytest.raises(contract.BadRequest, match=message):
        contract.Preprocessing.from_dict(GOLDEN["preprocessing"] | changes)


@pytest.mark.parametrize("command", ["pack", "train"])
def test_a_request_with_a_resize_rule_that_is_none_is_refused(command):
    with pytest.raises(contract.BadRequest, match="needs a crop_ratio"):
        contract.parse_request(command, GOLDEN["requests"][command] | {"resize": "crop", "crop_ratio": 7})


def test_results_survive_the_border():
    assert contract.Result.from_dict(GOLDEN["result"]).to_dict() == GOLDEN["result"]


def test_preflight_reports_survive_the_border():
    golden = GOLDEN["preflight_report"]
    assert json.loads(json.dumps(contract.PreflightReport.from_dict(golden).to_dict())) == golden


def test_infra_validation_reports_survive_the_border():
    golden = GOLDEN["infra_validation_report"]
    assert json.loads(json.dumps(contract.InfraValidationReport.from_dict(golden).to_dict())) == golden


def test_parity_reports_survive_the_border():
    golden = GOLDEN["parity_report"]
    assert json.loads(json.dumps(contract.ParityReport.from_dict(golden).to_dict())) == golden


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(contract.BadRequest, match="names none"):
        contract.parse_request("parity", GOLDEN["requests"]["parity"] | {"runtimes": []})


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
        lambda folder: replace(folder / contract.RESULT_FILE, os.mkfifo),
        lambda folder: replace(folder / contract.RESULT_FILE, lambda path: path.symlink_to("/dev/zero")),
        lambda folder: replace(folder / contract.RESULT_FILE, lambda path: path.mkdir()),
        lambda folder: os.truncate(folder / contract.RESULT_FILE, 2**40),
        lambda folder: (folder / contract.RESULT_FILE).write_text("[" * 100_000),
        lambda folder: replace(folder / "out", os.mkfifo),
        lambda folder: replace(folder / "out", lambda path: path.symlink_to("/dev/zero")),
        lambda folder: replace(folder / "out", lambda path: path.mkdir()),
        lambda folder: os.truncate(folder / "out", 2**40),
        lambda folder: replace(folder / contract.REQUEST_FILE, os.mkfifo),
    ],
    ids=[
        *("no result", "torn result", "no object", "other output", "no output", "other request"),
        *("result is a pipe", "result is a link to a device", "result is a folder", "result is sparse and huge"),
        *("result is nested deeply", "output is a pipe", "output is a link to a device", "output is a folder"),
        *("output is sparse and huge", "request is a pipe"),
    ],
)
def test_an_attempt_that_disagrees_with_itself_did_not_happen(attempt, break_it):
    break_it(attempt)
    with pytest.raises(contract.NoResult, match=str(attempt)):
        contract.read_result(attempt, "pack")


def replace(path: Path, make) -> None:
    path.unlink()
    make(path)


def test_no_link_on_the_way_to_a_file_is_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "weights.params").write_bytes(b"x")
    (tmp_path / "attempt").mkdir()
    (tmp_path / "attempt" / "bundle").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="bundle"):
        contract.open_file(tmp_path / "attempt" / "bundle" / "weights.params", beneath=tmp_path / "attempt")


@pytest.mark.parametrize("text", ["NaN", "1e999", '"\\u0000"', '"\\ud800"', "[" * 100_000, "1" * 5000, "", "{"])
def test_what_no_reader_can_hold_is_no_json(text):
    with pytest.raises(contract.BadRequest, match="no JSON that can be read"):
        contract.parse_json(text.encode())


def test_an_attempt_at_another_command_is_not_taken_for_this_one(attempt):
    with pytest.raises(contract.NoResult):
        contract.read_result(attempt, "classify")


NOT_PLAIN = [
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/..",
    "",
    ".",
    "a//b",
    "a/",
    "./a",
    "a\\b",
    "a\0b",
    "a\nb",
    "x" * 256,
]


@pytest.mark.parametrize("path", NOT_PLAIN)
def test_no_path_leads_out_of_the_store(tmp_path, path):
    with pytest.raises(contract.BadRequest, match="inside"):
        contract.store_path(tmp_path, path)


@pytest.mark.parametrize("path", NOT_PLAIN)
@pytest.mark.parametrize("command", sorted(GOLDEN["requests"]))
def test_every_path_of_a_request_stays_in_the_store(command, path):
    golden = GOLDEN["requests"][command]
    references = {name: value for name, value in golden.items() if isinstance(value, dict) and "path" in value}
    assert references
    for name, value in references.items():
        with pytest.raises(contract.BadRequest, match=f"{name}.*inside"):
            contract.parse_request(command, golden | {name: value | {"path": path}})


@pytest.mark.parametrize("name", [*NOT_PLAIN, "a/b", "bundle", "bundle/a/b", "result.json", "request.json"])
def test_a_result_names_files_of_its_folder_or_of_its_bundle(name):
    files = {"bundle/weights.params": "00", "shard.parquet": "00"}
    assert contract.Result.from_dict(GOLDEN["result"] | {"files": files}).files == files
    with pytest.raises(contract.BadRequest):
        contract.Result.from_dict(GOLDEN["result"] | {"files": {name: "00"}})


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


@pytest.fixture
def bundle(tmp_path) -> Path:
    (tmp_path / contract.WEIGHTS_FILE).write_bytes(b"weights")
    files = {contract.WEIGHTS_FILE: {"sha256": contract.sha256_file(tmp_path / contract.WEIGHTS_FILE)}}
    contract.write_json(tmp_path / contract.BUNDLE_MANIFEST, {"name": "n", "network": "n", "files": files})
    return tmp_path


def test_a_whole_bundle_is_the_version_of_its_manifest(bundle):
    version = contract.sha256_file(bundle / "manifest.json")
    assert contract.verify_bundle(bundle, version).files.keys() == {"weights.params"}
    with pytest.raises(contract.BadInput, match=f"is version {version}, the request asks for other"):
        contract.verify_bundle(bundle, "other")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda folder: (folder / contract.BUNDLE_MANIFEST).unlink(), "has no manifest.json"),
        (lambda folder: (folder / contract.BUNDLE_MANIFEST).write_text("{}"), "is not a model bundle"),
        (lambda folder: (folder / contract.WEIGHTS_FILE).unlink(), "weights.params is missing or not"),
        (lambda folder: (folder / contract.WEIGHTS_FILE).write_bytes(b"others"), "weights.params is missing or not"),
    ],
)
def test_a_bundle_that_disagrees_with_its_manifest_is_bad_input(bundle, break_it, says):
    break_it(bundle)
    with pytest.raises(contract.BadInput, match=says):
        contract.verify_bundle(bundle)


def test_json_is_written_whole(tmp_path):
    contract.write_json(tmp_path / "x.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
