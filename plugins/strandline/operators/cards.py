"""The cards of a GPU host: each task has one to itself, by a lock that ends with the process that holds it."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

POLL = 1.0  # seconds between two looks for a card that is free


@contextlib.contextmanager
def one_card(folder: Path, cards: int) -> Iterator[int]:
    """The index of a card that nobody else holds, of `cards`; waits for one. Give it back at the end.

    Args:
        folder: of this host, the same one for all processes that share the cards.
    """
    with contextlib.ExitStack() as files:
        locks = [files.enter_context((folder / f"strandline-gpu-{card}.lock").open("ab")) for card in range(cards)]
        while (card := next((card for card, lock in enumerate(locks) if _take(lock)), None)) is None:
            time.sleep(POLL)
        yield card


def _take(lock: IO[bytes]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
