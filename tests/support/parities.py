"""Comparisons of runtimes: as `vision parity` leaves them, and as the ledger has them."""

from typing import Any

import gate_evaluations
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.models import datasets


def agreement(images: int = 4000, **changes: Any) -> contract.Agreement:
    """All equal, and nine tenths right; `changes` are to that."""
    right = images * 9 // 10
    counts = {"images": images, "equal_labels": images, "both_right": right, "none_right": images - right}
    counts |= {"reference_right": 0, "runtime_right": 0, "largest_difference": 1e-6, "golden_difference": 1e-6}
    return contract.Agreement(**counts | {"images_per_second": 1000.0, "versions": {"openvino": "2026"}} | changes)


def lost(images: int, losses: int, gains: int = 0, **changes: Any) -> contract.Agreement:
    """The reference alone has so many right, and the runtime alone so many."""
    counts = {"reference_right": losses, "runtime_right": gains, "equal_labels": images - losses - gains}
    counts["both_right"] = images * 9 // 10 - losses
    return agreement(images, **counts, none_right=images - counts["both_right"] - losses - gains, **changes)


def measured(
    request: contract.ParityRequest, found: dict[str, contract.Agreement], run_id: str = "run 1"
) -> SealedAttempt:
    """A sealed attempt: what was found by runtime, as `openvino bf16`; the others are not there."""
    report = contract.ParityReport(
        request.reference,
        500.0,
        "a processor",
        tuple(
            contract.RuntimeParity(runtime, found[name])
            if (name := f"{runtime.backend} {runtime.precision}") in found
            else contract.RuntimeParity(runtime, None, "there is none")
            for runtime in request.runtimes
        ),
    )
    folder = settings.get().run_folder(run_id) / "parity" / request.shard_id / "1"
    folder.mkdir(parents=True)
    contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
    contract.write_json(folder / contract.PARITY_FILE, report.to_dict())
    contract.write_result(folder, "parity", [contract.PARITY_FILE], {}, {}, {})
    sealed = contract.sha256_file(folder / contract.RESULT_FILE)
    return SealedAttempt(request.shard_id, str(folder.relative_to(settings.get().store)), sealed)


def record(version: str, outcome: str = "pass", run_id: str = "parity 1", **runtime: str) -> None:
    """A comparison in the ledger; by default of OpenVINO in bf16 on a CPU."""
    with ledger.connect("training") as connection:
        found = datasets.latest(connection, "holdout")
    holdout = found or gate_evaluations.freeze("holdout", 3)[0]
    row: dict[str, Any] = {"backend": "openvino", "precision": "bf16", "device": "cpu"} | runtime
    row |= agreement().to_dict() | {"versions": Jsonb({}), "processor": "a processor", "reference": "mxnet f32"}
    row |= {"run_id": run_id, "version": version, "holdout": holdout.dataset_id}
    with ledger.connect("training") as connection:
        ledger.execute(connection, "insert_parity", row | {"outcome": outcome, "sentence": f"It is a {outcome}."})
