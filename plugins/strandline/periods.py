"""Periods as people name them: each by its first moment, in UTC. How long one is, is a setting."""

import dataclasses
import datetime
import re

from strandline import settings
from strandline.errors import PermanentError

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


class PeriodError(PermanentError, ValueError):
    """What a person wrote is no period; the message says how to write one."""


@dataclasses.dataclass(frozen=True)
class Period:
    """How long each drop is: the first one of a day begins at midnight UTC, and one follows the other.

    Attributes:
        length: whole minutes, and a day is a multiple of it.
        noun: what people call one.
        format: how one is written, for strftime; `written` is what that looks like.
        advice: what else is to be known of writing one.
    """

    length: datetime.timedelta
    noun: str
    format: str
    written: re.Pattern[str]
    advice: str

    @property
    def path_format(self) -> str:
        """As `format`, for the names of files and folders: without a colon."""
        return self.format.replace(":", "")

    @property
    def example(self) -> str:
        """As 2026-11-21T08."""
        return self.write(self.floor(datetime.datetime(2026, 11, 21, 8, 20, tzinfo=datetime.UTC)))

    def parse(self, text: str) -> datetime.datetime:
        """
        Raises:
            PeriodError: it is not written as `example`, or no clock and no calendar has it.
        """
        if self.written.fullmatch(text):
            try:
                start = datetime.datetime.strptime(text.replace(":", ""), self.path_format).replace(tzinfo=datetime.UTC)
            except ValueError:
                pass
            else:
                if start == self.floor(start):
                    return start
        raise PeriodError(f"{text!r} is no {self.noun}: write one as {self.example}, which is in UTC{self.advice}")

    def write(self, start: datetime.datetime) -> str:
        """As people write it; `parse` reads it again."""
        return start.strftime(self.format)

    def floor(self, moment: datetime.datetime) -> datetime.datetime:
        """The period in which a moment lies."""
        moment = moment.astimezone(datetime.UTC)
        length = self.length // datetime.timedelta(minutes=1)
        minutes = (60 * moment.hour + moment.minute) // length * length
        return moment.replace(hour=minutes // 60, minute=minutes % 60, second=0, microsecond=0)

    def are_full(self, start: datetime.datetime, end: datetime.datetime) -> bool:
        """Whether [start, end) is one or more full periods, with a time zone."""
        return (
            start.tzinfo is not None
            and end.tzinfo is not None
            and start < end
            and all(one == self.floor(one) for one in (start, end))
        )

    def last_complete(self) -> datetime.datetime:
        return self.floor(datetime.datetime.now(datetime.UTC)) - self.length

    def named(self, logical_date: datetime.datetime, now: datetime.datetime) -> datetime.datetime:
        """The period that a logical date names: the one in which it lies.

        Airflow's form has the present moment in that field, which names nothing: a moment within the period that still
        runs stands for the last complete one.
        """
        period = self.floor(logical_date)
        return period - self.length if logical_date != period == self.floor(now) else period

    def says(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """An interval of periods, for people."""
        first, last = map(self.write, (start, end - self.length))
        return first if first == last else f"{first} to {last}"


def _named(name: str) -> Period:
    """The period that STRANDLINE_PERIOD calls so."""
    length = settings.PERIODS[name]
    if name == "day":
        return Period(length, name, "%Y-%m-%d", re.compile(DATE), "")
    if name == "hour":
        written = re.compile(f"{DATE}T[0-9]{{2}}")
        return Period(length, name, "%Y-%m-%dT%H", written, " and has hours from 00 to 23")
    written = re.compile(f"{DATE}T[0-9]{{2}}:?[0-9]{{2}}")
    return Period(length, "period", "%Y-%m-%dT%H:%M", written, f" and begins at a multiple of {name}")


PERIODS = {name: _named(name) for name in settings.PERIODS}


def get() -> Period:
    """The period of this process, by the settings."""
    return PERIODS[settings.get().ingest.period]


class WindowError(PermanentError):
    """A window cannot be read and another try cannot help; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Window:
    """[start, end) of landing periods, and the model version that predicted; None stands for the champion.

    Raises:
        WindowError: it is not one or more full periods.
    """

    start: datetime.datetime
    end: datetime.datetime
    model_version: str | None = None

    def __post_init__(self) -> None:
        period = get()
        if not period.are_full(self.start, self.end):
            raise WindowError(
                f"the window {self.start} to {self.end} must be one or more full {period.noun}s with a time zone"
            )

    @property
    def name(self) -> str:
        """As 2026-11-21T08 or 2026-11-21T0815, with its end if it is more than one period."""
        period = get()
        end = "" if self.end - self.start == period.length else f"--{self.end:{period.path_format}}"
        return f"{self.start:{period.path_format}}{end}"
