"""Preflight: whether a host can classify with the champion, asked and answered."""

import logging
from collections.abc import Mapping
from typing import Any, Literal, cast

import strandline_contract as contract
from strandline import attempts, ledger, settings
from strandline.models import versions

log = logging.getLogger(__name__)


def plan() -> dict[str, Any]:
    """The preflight request, as a JSON object, for a host of the kind that classifies: with the champion, on
    STRANDLINE_DEVICE.

    Raises:
        NoChampion: none is installed.
    """
    config = settings.get()
    with ledger.connect("ingest") as connection:
        champion = versions.champion(connection)
    return contract.PreflightRequest(
        shard_id=config.device,
        bundle=contract.BundleRef(champion["bundle"], champion["version"]),
        batch_size=config.classify_batch_size,
        threads=config.cores,
        device=cast(Literal["cpu", "gpu"], config.device),
    ).to_dict()


def report(checked: Mapping[str, Any]) -> dict[str, Any]:
    """What a check found, a `contract.PreflightReport` as a JSON object; a line of it is logged.

    Args:
        checked: `folder` of the attempt, relative to the store.

    Raises:
        contract.NoResult: its files are missing or altered.
    """
    folder, result = attempts.read(settings.get().store, checked, "preflight")
    if contract.PREFLIGHT_FILE not in result.files:
        raise contract.NoResult(f"{folder} has a result without {contract.PREFLIGHT_FILE}: run the check again")
    try:
        answer: dict[str, Any] = contract.parse_json(contract.read_file(folder / contract.PREFLIGHT_FILE))
        found = contract.PreflightReport.from_dict(answer)
    except (OSError, contract.BadRequest) as error:
        raise contract.NoResult(f"{folder / contract.PREFLIGHT_FILE} cannot be read ({error}): check again") from error
    log.info("%s images/s on %s: %s", f"{found.images_per_second:,.0f}", found.device, "; ".join(found.hardware))
    if found.largest_difference is not None:
        log.info("probabilities of the GPU and the CPU differ by %.1e at the most", found.largest_difference)
    return answer
