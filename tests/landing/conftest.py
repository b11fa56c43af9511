"""A real S3 server for the tests of a file, that does as it should until a test says otherwise."""

from collections.abc import Iterator

import pytest
from object_store import Store

from strandline import bucket


@pytest.fixture(scope="module")
def running_store() -> Iterator[Store]:
    with Store() as running:
        yield running


@pytest.fixture
def store(running_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Nobody waits before credentials are read again."""
    running_store.misbehave = lambda environment: None
    monkeypatch.setattr(bucket, "RENEWALS", (0.0, 0.0))
    return running_store
