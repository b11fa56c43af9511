"""Load a run's results once more, into the ledger that the environment names: `bench` times it apart from the rest."""

import datetime
import sys
import time
from pathlib import Path

import strandline_contract as contract
from strandline import periods, settings
from strandline.attempts import SealedAttempt
from strandline.ingest import listing
from strandline.ingest import load as predictions
from strandline.models import registry


def main(run_id: str, first: str, report: str) -> None:
    """Write to `report` the seconds that `predictions.load` took, and how many rows it added to the ledger."""
    version = registry.register(settings.REPOSITORY / "models" / "cifar_resnet20_v1", "make bench")
    registry.install_first(version, "make bench")
    start = datetime.datetime.fromisoformat(first)
    listing.list_entries(listing.Run(run_id, "manual", start, start + periods.get().length))
    store, folder = settings.get().store, settings.get().run_folder(run_id)
    classified = [
        SealedAttempt(result.parent.parent.name, str(result.parent.relative_to(store)), contract.sha256_file(result))
        for result in sorted((folder / "classify").glob(f"*/*/{contract.RESULT_FILE}"))
    ]
    started = time.perf_counter()
    loaded = predictions.load(run_id, classified)
    seconds = time.perf_counter() - started
    # The outcomes, the batches, the predictions and failures, and an image for every entry ingested.
    rows = sum(loaded.values()) - loaded["known"] + loaded.get("ingested", 0)
    contract.write_json(Path(report), {"seconds": seconds, "rows": rows})


if __name__ == "__main__":
    main(*sys.argv[1:])
