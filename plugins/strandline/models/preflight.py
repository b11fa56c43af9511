"""Preflight: whether a host can classify with the champion, asked and answered."""

import logging

import strandline_contract as contract
from strandline import attempts, ledger, settings
from strandline.models import runtimes, versions

log = logging.getLogger(__name__)


def plan() -> contract.PreflightRequest:
    """The preflight request for a host of the kind that classifies: with the champion, on STRANDLINE_DEVICE.

    Raises:
        NoChampion: none is installed.
        UnprovedRuntime: it may not be computed as the settings say.
    """
    config = settings.get()
    with ledger.connect("ingest") as connection:
        champion = versions.champion(connection)
        runtime = runtimes.proved(connection, config.vision.runtime(), champion["version"])
    return contract.PreflightRequest(
        shard_id=config.vision.device,
        bundle=contract.BundleRef(champion["bundle"], champion["version"]),
        runtime=runtime,
    )


def report(checked: attempts.SealedAttempt) -> contract.PreflightReport:
    """What a check found; it is logged for people.

    Raises:
        contract.NoResult: its files are missing or altered.
    """
    folder, result = attempts.read(settings.get().store, checked, "preflight")
    if contract.PREFLIGHT_FILE not in result.files:
        raise contract.NoResult(f"{folder} has a result without {contract.PREFLIGHT_FILE}: run the check again")
    try:
        found = contract.PreflightReport.from_json(contract.read_file(folder / contract.PREFLIGHT_FILE))
    except (OSError, contract.BadRequest) as error:
        raise contract.NoResult(f"{folder / contract.PREFLIGHT_FILE} cannot be read ({error}): check again") from error
    log.info("%s images/s on %s: %s", f"{found.images_per_second:,.0f}", found.device, "; ".join(found.hardware))
    log.info("in batches of %d images", found.batch_size)
    if found.largest_difference is None:
        log.info("the bundle has no golden images to compare its answers with")
    else:
        log.info("probabilities of the golden images: %.1e off at the most", found.largest_difference)
    return found
