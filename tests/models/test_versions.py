"""A model version is meant by as much of its id as only one has."""

import ledger_rows as seeding
import pytest

from strandline import ledger
from strandline.models import versions


@pytest.fixture
def connection(database):
    with ledger.connect("ingest") as connection:
        yield connection


def test_any_beginning_that_only_one_version_has_will_do(connection):
    registered = [seeding.register(f"model {number}") for number in range(5)]
    for version in registered:
        shortest = next(n for n in range(1, 65) if sum(other.startswith(version[:n]) for other in registered) == 1)
        for given in (version, version[:12], version[:shortest], f" {version[:12].upper()}\n"):
            assert versions.find(connection, given)["version"] == version


@pytest.mark.parametrize("given", ["", "latest", "%", "_" * 12, "0" * 65, "../models", "٣" * 12])
def test_what_is_no_beginning_of_an_id_is_refused(connection, given):
    seeding.register("model")
    with pytest.raises(versions.VersionError, match="is no model version"):
        versions.find(connection, given)


def test_a_beginning_of_none_or_of_several_says_so(connection):
    registered = [seeding.register(f"model {number}") for number in range(17)]
    several = next(digit for digit in "0123456789abcdef" if sum(one.startswith(digit) for one in registered) > 1)
    with pytest.raises(versions.VersionError, match=r"give more digits of [0-9a-f]{12} "):
        versions.find(connection, several)
    with pytest.raises(versions.VersionError, match=r"no model version that begins with f{64} is registered"):
        versions.find(connection, "f" * 64)
