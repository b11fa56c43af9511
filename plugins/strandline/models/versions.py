"""The row of a model version: the champion's, or that of the one which a person names by the beginning of its id."""

import re

from psycopg.rows import DictRow

from strandline import ledger
from strandline.errors import PermanentError


class VersionError(PermanentError):
    """No version, or more than one, is meant; the message says which there are."""


class NoChampion(PermanentError):
    """None is installed; the message says what to do."""


def champion(connection: ledger.Connection) -> DictRow:
    """The row of the version in use.

    Raises:
        NoChampion: there is none.
    """
    found = ledger.fetch(connection, "select_champion")
    if not found:
        raise NoChampion("there is no champion: `make up` installs the first one, or register a model and promote it")
    return found[0]


def find_or_champion(connection: ledger.Connection, given: str | None) -> DictRow:
    """As `find`; the champion if none is given.

    Raises:
        VersionError, NoChampion: there is no such version.
    """
    return find(connection, given) if given else champion(connection)


def find(connection: ledger.Connection, given: str) -> DictRow:
    """The row of the model version whose id begins so.

    Raises:
        VersionError: what is given is no beginning of an id, or of none or of several registered versions.
    """
    beginning = given.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{1,64}", beginning):
        raise VersionError(f"{given!r} is no model version: give its id, or the first digits of it, as pages show them")
    found = ledger.fetch(connection, "select_versions_by_prefix", {"prefix": beginning})
    if not found:
        raise VersionError(f"no model version that begins with {beginning} is registered")
    if len(found) > 1:
        several = ", ".join(f"{row['version'][:12]} ({row['name']})" for row in found[:5])
        raise VersionError(f"{len(found)} model versions begin with {beginning}: give more digits of {several}")
    return found[0]
