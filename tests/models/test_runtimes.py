"""What may compute a version, by what the ledger has of it; and that whoever plans a run asks."""

import datetime

import gate_evaluations
import parities
import pytest
from ledger_rows import HOUR, File, Run, image_ids, predictions, write_attempt

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.ingest import load
from strandline.models import preflight, registry, runtimes
from strandline.models.runtimes import UnprovedRuntime
from strandline.promotion import evaluation
from strandline.replay import replay

pytestmark = pytest.mark.usefixtures("database")

AN_HOUR = datetime.timedelta(hours=1)
F32 = contract.Runtime("openvino", threads=1, batch_size=64)
BF16 = contract.Runtime("openvino", threads=1, batch_size=64, precision="bf16")


@pytest.fixture
def versions() -> list[str]:
    """The champion, and another."""
    made = [gate_evaluations.make_version(name) for name in ("first", "second")]
    registry.install_first(made[0], "tester")
    return made


@pytest.fixture
def bf16(monkeypatch) -> None:
    monkeypatch.setenv("STRANDLINE_PRECISION", "bf16")
    settings.get.cache_clear()


def proved(runtime: contract.Runtime, *versions: str) -> contract.Runtime:
    with ledger.connect("ingest") as connection:
        return runtimes.proved(connection, runtime, *versions)


def test_f32_needs_no_proof_and_bf16_does(versions):
    assert proved(F32, *versions) == F32
    with pytest.raises(UnprovedRuntime, match=f"trigger check_parity with model_version {versions[0][:12]}") as raised:
        proved(BF16, *versions)
    assert isinstance(raised.value, PermanentError), "Airflow would try it again"
    parities.record(versions[0])
    assert proved(BF16, versions[0]) == BF16
    with pytest.raises(UnprovedRuntime, match=versions[1][:12]):
        proved(BF16, *versions)


@pytest.mark.parametrize("outcome", ["fail", "not enough evidence"])
def test_the_last_comparison_decides(versions, outcome):
    parities.record(versions[0], outcome)
    with pytest.raises(UnprovedRuntime, match=rf"It is a {outcome}\. .*Set another STRANDLINE_PRECISION"):
        proved(BF16, versions[0])
    parities.record(versions[0], "pass", "parity 2")
    assert proved(BF16, versions[0]) == BF16
    parities.record(versions[0], outcome, "parity 3", precision="f32")
    with pytest.raises(UnprovedRuntime, match="openvino f32 on a cpu"):
        proved(F32, versions[0])
    assert proved(BF16, versions[0]) == BF16


@pytest.mark.parametrize(
    "other", [{"backend": "onnxruntime"}, {"precision": "f32"}, {"device": "gpu"}], ids=lambda other: next(iter(other))
)
def test_a_comparison_is_of_one_runtime(versions, other):
    parities.record(versions[0], **other)
    with pytest.raises(UnprovedRuntime):
        proved(BF16, versions[0])


def test_no_host_is_checked_in_what_was_not_proved(versions, bf16):
    with pytest.raises(UnprovedRuntime):
        preflight.plan()
    parities.record(versions[0])
    assert preflight.plan().runtime.precision == "bf16"


def test_no_gate_is_begun_in_what_was_not_proved_of_both(versions, bf16):
    pinned = evaluation.plan("gate 1", "user", versions[1])
    parities.record(versions[0])
    with pytest.raises(UnprovedRuntime, match=versions[1][:12]):
        evaluation.infra_validate_request(pinned)
    parities.record(versions[1])
    assert evaluation.infra_validate_request(pinned).runtime.precision == "bf16"


def test_a_window_is_replayed_in_the_precision_that_it_was_classified_in(versions, bf16, monkeypatch):
    """If that is still proved; a backend without it takes its own."""
    then = {"f32": F32, "bf16": BF16}
    for number, (name, runtime) in enumerate(then.items()):
        run = Run(name, versions[0], [File(f"{name}.jpg", shard=name, drop_at=HOUR + number * AN_HOUR)])
        run.record()
        run.write_outcomes()
        shards = run.shards().items()
        load.load(name, [write_attempt(run, one, predictions(image_ids(of)), runtime=runtime) for one, of in shards])
    start = {name: f"{HOUR + number * AN_HOUR:%Y-%m-%dT%H}" for number, name in enumerate(then)}

    def precision(name: str) -> str:
        (request,) = replay.plan(f"replay of {name}", start[name])
        return request.runtime.precision

    assert precision("f32") == "f32"
    with pytest.raises(UnprovedRuntime):
        precision("bf16")
    parities.record(versions[0])
    assert precision("bf16") == "bf16"
    monkeypatch.delenv("STRANDLINE_PRECISION")
    settings.get.cache_clear()
    assert precision("bf16") == "bf16"
    monkeypatch.setenv("STRANDLINE_BACKEND", "onnxruntime")
    settings.get.cache_clear()
    assert precision("bf16") == "f32"
