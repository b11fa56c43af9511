"""Monitoring: after a promotion, whether the new champion is worse than the one before it, on the same images.

The images that were labelled since the promotion are classified by the old champion as well, so that nothing else than
the model differs: had its accuracy of last week been compared, a darker day would count against the new one. Each check
takes all images since the promotion, and McNemar's exact test one-sided at ALPHA / STRANDLINE_WATCH_LOOKS (Bonferroni):
over all checks together, a champion that is as good is called worse with a probability of at most ALPHA.
"""

import dataclasses
import datetime
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import strandline_contract as contract
from strandline import attempts, ledger, settings, tables
from strandline.attempts import SealedAttempt
from strandline.models import bundles, runtimes, versions
from strandline.stats.paired import Pairs

log = logging.getLogger(__name__)

ALPHA = 0.025
ROWS = 20_000  # images of a check, at the most
PLAN, LABELS = "plan.json", "labels.parquet"


@dataclasses.dataclass(frozen=True)
class MonitoringPlan(contract.Message):
    """What a check compares: the champion (`version`), promoted at (ISO format), with its predecessor; which check
    it is; and by image, whether the champion has it right.
    """

    version: str
    predecessor: str
    promoted_at: str
    number: int
    right: dict[str, bool]


@dataclasses.dataclass(frozen=True)
class ChampionCheck(contract.Message):
    """What a check found: whether the champion (`version`) is worse than its predecessor, and that in a sentence."""

    worse: bool
    sentence: str
    version: str
    predecessor: str


def plan(run_id: str) -> contract.EvaluateRequest | None:
    """The request to have the old champion classify what was labelled since the promotion. None if the champion did
    not come by a promotion, too little was labelled since the last check, all checks were taken, or one found it worse.

    None as well if the two have other classes, or want other pixels of an image.

    Args:
        run_id: of monitor_champion.

    Raises:
        BundleError: the bundle of one of them is gone or altered.
        UnprovedRuntime: the old champion may not be computed as the settings say.
    """
    config = settings.get()
    with ledger.connect("gate") as connection:
        periods = ledger.fetch(connection, "select_monitored_period")
        if not periods or periods[0]["worse"] or periods[0]["checks"] >= config.promotion.watch_looks:
            return None
        (period,) = periods
        if not _comparable(connection, config, period):
            log.info("champion and predecessor have other classes, or want other pixels: nothing compares them")
            return None
        rows = ledger.fetch(connection, "select_monitored_images", {**period, "rows": ROWS})
        shards = tuple(attempts.recorded_shards(connection, config.store, (row["folder"] for row in rows)))
        runtime = runtimes.proved(connection, config.vision.runtime(), period["predecessor"])
    if len(rows) < period["images"] + config.promotion.watch_labels:
        log.info("%d images were labelled since the promotion: too few for another check", len(rows))
        return None
    folder = _folder(config, run_id)
    labels = _write_labels(folder / LABELS, {row["image_id"]: row["truth"] for row in rows})
    planned = MonitoringPlan(
        version=period["version"],
        predecessor=period["predecessor"],
        promoted_at=period["promoted_at"].isoformat(),
        number=period["checks"] + 1,
        right={row["image_id"]: row["predicted"] == row["truth"] for row in rows},
    )
    contract.write_json(folder / PLAN, planned.to_dict())
    return contract.EvaluateRequest(
        bundle=contract.BundleRef(period["bundle"], period["predecessor"]),
        shards=shards,
        labels=contract.FileRef(str((folder / LABELS).relative_to(config.store)), labels),
        runtime=runtime,
        shard_id=period["predecessor"],
    )


def _comparable(connection: ledger.Connection, config: settings.Settings, period: Mapping[str, Any]) -> bool:
    """Whether the predecessor can classify what was packed for the champion, and has classes for its labels."""
    models = [versions.find(connection, period[name]) for name in ("version", "predecessor")]
    after, before = (
        (sorted(model["classes"]), bundles.preprocessing(path, model["version"]).resize_rule())
        for model in models
        for path in [contract.store_path(config.store, model["bundle"])]
    )
    return after == before


def compare(run_id: str, evaluated: SealedAttempt) -> ChampionCheck:
    """Compare, and record the check. A run checks once: asked again, it answers with what it found.

    Raises:
        contract.NoResult: files of the attempt are missing or altered.
    """
    config = settings.get()
    planned = MonitoringPlan.from_json((_folder(config, run_id) / PLAN).read_bytes())
    row: dict[str, Any] = {"run_id": run_id, "number": planned.number}
    row |= {"version": planned.version, "predecessor": planned.predecessor}
    row |= {"promoted_at": datetime.datetime.fromisoformat(planned.promoted_at)}
    row |= _compare(_pairs(config, run_id, planned, evaluated), ALPHA / config.promotion.watch_looks)
    with ledger.connect("gate") as connection:
        ledger.execute(connection, "insert_champion_check", row)
        recorded = ledger.fetch(connection, "select_champion_check", row)
    if not recorded:
        log.info("another run made check %d at the same time", row["number"])
        return ChampionCheck(False, row["sentence"], row["version"], row["predecessor"])
    log.info("check %d: %s", recorded[0]["number"], recorded[0]["sentence"])
    return _check(recorded[0])


def worse(run_id: str) -> bool:
    """Whether the check of a run found the champion worse, as the ledger has it."""
    with ledger.connect("gate") as connection:
        return any(row["worse"] for row in ledger.fetch(connection, "select_champion_check", {"run_id": run_id}))


def check_of(run_id: str) -> ChampionCheck:
    """The check of a run, as the ledger has it."""
    with ledger.connect("gate") as connection:
        (row,) = ledger.fetch(connection, "select_champion_check", {"run_id": run_id})
    return _check(row)


def approval_request(run_id: str) -> tuple[str, str]:
    """What an approver is asked about a worse champion: a line, and a body in Markdown."""
    check = check_of(run_id)
    return f"Roll back to {check.predecessor[:12]}?", check.sentence


def _check(row: Mapping[str, Any]) -> ChampionCheck:
    return ChampionCheck(row["worse"], row["sentence"], row["version"], row["predecessor"])


def _compare(pairs: Pairs, alpha: float) -> dict[str, Any]:
    p_worse = pairs.p_different() / 2 if pairs.lost > pairs.gained else 1.0
    worse = p_worse <= alpha
    sentence = (
        f"On {pairs.rows:,} images labelled since the promotion, the champion alone has {pairs.gained:,} right, the one"
        f" before it {pairs.lost:,}: "
        + ("it is worse beyond chance. Roll back?" if worse else "it is not shown to be worse.")
    )
    counts = {"images": pairs.rows, "gained": pairs.gained, "lost": pairs.lost}
    return counts | {"p_worse": p_worse, "alpha": alpha, "worse": worse, "sentence": sentence}


def _pairs(config: settings.Settings, run_id: str, planned: MonitoringPlan, evaluated: SealedAttempt) -> Pairs:
    folder, _ = attempts.of_run(config, run_id, evaluated, "evaluate")
    request = contract.read_request("evaluate", folder / contract.REQUEST_FILE)
    assert isinstance(request, contract.EvaluateRequest)
    labels = tables.read(contract.verified(config.store, request.labels), contract.LABEL_COLUMNS)
    truth = dict(zip(labels["image_id"].to_pylist(), labels["label"].to_pylist(), strict=True))
    columns = tables.among(contract.PREDICTION_COLUMNS, "image_id", "label")
    answers = tables.read(folder / contract.PREDICTIONS_FILE, columns, most=len(labels))
    images = answers["image_id"].to_pylist()
    if set(images) != set(planned.right) or request.bundle.version != planned.predecessor:
        raise contract.NoResult(f"{folder} answers another check: clear the task that plans, and all after it")
    before = [truth[image] == label for image, label in zip(images, answers["label"].to_pylist(), strict=True)]
    return Pairs.of(np.array(before), np.array([planned.right[image] for image in images]))


def _folder(config: settings.Settings, run_id: str) -> Path:
    folder = config.run_folder(run_id) / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_labels(path: Path, labels: Mapping[str, str]) -> str:
    """Returns the SHA-256 of the file."""
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in contract.LABEL_COLUMNS])
    with contract.whole(path) as file:
        pq.write_table(pa.table([list(labels), list(labels.values())], schema=schema), file)
    return contract.sha256_file(path)
