"""What the verbs that make a bundle share: a program of the vision environment, and the version that comes of it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import strandline_contract as contract
from local.stack import databases
from strandline import ledger, settings

VISION = settings.REPOSITORY / "docker" / "vision"
NEXT = "trigger promote_model with it as `version`, or ingest_images with it as `model_version`."


def run_vision(
    config: settings.Settings, module: str, arguments: Iterable[str], passed_on: Iterable[str] = (), **more: str
) -> int:
    """Run a module of the vision environment, which hears of nothing but what it is given; its exit code.

    Args:
        passed_on: variables of this process that it gets.
        more: further variables.
    """
    user = config.home / "user"
    user.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ[name] for name in ("PATH", *passed_on) if name in os.environ}
    environment |= {"HOME": str(user), "MPLCONFIGDIR": str(user), "PYTHONPATH": str(VISION), **more}
    code = subprocess.run([str(config.vision.python), "-m", module, *arguments], env=environment).returncode
    if code < 0:
        print(f"{module} was ended by {signal.Signals(-code).name}: it took more than it may.", file=sys.stderr)
    return code


def run_command(config: settings.Settings, command: str, folder: Path) -> int:
    """Run a vision command, whose request lies in a folder; its exit code."""
    roots = {"STRANDLINE_STORE": str(config.store), "STRANDLINE_LANDING": str(config.landing)}
    return run_vision(config, "vision", [command, "--request", str(folder / contract.REQUEST_FILE)], **roots)


@contextlib.contextmanager
def scratch(config: settings.Settings) -> Iterator[Path]:
    """A folder of the store that is gone in the end."""
    config.store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=config.store) as folder:
        yield Path(folder)


def use_ledger(config: settings.Settings) -> bool:
    """Let this process be who works in the ledger of the one-machine stack; False, and a sentence, if it does not
    answer: a bundle takes long to be made, and would then be of no use.
    """
    os.environ["STRANDLINE_DATABASE_URL"] = databases.ledger_url(config)
    settings.get.cache_clear()
    try:
        with ledger.connect("training"):
            return True
    except ledger.Unreachable as error:
        print(error, file=sys.stderr)
        return False
