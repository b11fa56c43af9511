"""Which version answers whom: follows `deployment.json`, and has the models ready that it names.

A new champion is loaded beside the old one and takes its place between two requests; the old one ends once its last
picture is answered. What cannot be loaded changes nothing: the old champion goes on, and `detail` says so.
"""

import asyncio
import datetime
import sys

import strandline_contract as contract
from vision.serving import metrics
from vision.serving.consumers import Caller, Consumers
from vision.serving.model import Model
from vision.serving.problems import Problem
from vision.serving.recorder import Recorder
from vision.serving.settings import Settings

POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0  # after a bundle that could not be loaded
STALE_SECONDS = 30  # after which the ledger counts as out of reach


class Deployment:
    """Belongs to the event loop."""

    def __init__(self, settings: Settings, recorder: Recorder) -> None:
        self.consumers = Consumers()
        self.champion: Model | None = None
        self._settings, self._recorder = settings, recorder
        self._path = settings.folder / contract.DEPLOYMENT_FILE
        self._seen: tuple[int, ...] = ()
        self._wanted: contract.Deployment | None = None
        self._unread = ""  # why the file that is there is not what counts
        self._models: dict[str, Model] = {}
        self._ending: list[Model] = []
        self._failures: dict[str, tuple[float, str]] = {}  # by version: until when it is not tried again, and why
        self._loading: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Until it is cancelled."""
        while True:
            self._read()
            self._load_champion()
            self._end_unwanted()
            await asyncio.sleep(POLL_SECONDS)

    def versions(self) -> list[str]:
        """Of those that are ready, the champion's first."""
        ready = [version for version, model in self._models.items() if _is_ready(model)]
        return sorted(ready, key=lambda version: self.champion is None or version != self.champion.version)

    def names(self) -> set[str]:
        return {model.name for model in self._models.values() if _is_ready(model)}

    def detail(self) -> dict[str, object]:
        """What `ready` says."""
        wanted, age = self._wanted, self._age()
        version = wanted.champion.version if wanted else None
        failed = {version: why for version, (_, why) in self._failures.items()}
        stale = age is not None and age > STALE_SECONDS
        problems = [
            self._unread,
            f"the champion {version} cannot be served: {failed[version]}" if version in failed else "",
            f"the ledger was not reached since {wanted.read_at}" if wanted and stale else "",
            "" if wanted else f"there is no {self._path.name} yet",
        ]
        return {
            "ready": self.champion is not None,
            "champion": self.champion.version if self.champion else None,
            "wanted": version,
            "versions": self.versions(),
            "ledger_read_at": wanted.read_at if wanted else None,
            "problems": [problem for problem in problems if problem],
        }

    async def model(self, caller: Caller) -> Model:
        """What answers this caller.

        Raises:
            Problem: its version cannot be served now; no other one answers in its place.
        """
        if caller.version is None or (self.champion and self.champion.version == caller.version):
            if self.champion is None:
                raise Problem("NOT_READY", "no version is ready yet", 2)
            return self.champion
        return await self._pinned(caller.version)

    def close(self) -> None:
        for model in (*self._models.values(), *self._ending):
            model.close()

    def join(self) -> None:
        for model in (*self._models.values(), *self._ending):
            model.join()

    async def _pinned(self, version: str) -> Model:
        deployment = self._wanted
        known = (deployment.champion, *deployment.pinned) if deployment else ()
        ref = next((ref for ref in known if ref.version == version), None)
        if ref is None:
            raise Problem("BUNDLE_MISSING", f"version {version}, which this consumer is pinned to, has no bundle", 60)
        try:
            return await self._loaded(ref)
        except Exception as error:
            raise Problem("BUNDLE_MISSING", f"version {version} cannot be served: {error}", RETRY_SECONDS) from error

    async def _loaded(self, ref: contract.BundleRef) -> Model:
        """
        Raises:
            Exception: what is wrong with it; that is not found out again for some seconds.
        """
        until, why = self._failures.get(ref.version, (0.0, ""))
        now = asyncio.get_running_loop().time()
        if now < until:
            raise RuntimeError(why)
        model = self._models.get(ref.version)
        if model is None:
            model = Model(self._settings.store, ref, self._settings.runtime, self._recorder)
            self._models[ref.version] = model
        if _is_ready(model):
            return model
        try:
            await asyncio.shield(asyncio.wrap_future(model.ready))
        except Exception as error:
            if self._models.pop(ref.version, None):
                print(f"serving: version {ref.version} cannot be served: {error}", file=sys.stderr)
            self._failures[ref.version] = now + RETRY_SECONDS, str(error)
            raise
        self._failures.pop(ref.version, None)
        return model

    def _read(self) -> None:
        """Take the file if it is another one than before; one that cannot be read changes nothing."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            self._wanted = contract.Deployment.from_json(contract.read_file(self._path, contract.MAX_REQUEST_BYTES))
            self.consumers.take(self._wanted)
            self._unread = ""
        except FileNotFoundError:
            self._unread = f"{self._path.name} is gone" if self._wanted else ""
            self._seen = ()
        except (OSError, contract.ContractError) as error:
            self._unread = f"{self._path.name} cannot be read: {error}"
            print(f"serving: {self._unread}", file=sys.stderr)

    def _load_champion(self) -> None:
        if self._wanted is None or (self._loading and not self._loading.done()):
            return
        ref = self._wanted.champion
        if self.champion is None or self.champion.version != ref.version:
            self._loading = asyncio.create_task(self._switch(ref))

    async def _switch(self, ref: contract.BundleRef) -> None:
        try:
            model = await self._loaded(ref)
        except Exception:  # noqa: BLE001 - `detail` says it, and another try follows
            return
        print(f"serving: version {ref.version} is the champion", file=sys.stderr)
        self.champion = model

    def _end_unwanted(self) -> None:
        wanted = {ref.version for ref in (self._wanted.champion, *self._wanted.pinned)} if self._wanted else set()
        if self.champion:
            wanted.add(self.champion.version)
        for version in self._models.keys() - wanted:
            if self._models[version].ready.done():
                self._ending.append(self._models.pop(version))
        for model in [model for model in self._ending if not model.using]:
            model.close()
            self._ending.remove(model)
        self._failures = {version: failure for version, failure in self._failures.items() if version in wanted}

    def _age(self) -> float | None:
        if self._wanted is None:
            return None
        try:
            read_at = datetime.datetime.fromisoformat(self._wanted.read_at)
            return (datetime.datetime.now(datetime.UTC) - read_at).total_seconds()
        except (ValueError, TypeError):  # no such time, or one without a zone
            return float("inf")

    def measure(self) -> None:
        """Tell the metrics."""
        metrics.LEDGER_AGE.set(self._age() or 0.0)
        metrics.BROKEN.set(bool(self._unread or (self._wanted and self._wanted.champion.version in self._failures)))
        metrics.VERSIONS.clear()
        for version in self.versions():
            role = "champion" if self.champion and version == self.champion.version else "pinned"
            metrics.VERSIONS.labels(version, role).set(1)


def _is_ready(model: Model) -> bool:
    return model.ready.done() and model.ready.exception() is None
