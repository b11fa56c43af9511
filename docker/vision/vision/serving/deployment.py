"""Which version answers whom: follows `deployment.json`, and has the models ready that it names.

A new champion is loaded beside the old one and takes its place between two requests; the old one ends once its last
picture is answered. What cannot be loaded changes nothing: the old champion goes on, and `detail` says so.

The version of a rollout is loaded when the file names it. Until it is ready, the champion answers all, and nothing is
compared.
"""

import asyncio
import contextlib
import datetime
import sys
from collections.abc import Callable

import strandline_contract as contract
from vision.serving import metrics
from vision.serving.consumers import Caller, Consumers
from vision.serving.model import Model
from vision.serving.picture import Answering, Role
from vision.serving.problems import Problem
from vision.serving.recorder import Recorder
from vision.serving.settings import Settings
from vision.serving.shadow import Shadow
from vision.serving.share import is_in

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
        self._ending: list[Model | Shadow] = []
        self._failures: dict[str, tuple[float, str]] = {}  # by version: until when it is not tried again, and why
        self._loading: asyncio.Task[None] | None = None
        self._loading_canary: asyncio.Task[None] | None = None
        self._shadow: Shadow | None = None

    async def follow(self) -> None:
        """Until it is cancelled."""
        while True:
            self._read()
            self._load_champion()
            self._load_canary()
            self._follow_shadow()
            self._end_unwanted()
            await asyncio.sleep(POLL_SECONDS)

    def versions(self) -> list[str]:
        """Of those that are ready, the champion's first."""
        models = [*self._models.values(), *([self._shadow.model] if self._shadow else [])]
        ready = dict.fromkeys(model.version for model in models if model.is_ready)
        return sorted(ready, key=lambda version: self.champion is None or version != self.champion.version)

    def detail(self) -> dict[str, object]:
        """What `ready` says."""
        wanted, age = self._wanted, self._age()
        version = wanted.champion.version if wanted else None
        failed = {version: why for version, (_, why) in self._failures.items()}
        stale = age is not None and age > STALE_SECONDS
        problems = [
            self._unread,
            f"the champion {version} cannot be served: {failed[version]}" if version in failed else "",
            self._rollout_problem(),
            f"the ledger was not reached since {wanted.read_at}" if wanted and stale else "",
            "" if wanted else f"there is no {self._path.name} yet",
        ]
        return {
            "ready": self.champion is not None,
            "champion": self.champion.version if self.champion else None,
            "wanted": version,
            "versions": self.versions(),
            "rollout": self._rollout_detail(),
            "ledger_read_at": wanted.read_at if wanted else None,
            "problems": [problem for problem in problems if problem],
        }

    async def answering(self, caller: Caller, key: str, fits: Callable[[Model], bool]) -> Answering:
        """What answers this caller.

        Args:
            key: which stands for whoever the caller asks for: the same one is answered by the same version.
            fits: whether a version is one that the caller asks for. Only who would take either takes part in a canary.

        Raises:
            Problem: its version cannot be served now; no other one answers in its place.
        """
        if caller.version is not None and not (self.champion and self.champion.version == caller.version):
            return Answering(await self._pinned(caller.version), "pinned")
        if self.champion is None:
            raise Problem("NOT_READY", "no version is ready yet", 2)
        if caller.version is not None:
            return Answering(self.champion, "pinned")
        rollout, canary = self._rollout("canary"), self._canary()
        if rollout is None or canary is None or not (fits(canary) and fits(self.champion)):
            return Answering(self.champion)
        if is_in(rollout, key):
            return Answering(canary, "canary", rollout.rollout_id)
        return Answering(self.champion, "champion", rollout.rollout_id)

    def close(self) -> None:
        for model in self._all():
            model.close()

    def join(self) -> None:
        for model in self._all():
            model.join()

    def _all(self) -> list[Model | Shadow]:
        return [*self._models.values(), *self._ending, *([self._shadow] if self._shadow else [])]

    def _rollout(self, mode: str | None = None) -> contract.Rollout | None:
        """What the ledger wants, if it is of this mode, and the one that it is compared with is who answers."""
        wanted = self._wanted
        if wanted is None or self.champion is None or self.champion.version != wanted.champion.version:
            return None
        return wanted.rollout if wanted.rollout and mode in (None, wanted.rollout.mode) else None

    def _canary(self) -> Model | None:
        """The version of a canary, while it can be compared with the champion."""
        rollout = self._rollout("canary")
        model = self._models.get(rollout.bundle.version) if rollout else None
        return model if model and model.is_ready and model is not self.champion else None

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
        if model.is_ready:
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

    def _load_canary(self) -> None:
        rollout = self._rollout("canary")
        if rollout is None or (self._loading_canary and not self._loading_canary.done()):
            return
        model = self._models.get(rollout.bundle.version)
        if model is None or not model.is_ready:
            self._loading_canary = asyncio.create_task(self._try(rollout.bundle))

    async def _try(self, ref: contract.BundleRef) -> None:
        with contextlib.suppress(Exception):  # `detail` says it, and another try follows
            await self._loaded(ref)

    def _follow_shadow(self) -> None:
        """Have the shadow that is wanted; one that failed is tried again."""
        rollout, before = self._rollout("shadow"), self._shadow
        champion = self.champion.version if self.champion else ""
        if before and rollout and before.rollout.bundle == rollout.bundle:
            before.champion, before.rollout = champion, rollout
            if not before.model.has_failed or asyncio.get_running_loop().time() < before.began + RETRY_SECONDS:
                return
            print(f"serving: shadow {rollout.bundle.version} cannot be served: {before.failure}", file=sys.stderr)
        elif before:
            self._ending.append(before)
            before = None
        self._shadow = Shadow(self._settings, rollout, champion, self._recorder, before) if rollout else None
        self._recorder.shadow = self._shadow

    def _rollout_problem(self) -> str:
        rollout = self._rollout()
        if rollout is None:
            return ""
        version = rollout.bundle.version
        if rollout.mode == "canary":
            _, why = self._failures.get(version, (0.0, ""))
        else:
            why = self._shadow.failure if self._shadow else ""
        if why:
            return f"version {version} of the {rollout.mode} {rollout.rollout_id} cannot be served: {why}"
        if self._shadow and self.champion and self._shadow.is_unlike(self.champion):
            return f"the shadow {rollout.rollout_id} takes other pixels than the champion: it computes nothing"
        return ""

    def _rollout_detail(self) -> dict[str, object] | None:
        rollout = self._rollout()
        if rollout is None:
            return None
        model = self._models.get(rollout.bundle.version)
        if rollout.mode == "shadow":
            model = self._shadow.model if self._shadow else None
        return {
            "rollout_id": rollout.rollout_id,
            "mode": rollout.mode,
            "share": rollout.share,
            "version": rollout.bundle.version,
            "ready": model is not None and model.is_ready,
        }

    def _end_unwanted(self) -> None:
        wanted = {ref.version for ref in (self._wanted.champion, *self._wanted.pinned)} if self._wanted else set()
        if canary := self._rollout("canary"):
            wanted.add(canary.bundle.version)
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
        metrics.ROLLOUT_BROKEN.set(bool(self._rollout_problem()))
        metrics.VERSIONS.clear()
        for model in self._models.values():
            if model.is_ready:
                metrics.VERSIONS.labels(model.version, self._role(model)).set(1)
        if self._shadow and self._shadow.model.is_ready:
            metrics.VERSIONS.labels(self._shadow.model.version, "shadow").set(1)

    def _role(self, model: Model) -> Role:
        if model is self.champion:
            return "champion"
        return "canary" if model is self._canary() else "pinned"
