"""Which versions answer whom, as the ledger says it and serving processes read it."""

import dataclasses
import datetime
import logging
from pathlib import Path

from psycopg.rows import DictRow

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models import bundles, versions

log = logging.getLogger(__name__)

READ_SECONDS = 5.0  # after which it is written again though nothing changed, so that readers see that we live


class Bundles:
    """Which bundles of the store are whole: each is hashed until it once was, and looked for every time.

    `problems`: of each version that was asked for; None if it is whole.
    """

    def __init__(self) -> None:
        self._whole: set[str] = set()
        self.problems: dict[str, str | None] = {}

    def have(self, version: str, bundle: str) -> bool:
        folder = settings.get().store / bundle
        try:
            if version not in self._whole or not (folder / contract.BUNDLE_MANIFEST).is_file():
                self._whole.discard(version)
                bundles.verify(folder, version)
        except bundles.BundleError as error:
            if self.problems.get(version) != str(error):
                log.error("version %s answers nobody: %s", version, error)
            self.problems[version] = str(error)
            return False
        self._whole.add(version)
        self.problems[version] = None
        return True


def read(connection: ledger.Connection, whole: Bundles) -> contract.Deployment:
    """What the ledger says now. A version that a consumer is pinned to, or that is rolled out, and whose bundle is not
    whole is left out; the champion is not: serving processes check it, and go on with what they have.

    Raises:
        NoChampion: there is none.
    """
    champion = versions.champion(connection)
    rows = ledger.fetch(connection, "select_consumers")
    pinned = {row["version"]: row["bundle"] for row in rows if row["version"]}
    return contract.Deployment(
        read_at=datetime.datetime.now(datetime.UTC).isoformat(),
        champion=contract.BundleRef(champion["bundle"], champion["version"]),
        pinned=tuple(contract.BundleRef(path, one) for one, path in sorted(pinned.items()) if whole.have(one, path)),
        consumers=tuple(map(_consumer, rows)),
        anonymous_requests_per_second=settings.get().serving.anonymous_requests_per_second,
        rollout=_rollout(connection, champion["version"], whole),
    )


def _rollout(connection: ledger.Connection, champion: str, whole: Bundles) -> contract.Rollout | None:
    """The one that is on beside this champion; it answers nobody either while its bundle is not whole."""
    for row in ledger.fetch(connection, "select_current_rollout"):
        if row["champion"] == champion and whole.have(row["version"], row["bundle"]):
            bundle = contract.BundleRef(row["bundle"], row["version"])
            return contract.Rollout(
                row["rollout_id"], bundle, "shadow" if row["what"] == "shadow" else "canary", row["share"]
            )
    return None


def _consumer(row: DictRow) -> contract.Consumer:
    return contract.Consumer(row["name"], row["token_sha256"], row["requests_per_second"], row["version"])


def is_due(now: contract.Deployment, written: contract.Deployment | None) -> bool:
    """Whether it says something else than what was written last, or that is old."""
    if written is None or dataclasses.replace(now, read_at=written.read_at) != written:
        return True
    age = datetime.datetime.fromisoformat(now.read_at) - datetime.datetime.fromisoformat(written.read_at)
    return abs(age.total_seconds()) >= READ_SECONDS  # clocks go back, too


def write(folder: Path, deployment: contract.Deployment) -> None:
    """For serving processes to read: whole, or not at all."""
    contract.write_json(folder / contract.DEPLOYMENT_FILE, deployment.to_dict())
