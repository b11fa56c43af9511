"""Each line of a spool becomes a row exactly once, whatever ends in between: on a real Postgres and real files."""

import concurrent.futures

import ledger_rows as seeding
import pytest
from served import Server, line, recorded, rows

from strandline import ledger, settings
from strandline.serving import spools
from strandline.serving.agent import Agent

INVARIANT = "26_served_lines_have_no_gap"


@pytest.fixture
def version(database) -> str:
    return seeding.register()


@pytest.fixture
def server(version):
    running = Server("one", version)
    yield running
    running.die()


def broken() -> dict[str, list]:
    with ledger.connect("serving") as connection:
        return {name: found for name, found in ledger.check_invariants(connection).items() if found}


def numbers(count: int, server: str = "one") -> list[tuple]:
    return [(server, number) for number in range(1, count + 1)]


def test_every_line_is_loaded_once(server):
    server.answer(3)
    server.answer(status="quarantined", reason="TRUNCATED", detail="cut", notes="EXIF", label=None, confidence=None)
    server.feedback("one-1", "dog")
    assert spools.load(server.folder)
    assert not spools.load(server.folder)
    server.answer()
    assert spools.load(server.folder)
    assert recorded() == [("one", number) for number in (1, 2, 3, 4, 6)]
    assert rows("SELECT sequence, prediction_id, label FROM served_feedback") == [(5, "one-1", "dog")]
    assert broken() == {}


def test_a_row_says_what_the_line_says(server):
    answer = server.answer(notes="EXIF", kept=True)
    spools.load(server.folder)
    columns = ", ".join(spools.PREDICTIONS)
    (found,) = rows(f"SELECT {columns} FROM served_predictions")
    said = dict(zip(spools.PREDICTIONS, found, strict=True))
    assert said.pop("at").isoformat() == answer.at
    assert said.pop("probabilities") == pytest.approx(answer.probabilities)
    assert said.pop("confidence") == pytest.approx(answer.confidence)
    assert said == {name: value for name, value in vars(answer).items() if name in said}


def test_segments_go_once_they_are_loaded(server):
    agent = Agent()
    server.answer(2)
    server.rotate()
    server.answer(2)
    server.rotate()
    agent.round()
    assert [path.name for path in sorted(server.folder.glob("*.jsonl"))] == ["3.jsonl"]
    server.answer(2)
    agent.round()
    assert [path.name for path in sorted(server.folder.glob("*.jsonl"))] == ["5.jsonl"]
    assert recorded() == numbers(6)


def test_a_line_counts_once_it_ends(server):
    server.answer()
    raw = line(server.prediction())
    server.write(raw[:100])
    spools.load(server.folder)
    assert recorded() == numbers(1)
    server.write(raw[100:])
    spools.load(server.folder)
    assert recorded() == numbers(2)


def test_what_a_dead_process_did_not_finish_was_never_answered(server, caplog):
    server.answer(2)
    server.write(line(server.prediction())[:-1])
    server.die()
    Agent().round()
    assert recorded() == numbers(2)
    assert not server.folder.exists()
    assert "of a line that was never answered: dropped" in caplog.text
    assert broken() == {}


def test_the_folder_of_a_live_process_stays(server):
    server.answer(2)
    Agent().round()
    assert server.path.exists()
    assert spools.is_alive(server.folder)


def test_a_process_that_has_only_just_begun_counts_as_alive(version):
    server = Server("young", version)
    server.die()
    (server.folder / "lock").touch()
    Agent().round()
    assert server.folder.exists()


def test_two_processes_have_numbers_of_their_own(server, version):
    other = Server("other", version)
    server.answer(2)
    other.answer(3)
    other.die()
    Agent().round()
    assert recorded() == [*numbers(2), *numbers(3, "other")]
    assert server.folder.exists()
    assert not other.folder.exists()
    assert broken() == {}


BAD_LINES = {
    "no JSON": (b"{", "no JSON that can be read"),
    "no message": (b'{"kind": "gossip"}', "neither a prediction nor feedback"),
    "no object": (b"[1]", "neither a prediction nor feedback"),
    "a field too many": (b'{"kind": "feedback", "more": 1}', "has no field more"),
    "NUL": (b'{"kind": "feedback", "label": "\\u0000"}', "NUL"),
    "nothing": (b"", "no JSON that can be read"),
    "not UTF-8": (b"\xff\xfe", "no JSON that can be read"),
}


@pytest.mark.parametrize(("raw", "why"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_kept_with_its_reason_and_holds_up_no_other(server, raw, why):
    server.answer()
    server.sequence += 1
    server.write(raw + b"\n")
    server.answer()
    spools.load(server.folder)
    assert recorded() == [("one", 1), ("one", 3)]
    ((reason, kept),) = rows("SELECT reason, line FROM served_refused_lines")
    assert why in reason
    assert bytes(kept) == raw + b"\n"
    assert broken() == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"server": "another"}, "of the server another"),
        ({"sequence": 1}, "has the number 1 and comes after 1"),
        ({"at": "2026-11-21T08:20:00"}, "no time zone"),
        ({"at": "yesterday"}, "no time"),
        ({"prediction_id": "one-1"}, "duplicate key"),
        ({"width": 2**70}, ""),
    ],
)
def test_a_message_that_cannot_be_recorded_is_a_bad_line(server, changes, why):
    server.answer()
    server.answer(**changes)
    server.answer(40)
    spools.load(server.folder)
    assert [number for _, number in recorded()] == [1, *range(3, 43)]
    ((reason,),) = rows("SELECT reason FROM served_refused_lines")
    assert why in reason
    assert broken() == {}


def test_a_line_that_was_never_written_breaks_the_invariant(server):
    server.answer()
    server.sequence += 1
    server.answer()
    spools.load(server.folder)
    assert list(broken()) == [INVARIANT]
    assert broken()[INVARIANT] == [{"server": "one", "last_sequence": 3, "recorded": 2, "forgotten": 0, "refused": 0}]


def test_lines_that_wait_are_counted(server):
    server.answer(3)
    spools.load(server.folder)
    assert spools.count_waiting(settings.get().serving_folder) == 0
    server.answer(2)
    server.rotate()
    server.answer(4)
    assert spools.count_waiting(settings.get().serving_folder) == 6


def test_batches_are_bounded(server, monkeypatch):
    monkeypatch.setattr(spools, "BATCH_BYTES", 2_000)
    server.answer(10)
    loads = 0
    while spools.load(server.folder):
        loads += 1
    assert loads > 3
    assert recorded() == numbers(10)


def test_two_agents_take_turns(server, monkeypatch):
    monkeypatch.setattr(spools, "BATCH_BYTES", 5_000)
    server.answer(100)

    def load_all(_: int) -> int:
        return sum(iter(lambda: spools.load(server.folder), False))

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        batches = list(threads.map(load_all, range(2)))
    assert sum(batches) > 5
    assert recorded() == numbers(100)
    assert broken() == {}


def test_a_line_longer_than_a_batch_is_loaded_and_one_without_an_end_stops_its_spool_alone(
    server, version, monkeypatch, caplog
):
    monkeypatch.setattr(spools, "BATCH_BYTES", 200)
    monkeypatch.setattr(spools, "MAX_LINE_BYTES", 2_000)
    server.answer()
    server.write(b"x" * 3_000)
    other = Server("other", version)
    other.answer(2)
    agent = Agent()
    for _ in range(3):
        agent.round()
    other.die()
    assert recorded() == [("one", 1), *numbers(2, "other")]
    assert caplog.text.count("has a line of more than 2,000 bytes") == 1
