"""Prove every invariant of the ledger, and that its audit log is whole: `make verify`, or `make verify AUDIT=<hash>`.

The ledger is the local one, or that of STRANDLINE_DATABASE_URL.
"""

import os
import sys

from local.stack import databases
from strandline import ledger, settings


def main(noted: str | None = None) -> int:
    config = settings.load()
    if not config.database_url:
        os.environ["STRANDLINE_DATABASE_URL"] = databases.ledger_url(config)
        settings.get.cache_clear()
    try:
        head = ledger.verify(noted)
    except ledger.LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Every invariant holds. The audit log has {head.steps} steps; note the hash of the last one: {head.hash}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
