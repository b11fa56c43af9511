"""Which card of a GPU host a task has: real processes, real locks, no card."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from strandline.operators import cards

SPAWN = multiprocessing.get_context("spawn")


def hold(folder: Path, count: int, connection: Connection) -> None:
    """Say which card it is, and keep it until told to go."""
    with cards.one_card(folder, count) as card:
        connection.send(card)
        connection.recv()
    connection.send("given back")
    connection.recv()


@pytest.fixture
def holder(tmp_path):
    """Start a process that asks for one of so many cards."""
    processes = []

    def start(count: int) -> tuple[int, Connection]:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=hold, args=(tmp_path, count, theirs))
        process.start()
        theirs.close()
        processes.append(process)
        return process.pid, ours

    yield start
    for process in processes:
        process.kill()
        process.join()


def heard(connection: Connection) -> object:
    assert connection.poll(60)
    return connection.recv()


def test_each_process_has_a_card_of_its_own(holder):
    told = [heard(connection) for _, connection in [holder(3) for _ in range(3)]]
    assert sorted(told) == [0, 1, 2]


def test_a_task_waits_until_a_card_is_given_back(holder):
    holders = [holder(2) for _ in range(2)]
    told = [heard(connection) for _, connection in holders]
    _, waiting = holder(2)
    assert not waiting.poll(3)
    holders[1][1].send("go")
    assert heard(holders[1][1]) == "given back"
    assert heard(waiting) == told[1]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_card_of_a_process_that_died_is_free(holder, end):
    number, dying = holder(1)
    assert heard(dying) == 0
    _, waiting = holder(1)
    os.kill(number, end)
    assert heard(waiting) == 0


def test_a_process_can_have_a_card_again_after_it_failed(tmp_path):
    with pytest.raises(ValueError, match="went wrong"), cards.one_card(tmp_path, 1):
        raise ValueError("went wrong")
    with cards.one_card(tmp_path, 1) as card:
        assert card == 0
