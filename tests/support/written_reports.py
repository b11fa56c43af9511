"""Reports as files, by the addresses that people open them at."""

from pathlib import Path

from strandline import reports, settings


def written(address: str, name: str = reports.PAGE) -> Path:
    """A file of a report in the store of the settings."""
    *_, kind, report, end = address.split("/")
    assert end == ""
    return settings.get().store / reports.PLACES[kind].folder.format(report) / name
