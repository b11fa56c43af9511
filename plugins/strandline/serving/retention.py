"""Answers over HTTP that are old are forgotten, where that is asked for: their counts stay."""

import datetime
import logging

from strandline import ledger, settings

log = logging.getLogger(__name__)

BATCH = 10_000  # answers of a transaction, but for their shadows


def forget() -> int:
    """Forget what was answered and recorded before STRANDLINE_SERVE_RETENTION_DAYS, a batch after the other; how many
    lines. Nothing if that is 0.

    Raises:
        Unreachable: the ledger does not answer; what was forgotten until then is.
    """
    days = settings.get().serving.retention_days
    if not days:
        log.info("STRANDLINE_SERVE_RETENTION_DAYS is 0: nothing is forgotten")
        return 0
    before, lines = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days), 0
    while forgotten := _forget(before):
        lines += forgotten
    log.info("%d lines from before %s are forgotten", lines, before.isoformat(timespec="minutes"))
    return lines


def _forget(before: datetime.datetime) -> int:
    with ledger.connect("ingest") as connection:
        (row,) = ledger.fetch(connection, "call_forget_served", {"before": before, "most": BATCH})
    return int(row["lines"])
