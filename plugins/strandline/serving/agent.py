"""The agent beside serving processes: it tells them what the ledger says, and the ledger what they answered.

It holds the one credential of the two, and nothing of its own: ended at any moment, it goes on where the ledger says.
"""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models.versions import NoChampion
from strandline.scan import LandingError
from strandline.serving import deployment, pictures, spools
from strandline.serving.spools import Progress

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
LONGEST_WAIT = 10.0  # seconds to the next try while the ledger is away
BATCHES = 8  # of a spool in one round: the others, and what the ledger says now, wait no longer
FEEDBACK_SECONDS = 10.0  # what waits for its image is looked at again
COMPLETE_SECONDS = 30.0  # after which the ledger hears again that nothing of a spool waits
AWAY = (ledger.Unreachable, psycopg.OperationalError, psycopg.InterfaceError)


class Agent:
    """Of the serving folder that the settings name."""

    def __init__(self) -> None:
        self.folder = settings.get().serving_folder
        self._whole = deployment.Bundles()
        self._recorded: dict[str, str | None] = {}  # of `self._whole.problems`
        self._complete_at: dict[str, float] = {}
        self._written: contract.Deployment | None = None
        self._labelled_at = float("-inf")
        self._away = False
        self._complaints: set[str] = set()

    def run(self, stopped: threading.Event) -> None:
        """Go round until asked to stop, and once more then: what was answered last is loaded, too."""
        wait = ROUND_SECONDS
        while not stopped.wait(wait):
            wait = self.attempt(wait)
        self.attempt(wait)

    def attempt(self, waited: float) -> float:
        """A round; the seconds to wait before the next. Of what is away it speaks once, and once when it is back."""
        try:
            more = self.round()
        except (*AWAY, NoChampion, OSError) as error:
            if not self._away:
                log.error("nothing is loaded for now, and nothing lost: %s", error)
            self._away = True
            return min(2 * max(waited, ROUND_SECONDS), LONGEST_WAIT)
        if self._away:
            log.info("all is back")
        self._away = False
        return 0.0 if more else ROUND_SECONDS

    def _complain(self, complaint: Exception) -> None:
        """Of each once."""
        if str(complaint) not in self._complaints:
            log.error("%s", complaint)
        self._complaints.add(str(complaint))

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """What a disk or a bucket refuses now is tried again in the next round, and holds up nothing else."""
        try:
            yield
        except (OSError, LandingError) as error:
            self._complain(error)

    def round(self) -> bool:
        """Tell, load, land, label; says whether a spool has more to load.

        Raises:
            Unreachable, psycopg.OperationalError: the ledger is away.
            NoChampion: nobody can answer.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        found = spools.folders(self.folder)
        alive = {folder: spools.is_alive(folder) for folder in found}  # first: the dead write nothing more
        with ledger.connect("serving") as connection:
            loaded = spools.progress(connection, found)
            self._tell(connection)
            said = self._record_problems(connection)
        self._recorded = said  # once it is committed
        more = [self._load(folder, alive[folder], loaded.get(folder.name, Progress())) for folder in found]
        self._label()
        return any(more)

    def _tell(self, connection: ledger.Connection) -> None:
        now = deployment.read(connection, self._whole)
        if deployment.is_due(now, self._written):
            with self._going_on():  # a full disk has to be emptied of what can be loaded
                deployment.write(self.folder, now)
                self._written = now

    def _record_problems(self, connection: ledger.Connection) -> dict[str, str | None]:
        """What cannot be offered, and what can again: people see it on the overview. What is recorded then."""
        problems = dict(self._whole.problems)
        for version, problem in problems.items():
            if version not in self._recorded or self._recorded[version] != problem:
                ledger.execute(connection, "upsert_offered_bundle", {"version": version, "problem": problem})
        return problems

    def _load(self, folder: Path, alive: bool, loaded: Progress) -> bool:
        """Load a spool, some batches at the most; says whether there may be more."""
        kept = pictures.folder(self.folder, folder.name)
        more = spools.has_more(folder, loaded)
        if more:
            try:
                more = all(spools.load(folder) for _ in range(BATCHES))
            except spools.SpoolError as error:
                self._complain(error)
                return False
            with ledger.connect("serving") as connection:
                loaded = spools.progress(connection, [folder])[folder.name]
        spools.remove_loaded(folder, loaded)
        if not more:
            self._note_complete(folder.name)
        with self._going_on():
            pictures.land(kept)
            if not alive and not more:
                pictures.remove_dead(kept)
                spools.remove_dead(folder, loaded)
        return more

    def _note_complete(self, server: str) -> None:
        """Now and then: of a spool of which that is not heard, nobody knows what waits in it."""
        if time.monotonic() - self._complete_at.get(server, float("-inf")) >= COMPLETE_SECONDS:
            spools.note_complete(server)
            self._complete_at[server] = time.monotonic()

    def _label(self) -> None:
        """Make labels of feedback, now and then."""
        if time.monotonic() - self._labelled_at >= FEEDBACK_SECONDS:
            with ledger.connect("serving") as connection:
                ledger.fetch(connection, "call_label_feedback", {"patience": settings.get().label_patience})
            self._labelled_at = time.monotonic()


def main() -> int:
    """Until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    agent = Agent()
    log.info("watching %s", agent.folder)
    agent.run(stopped)
    return 0
