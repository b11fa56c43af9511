"""Parity: a model version by each runtime that there is, beside the reference, on the holdout; measured and recorded.

`plan` asks, `vision parity` measures, `record` decides and writes what came of it into the ledger, once for a run and
runtime: trying again is no way to better luck.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import attempts, ledger, settings
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.models import bundles, datasets, runtimes, versions
from strandline.parity.decision import Decision, decide

log = logging.getLogger(__name__)


class ParityError(PermanentError):
    """Parity cannot be measured, and another try cannot help; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Recorded(contract.Message):
    """What the ledger has of a version since a run: an outcome by runtime."""

    version: str
    outcomes: dict[str, str]


def plan(given: str | None) -> contract.ParityRequest:
    """The request to compare all runtimes of the device that classifies.

    Args:
        given: the first digits of a model version; None for the champion.

    Raises:
        ParityError: there is no holdout.
        VersionError, NoChampion, bundles.BundleError: there is no such version, or its bundle is not whole.
    """
    config = settings.get()
    with ledger.connect("training") as connection:
        model = versions.find_or_champion(connection, given)
        holdout = datasets.latest(connection, "holdout", model["classes"])
    if holdout is None:
        raise ParityError(
            f"there is no holdout of images of the classes of {model['name']} to compare on: docs/retraining.md says"
            " how to freeze one"
        )
    manifest = bundles.verify(contract.store_path(config.store, model["bundle"]), model["version"])
    has_weights = contract.WEIGHTS_FILE in manifest.files
    reference = runtimes.reference(config.vision, has_weights)
    return contract.ParityRequest(
        bundle=contract.BundleRef(model["bundle"], model["version"]),
        shards=holdout.shards,
        labels=holdout.labels,
        reference=reference,
        runtimes=tuple(one for one in _runtimes(config.vision, has_weights) if one != reference),
        shard_id=model["version"],
    )


def _runtimes(vision: settings.Vision, has_weights: bool) -> list[contract.Runtime]:
    """All backends that a CPU has, in each of their precisions; on a GPU, the one that is set."""
    today = vision.runtime()
    if today.device == "gpu":
        return [dataclasses.replace(today, precision=precision) for precision in contract.PRECISIONS[today.backend]]
    return [
        contract.Runtime(backend, today.threads, today.batch_size, precision)
        for backend, precisions in contract.PRECISIONS.items()
        for precision in precisions
        if has_weights or backend != "mxnet"
    ]


def record(run_id: str, measured: SealedAttempt) -> Recorded:
    """Decide on each runtime that was measured, and record it; what is there is logged as a table.

    Raises:
        contract.NoResult: files of the attempt are missing or altered, or answer something else.
    """
    config = settings.get()
    folder, _ = attempts.of_run(config, run_id, measured, "parity")
    request = contract.read_request("parity", folder / contract.REQUEST_FILE)
    assert isinstance(request, contract.ParityRequest)
    report = _report(folder / contract.PARITY_FILE)
    if (report.reference, *(one.runtime for one in report.found)) != (request.reference, *request.runtimes):
        raise contract.NoResult(f"{folder / contract.PARITY_FILE} is of other runtimes than were asked for")
    version = request.bundle.version
    with ledger.connect("training") as connection:
        images = datasets.read(connection, request.labels.sha256).images
        for one in report.found:
            if one.agreement is None:
                log.warning("%s: not here. %s", one.runtime, one.reason)
            elif one.agreement.images != images:
                raise contract.NoResult(f"{folder / contract.PARITY_FILE} is not of the {images:,} images of its set")
            else:
                decision = decide(one.runtime.precision, one.agreement)
                row = _row(report, one.runtime, one.agreement, decision)
                row |= {"run_id": run_id, "version": version, "holdout": request.labels.sha256}
                ledger.execute(connection, "insert_parity", row)
        rows = ledger.fetch(connection, "select_run_parity", {"run_id": run_id, "version": version})
    log.info("model version %s beside %s:\n%s", version[:12], report.reference, "\n".join(table(rows)))
    return Recorded(version, {_name(row): row["outcome"] for row in rows})


def _report(path: Path) -> contract.ParityReport:
    try:
        return contract.ParityReport.from_json(contract.read_file(path))
    except (OSError, contract.BadRequest) as error:
        raise contract.NoResult(f"{path} cannot be read ({error}): measure again") from error


def _row(
    report: contract.ParityReport, runtime: contract.Runtime, agreement: contract.Agreement, decision: Decision
) -> dict[str, Any]:
    row = agreement.to_dict() | dataclasses.asdict(decision)
    row |= {name: getattr(runtime, name) for name in ("backend", "precision", "device")}
    row |= {"reference": f"{report.reference.backend} {report.reference.precision}", "processor": report.processor}
    return row | {"versions": Jsonb(agreement.versions)}


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines for people: what was measured of each runtime, and a sentence about each."""
    lines = [f"{'runtime':<24}{'outcome':<21}{'equal labels':>14}{'largest difference':>20}{'images/s':>10}"]
    for row in rows:
        equal, difference = row["equal_labels"] / row["images"], row["largest_difference"]
        lines.append(
            f"{_name(row):<24}{row['outcome']:<21}{equal:>14.2%}{difference:>20.1g}{row['images_per_second']:>10,.0f}"
        )
    return [*lines, *(f"{_name(row)}: {row['sentence']}" for row in rows)]


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['backend']} {row['precision']} {row['device']}"
