"""What callers get: by curl-like requests, by a client of the Open Inference Protocol, and by those who mean harm."""

import base64
import datetime
import hashlib
import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import inputs
import numpy as np
import pytest
import tritonclient.http as triton
from conftest import PROJECT, Drop
from served import CHAMPION, MODELS, Served, consumer, serving, wait_for

import strandline_contract as contract
from vision import shards

PHOTOS = [inputs.encoded(inputs.photo(seed=seed), "PNG") for seed in range(24)]
# What takes a decoder many seconds has tests of its own.
HOSTILE = [
    each
    for each in inputs.BROKEN + inputs.BOMBS + inputs.COLOURS + inputs.POLYGLOTS
    if not each.place and not each.id.startswith(("B10-10", "B25-100", "B27", "B29-10,000", "B30-icc-of-20"))
]
REFUSED = inputs.encoded(inputs.photo(1, 1), "PNG")


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Served:
    with serving(MODELS, tmp_path_factory.mktemp("serving")) as served:
        yield served


@pytest.fixture
def client(served: Served) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(served.address)


def infer(client, images: np.ndarray, kind: str, binary: bool = True, outputs: bool | None = None, **options):
    asked = triton.InferInput("image", list(images.shape), kind)
    asked.set_data_from_numpy(images, binary_data=binary)
    names = ("probabilities", "label", "prediction_id")
    wanted = None if outputs is None else [triton.InferRequestedOutput(name, binary_data=outputs) for name in names]
    return client.infer("champion", [asked], outputs=wanted, **options)


def files_of(*contents: bytes) -> np.ndarray:
    return np.array(contents, np.object_)


def test_a_file_is_classified_and_on_record(served: Served):
    answer = served.classify(("", PHOTOS[0]))
    assert answer.status == 200
    said = answer.json
    [line] = [line for line in served.lines() if line["prediction_id"] == said["prediction_id"]]
    assert contract.ServedPrediction.from_dict(line).server == served.name
    assert (line["label"], line["confidence"]) == (said["label"], said["confidence"])
    assert line["probabilities"] == list(said["probabilities"].values())
    assert said["confidence"] == max(said["probabilities"].values())
    assert said["model_version"] == line["version"] == CHAMPION.version
    assert (said["format"], said["width"], said["height"], said["notes"]) == ("PNG", inputs.SIDE, inputs.SIDE, [])
    assert line["image_id"] == hashlib.sha256(PHOTOS[0]).hexdigest()
    assert line["kept"]
    kept = served.folder / contract.PICTURES_FOLDER / served.name / line["image_id"]
    assert kept.read_bytes() == PHOTOS[0]


def test_several_files_get_an_answer_each(served: Served):
    answer = served.classify(("a.png", PHOTOS[0]), ("b.png", REFUSED), ("c.jpg", PHOTOS[1]))
    assert answer.status == 200
    first, second, third = answer.json["results"]
    assert (first["file"], first["notes"]) == ("a.png", [])
    assert (second["file"], second["status"], second["reason"]) == ("b.png", 422, "TOO_SMALL")
    assert (third["file"], third["notes"]) == ("c.jpg", ["EXT_MISMATCH"])


def test_bits_are_those_of_the_batch(served: Served, drop: Drop):
    """Of the same files, by the same backend, however many come at once."""
    good = [each for each in inputs.COLOURS if each.reason is None and not each.either]
    contents = list(dict.fromkeys([*PHOTOS, *(each.data for each in good)]))
    batch = classified(drop, contents)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda content: served.classify(("", content)), contents))
    assert len(batch) == len(contents) > 40
    for content, answer in zip(contents, answers, strict=True):
        label, probabilities = batch[hashlib.sha256(content).hexdigest()]
        assert answer.json["label"] == label
        assert np.array(list(answer.json["probabilities"].values()), np.float32).tobytes() == probabilities.tobytes()


def classified(drop: Drop, contents: list[bytes]) -> dict[str, tuple[str, np.ndarray]]:
    """Label and probabilities by image, as `vision pack` and `vision classify` give them."""
    for number, content in enumerate(contents):
        drop.add(b"%d.png" % number, content)
    packed = drop.pack()
    store = packed.shard.parents[1]
    (store / CHAMPION.path).symlink_to(MODELS / CHAMPION.path)
    out = store / "classified"
    out.mkdir()
    shard = contract.FileRef(str(packed.shard.relative_to(store)), contract.sha256_file(packed.shard))
    request = contract.ClassifyRequest("s", shard, CHAMPION, contract.Runtime("openvino", threads=1))
    contract.write_json(out / contract.REQUEST_FILE, request.to_dict())
    command = [sys.executable, "-m", "vision", "classify", "--request", str(out / contract.REQUEST_FILE)]
    environment = {"STRANDLINE_LANDING": str(drop.landing), "STRANDLINE_STORE": str(store), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, env=environment, cwd=PROJECT, check=True, capture_output=True)
    rows = shards.read_table(out / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS).to_pylist()
    return {row["image_id"]: (row["label"], np.array(row["probabilities"], np.float32)) for row in rows}


def test_hostile_files_get_their_reasons(served: Served):
    def ask(each: inputs.Input):
        name = each.listed_name.decode()
        return each, served.classify((name, each.data))

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, HOSTILE))
    for each, answer in answers:
        if not each.either:
            assert answer.status == (422 if each.reason else 200), each.id
        if answer.status == 422:
            assert answer.headers["content-type"] == "application/problem+json"
            assert each.either or answer.json["reason"] == each.reason, each.id
        else:
            assert answer.status == 200
            assert each.either or " ".join(answer.json["notes"]) == each.notes, each.id
    assert {each.reason for each, _ in answers if each.reason} > {"TRUNCATED", "TOO_MANY_PIXELS", "METADATA_BOMB"}


def test_a_decoder_that_is_killed_costs_nothing(served: Served):
    served.strike("vision.decoding.worker")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda content: served.classify(("", content)), PHOTOS[:8]))
    assert {answer.status for answer in answers} == {200}


def test_a_network_that_is_killed_costs_nothing(served: Served):
    before = served.classify(("", PHOTOS[0])).json
    served.strike("vision.models.network_worker")
    after = served.classify(("", PHOTOS[0])).json
    assert after["probabilities"] == before["probabilities"]


def test_the_protocol_of_a_client(served: Served, client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("champion", CHAMPION.version)
    assert not client.is_model_ready("champion", "0" * 64)
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("cifar_resnet20_v1")
    assert CHAMPION.version in metadata["versions"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize("outputs", [None, True, False])
def test_files_by_a_client(served: Served, client, outputs: bool | None):
    result = infer(client, files_of(*PHOTOS[:3]), "BYTES", outputs=outputs, request_id="mine")
    assert result.get_response()["id"] == "mine"
    assert result.get_response()["model_version"] == CHAMPION.version
    assert_equals_classify(served, result, PHOTOS[:3])


def test_files_in_json_are_in_base64(served: Served, client):
    texts = files_of(*(base64.b64encode(content) for content in PHOTOS[:2]))
    assert_equals_classify(served, infer(client, texts, "BYTES", binary=False, outputs=False), PHOTOS[:2])


def assert_equals_classify(served: Served, result, contents: list[bytes]) -> None:
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
    for content, row, label in zip(contents, probabilities, labels, strict=True):
        said = served.classify(("", content)).json
        assert np.array(list(said["probabilities"].values()), np.float32).tobytes() == row.tobytes()
        assert said["label"] == label
    ids = [str(one, "ascii") if isinstance(one, bytes) else one for one in result.as_numpy("prediction_id")]
    assert set(ids) <= {line["prediction_id"] for line in served.lines()}


@pytest.mark.parametrize("binary", [True, False])
def test_pixels_by_a_client(served: Served, client, binary: bool):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    result = infer(client, pixels, "UINT8", binary)
    files = [inputs.encoded(image, "PNG") for image in pixels]
    assert_equals_classify(served, result, files)
    line = next(line for line in reversed(served.lines()) if line["format"] == "pixels")
    assert not line["kept"]


def test_a_refused_picture_among_others_is_told(served: Served, client):
    with pytest.raises(triton.InferenceServerException, match=r"1 of 2 pictures .* TOO_SMALL"):
        infer(client, files_of(PHOTOS[0], REFUSED), "BYTES")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"inputs": []}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%"]}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AAAA"]}]}',
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1]}]}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}]}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": [1, 2, 3]}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}], "outputs": [{"name": 1}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1], "data": []}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}]}',
    ],
)
def test_what_is_no_request_of_the_protocol(served: Served, body: bytes):
    answer = served.ask("POST", "/v2/models/champion/infer", body)
    assert (answer.status, answer.json["reason"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("raw", [b"\x01", b"\xff\xff\xff\xff", b"\x05\0\0\0abcd"])
def test_raw_files_that_do_not_add_up(served: Served, raw: bytes):
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    length = str(len(header))
    answer = served.ask("POST", "/v2/models/champion/infer", header + raw, inference_header_content_length=length)
    assert (answer.status, answer.json["reason"]) == (400, "BAD_REQUEST")


def test_another_model_is_not_answered_for(served: Served):
    for path in ("/v2/models/other/infer", f"/v2/models/champion/versions/{'0' * 64}/infer"):
        body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}]}
        answer = served.ask("POST", path, json.dumps(body).encode())
        assert (answer.status, answer.json["reason"]) == (404, "NOT_FOUND")


def test_feedback_is_on_record(served: Served):
    said = served.classify(("", PHOTOS[0])).json
    body = {"prediction_id": said["prediction_id"], "label": "cat"}
    assert served.ask("POST", "/feedback", json.dumps(body).encode()).status == 202
    line = contract.ServedFeedback.from_dict(served.lines()[-1])
    assert (line.prediction_id, line.label, line.consumer) == (said["prediction_id"], "cat", contract.ANONYMOUS)
    for wrong in (b"", b"{}", b'{"prediction_id": "1", "label": "cat"}', json.dumps(body | {"label": "\0"}).encode()):
        assert served.ask("POST", "/feedback", wrong).status == 400


def test_without_a_record_there_is_no_answer(served: Served):
    """A disk that takes half of a line: it is cut off, and the next one begins where it did."""
    assert served.classify(("", PHOTOS[0])).status == 200
    before = served.lines()
    unlimited = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (20_000, unlimited[1]))
    answer = served.classify(*[("a.png", PHOTOS[0])] * 64)
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert {"NOT_RECORDED"} <= {result.get("reason") for result in answer.json["results"]}
    told = {result["prediction_id"] for result in answer.json["results"] if "label" in result}
    assert told <= {line["prediction_id"] for line in served.lines()[len(before) :]}
    assert served.classify(("", PHOTOS[0])).status == 200


def test_numbers_of_lines_have_no_gaps(served: Served):
    assert [line["sequence"] for line in served.lines()] == list(range(1, len(served.lines()) + 1))


def test_who_calls_is_known(served: Served):
    served.deploy(anonymous=None, consumers=(consumer("shop", "secret"), consumer("slow", "slow", 0.001)))
    wait_for(lambda: served.classify(("", PHOTOS[0])).status == 401, "callers without a token are answered")
    answer = served.classify(("", PHOTOS[0]))
    assert (answer.json["reason"], answer.headers["www-authenticate"]) == ("TOKEN_MISSING", "Bearer")
    assert served.classify(("", PHOTOS[0]), token="wrong").json["reason"] == "TOKEN_UNKNOWN"
    said = served.classify(("", PHOTOS[0]), token="secret").json
    assert next(line for line in served.lines() if line["prediction_id"] == said["prediction_id"])["consumer"] == "shop"
    assert served.classify(("", PHOTOS[0]), token="slow").status == 200
    limited = served.classify(("", PHOTOS[0]), token="slow")
    assert (limited.status, limited.json["reason"]) == (429, "RATE_LIMITED")
    assert 900 < int(limited.headers["retry-after"]) <= 1000
    served.deploy()
    wait_for(lambda: served.classify(("", PHOTOS[0])).status == 200, "callers without a token are refused")


def test_a_ledger_out_of_reach_is_told(served: Served):
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    served.deploy(read_at=long_ago)
    wait_for(lambda: "the ledger was not reached" in str(served.ready()["problems"]), "it is not told")
    assert served.ask("GET", "/v2/health/ready").status == 200
    assert served.metric("strandline_ledger_age_seconds") >= 300
    (served.folder / contract.DEPLOYMENT_FILE).write_text("{")
    wait_for(lambda: "cannot be read" in str(served.ready()["problems"]), "it is not told")
    assert served.classify(("", PHOTOS[0])).status == 200
    served.deploy()
    wait_for(lambda: served.ready()["problems"] == [], "it does not recover")


def test_metrics_count(served: Served):
    before = served.metric("strandline_pictures_total"), served.metric("strandline_refused_pictures_total")
    served.classify(("a.png", PHOTOS[0]), ("b.png", REFUSED))
    after = served.metric("strandline_pictures_total"), served.metric("strandline_refused_pictures_total")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)
    assert served.metric("strandline_spool_lines") == len(served.lines())
    assert served.metric("strandline_spool_bytes") > 0
    assert served.metric("strandline_request_seconds_count") > 0
    assert served.metric("strandline_batch_images_count") > 0


def test_the_page_and_what_describes_the_service(served: Served):
    page = served.ask("GET", "/")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("page.js", "page.css"):
        assert name.encode() in page.content
        assert served.ask("GET", f"/{name}").status == 200
    described = served.ask("GET", "/openapi.json").json
    assert described["openapi"].startswith("3.")
    assert {"/classify", "/feedback", "/v2/models/{name}/infer"} < described["paths"].keys()
    assert b"/classify" in served.ask("GET", "/docs").content


def test_what_is_not_there_is_a_problem(served: Served):
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/classify", 405), ("POST", "/metrics", 405)):
        answer = served.ask(method, path)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_packed_body_is_not_read(served: Served):
    assert served.ask("POST", "/classify", PHOTOS[0], content_encoding="gzip").status == 415


def test_a_name_is_served_once(served: Served, tmp_path: Path):
    """Else two processes would number their lines alike."""
    arguments = ["--store", str(MODELS), "--folder", str(served.folder), "--port", "0", "--name", served.name]
    again = subprocess.run(
        [sys.executable, "-m", "vision.serving", *arguments], cwd=PROJECT, capture_output=True, timeout=60
    )
    assert again.returncode != 0
    assert b"File exists" in again.stderr
