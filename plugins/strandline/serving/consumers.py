"""Consumers: the applications that may ask, each by a token of which the ledger has the hash alone."""

import contextlib
import hashlib
import math
import re
import secrets
from collections.abc import Iterator

import psycopg

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.models import bundles, versions

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class ConsumerError(PermanentError):
    """A consumer cannot be made or revoked; the message says why."""


def create(name: str, requests_per_second: float, by: str, version: str | None = None) -> str:
    """Let an application ask; returns its token, which is nowhere else.

    Args:
        requests_per_second: at the most.
        by: the person who lets it in.
        version: that answers it, or the beginning of its id; the champion by default.

    Raises:
        ConsumerError: it may ask already, has no plain name or no rate, or the bundle of its version is not whole.
        VersionError: no version, or more than one, begins so.
    """
    if not NAME.fullmatch(name) or name == contract.ANONYMOUS:
        raise ConsumerError(
            f"{name!r} cannot be the name of a consumer: up to 63 of a to z, 0 to 9, dot, dash and underscore, a letter"
            f" or a digit first and last, and not {contract.ANONYMOUS}"
        )
    if not (0 < requests_per_second < math.inf):
        raise ConsumerError(f"a consumer may ask some times a second, not {requests_per_second}")
    token = secrets.token_urlsafe(32)
    row = {"name": name, "token_sha256": hashlib.sha256(token.encode()).hexdigest(), "rate": requests_per_second}
    with ledger.connect("people") as connection, _refused():
        pinned = _whole(connection, version) if version else None
        ledger.fetch(connection, "call_create_consumer", row | {"version": pinned, "by": by})
    return token


def revoke(name: str, by: str) -> None:
    """Refuse an application from now on: its token ends within seconds.

    Raises:
        ConsumerError: no such one may ask.
    """
    with ledger.connect("people") as connection, _refused():
        ledger.fetch(connection, "call_revoke_consumer", {"name": name, "by": by})


def _whole(connection: ledger.Connection, given: str) -> str:
    """The version that is meant, whose bundle is in the store."""
    found = versions.find(connection, given)
    try:
        bundles.verify(settings.get().store / found["bundle"], found["version"])
    except bundles.BundleError as error:
        raise ConsumerError(f"version {found['version']} could answer nobody: {error}") from error
    return str(found["version"])


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """What the ledger refuses, in its own words."""
    try:
        yield
    except (psycopg.errors.RaiseException, psycopg.errors.CheckViolation) as error:
        raise ConsumerError(error.diag.message_primary or str(error)) from error
