"""Hours of drops: each is named by its first moment, in UTC."""

import datetime

HOUR_FORMAT = "%Y-%m-%dT%H"


def parse(text: str) -> datetime.datetime:
    """
    Raises:
        ValueError: the text is not like 2026-11-21T08.
    """
    return datetime.datetime.strptime(text, HOUR_FORMAT).replace(tzinfo=datetime.UTC)


def last_full() -> datetime.datetime:
    now = datetime.datetime.now(datetime.UTC)
    return now.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=1)
