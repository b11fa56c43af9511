"""Which code this is."""

import subprocess

from strandline import settings


def checked_out() -> str:
    """The commit that is checked out, marked if files differ from it; `unknown` if there is no checkout."""
    git = ["git", "-C", str(settings.REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    except FileNotFoundError:
        return "unknown"


def of_code() -> str:
    """The setting `revision`, which images have; else what is checked out."""
    return settings.get().revision or checked_out()
