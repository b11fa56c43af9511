"""Prove every invariant of the ledger, and that its audit log is whole: `make verify`, or `make verify AUDIT=<hash>`.

The ledger is the local one, or that of STRANDLINE_DATABASE_URL.
"""

import os
import sys

from local.stack import databases
from strandline import ledger, settings
from strandline.serving import spools


def main(noted: str | None = None) -> int:
    config = settings.load()
    if not config.database_url:
        os.environ["STRANDLINE_DATABASE_URL"] = databases.ledger_url(config)
        settings.get.cache_clear()
    try:
        head = ledger.verify(noted)
        waiting = spools.count_waiting(settings.get().serving_folder)
    except ledger.LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    if waiting:
        print(f"{waiting:,} lines about answers over HTTP lie in spools, and are not in the ledger yet.")
    print(f"Every invariant holds. The audit log has {head.steps} steps; note the hash of the last one: {head.hash}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
