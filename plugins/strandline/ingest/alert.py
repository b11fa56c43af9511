"""What a person has to look at although a run went on."""

import json

from strandline import reports, settings
from strandline.errors import PermanentError


class Alert(PermanentError):
    """The run went on, and yet a person has to look; the message says at what, and what to do."""


def alert(run_id: str) -> None:
    """Say what a person has to look at although the run went on: folders set aside, many files vanished.

    Raises:
        Alert: there is something; the message says what, and what to do.
    """
    folder = settings.get().run_folder(run_id)
    result = json.loads((folder / "validation" / "validation.json").read_bytes())
    if result["alerts"]:
        raise Alert(f"{' '.join(result['alerts'])} Details: {reports.address('validation', folder.name)}")
