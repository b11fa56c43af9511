"""Start again what has ended of the one-machine stack: `python -m local.stack.supervisor`, which `make up` starts.

It looks every few seconds. What ends again and again is started ever later. Its log says what it did.
"""

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

from local.stack.stack import SUPERVISOR, Stack
from strandline.settings import load

LOOK_SECONDS = 2.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds from a restart to the next
CALM_SECONDS = 300.0  # that the stack runs before the waits begin small again


def main() -> None:
    """Watch until `down`, or until another supervisor has taken over."""
    stack = Stack(load(), Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]))
    wait, restarted = FIRST_WAIT, time.monotonic()
    _say("watching")
    while (mine := stack.running(SUPERVISOR)) and mine.pid == os.getpid():
        if dead := stack.dead():
            _say(f"{', '.join(dead)} ended: starting again, and not before {wait:.0f} s once more")
            repair = [sys.executable, "-m", "local.stack.stack", "repair"]  # its children are then not ours
            if subprocess.run(repair, cwd=stack.settings.home).returncode == 0:
                _say(f"{', '.join(dead)} started again")
            time.sleep(wait)
            wait, restarted = min(2 * wait, LONGEST_WAIT), time.monotonic()
        elif time.monotonic() - restarted > CALM_SECONDS:
            wait = FIRST_WAIT
        time.sleep(LOOK_SECONDS)
    _say("no longer asked for")


def _say(line: str) -> None:
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} {line}", flush=True)


if __name__ == "__main__":
    main()
