"""Hours as people name them: each by its first moment, in UTC."""

import dataclasses
import datetime
import re

from strandline.errors import PermanentError

HOUR = datetime.timedelta(hours=1)
HOUR_NS = 3600 * 10**9
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
FORMAT = "%Y-%m-%dT%H"
WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}")


class HourError(PermanentError, ValueError):
    """What a person wrote is no hour; the message says how to write one."""


def parse(text: str) -> datetime.datetime:
    """
    Raises:
        HourError: it is not written as 2026-11-21T08, or no clock and no calendar has it.
    """
    if WRITTEN.fullmatch(text):
        try:
            return datetime.datetime.strptime(text, FORMAT).replace(tzinfo=datetime.UTC)
        except ValueError:
            pass
    raise HourError(f"{text!r} is no hour: write one as 2026-11-21T08, which is in UTC and has hours from 00 to 23")


def floor(moment: datetime.datetime) -> datetime.datetime:
    """The hour in which a moment lies."""
    return moment.astimezone(datetime.UTC).replace(minute=0, second=0, microsecond=0)


def are_full(start: datetime.datetime, end: datetime.datetime) -> bool:
    """Whether [start, end) is one or more full hours, with a time zone."""
    return (
        start.tzinfo is not None
        and end.tzinfo is not None
        and start < end
        and not any((one - EPOCH) % HOUR for one in (start, end))
    )


def last_complete() -> datetime.datetime:
    return floor(datetime.datetime.now(datetime.UTC)) - HOUR


def named(logical_date: datetime.datetime, now: datetime.datetime) -> datetime.datetime:
    """The hour that a logical date names: the one in which it lies.

    Airflow's form has the present moment in that field, which names nothing: a moment within the hour that still runs
    stands for the last complete hour.
    """
    hour = floor(logical_date)
    return hour - HOUR if logical_date != hour == floor(now) else hour


def says(start: datetime.datetime, end: datetime.datetime) -> str:
    """An interval of hours, for people."""
    first, last = (hour.strftime(FORMAT) for hour in (start, end - HOUR))
    return first if first == last else f"{first} to {last}"


class WindowError(PermanentError):
    """A window cannot be read and another try cannot help; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Window:
    """[start, end) of landing hours, and the model version that predicted; None stands for the champion.

    Raises:
        WindowError: it is not one or more full hours.
    """

    start: datetime.datetime
    end: datetime.datetime
    model_version: str | None = None

    def __post_init__(self) -> None:
        if not are_full(self.start, self.end):
            raise WindowError(f"the window {self.start} to {self.end} must be one or more full hours with a time zone")

    @property
    def name(self) -> str:
        """As 2026-11-21T08, with its end where it is more than an hour."""
        end = "" if self.end - self.start == HOUR else f"--{self.end:%Y-%m-%dT%H}"
        return f"{self.start:%Y-%m-%dT%H}{end}"
