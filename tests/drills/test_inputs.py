"""All hostile inputs through the whole flow: listing, packing, validation, classification, load, closed books.

The same files come in one drop, each number of `docs/hostile-inputs.md` alone, and in random order a few at a time:
what the ledger says of a file is the same each time, and what the catalogue says.
"""

import datetime
import json
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from conftest import Database, new_ledger
from psycopg.rows import dict_row

import strandline_contract as contract
from strandline import ledger, periods, settings
from strandline.attempts import SealedAttempt
from strandline.ingest import listing, validation
from strandline.ingest import load as predictions
from strandline.models import registry
from strandline.operators.process import ProcessOperator

NUMBERS = [f"B{number:02}" for number in range(1, 89)]
FIRST = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
LANDED = 1_700_000_000  # before any of it: nothing waits for a file to be quiet
VISION_TESTS = settings.REPOSITORY / "docker" / "vision" / "tests"
CATALOGUE = settings.REPOSITORY / "docs" / "hostile-inputs.md"
AT_ONCE = 12  # numbers that come together, in random order

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each number that files can show, and `expected.json`."""
    folder = tmp_path_factory.mktemp("inputs")
    command = [settings.load().vision.python, VISION_TESTS / "inputs.py", folder]
    paths = os.pathsep.join(map(str, (VISION_TESTS, VISION_TESTS.parent)))
    subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=True)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("b80"):
            os.utime(path, (LANDED, LANDED))
    return folder


@pytest.fixture(scope="module")
def expected(made: Path) -> dict[str, dict[str, Any]]:
    return json.loads((made / "expected.json").read_text())


class Zone:
    """A landing zone and a ledger of their own."""

    def __init__(self, made: Path, database: Database) -> None:
        self.made = made
        self.database = database
        self.runs = 0

    def ingest(self, numbers: Iterable[str], hour: datetime.datetime) -> None:
        """Land the files of these numbers, and take a run through all of its tasks."""
        for number in numbers:
            land(self.made / number, settings.get().landing / f"{hour:%Y-%m-%dT%H}" / "cat")
        self.runs += 1
        run = listing.Run(f"drill__{self.runs}", "manual", hour, hour + periods.get().length, quarantine_limit=1.0)
        listed = listing.list_entries(run)
        packed = [vision("pack", request, run.run_id) for request in listed.pack]
        validated = validation.validate(listed.run, packed)
        plan = predictions.plan(listed.run, validated.shards)
        predictions.load(run.run_id, [vision("classify", request, run.run_id) for request in plan])
        ledger.close_run(run.run_id)

    def facts(self) -> dict[bytes, dict[str, Any]]:
        """What the ledger says of each file, by its name without the hour; which of several equal files came first is
        an accident.
        """
        query = """
            SELECT substring(e.name from position('/cat/'::bytea in e.name) + 5) AS name,
                   CASE WHEN o.state IN ('ingested', 'duplicate') THEN 'image' ELSE o.state END AS state,
                   o.reason, o.notes, o.image_id, i.width, i.height, i.format, i.mode, i.bytes, i.brightness,
                   i.contrast, i.saturation, i.sharpness, p.label, p.confidence, p.probabilities
              FROM entries e JOIN outcomes o USING (entry_id)
              LEFT JOIN images i ON i.image_id = o.image_id
              LEFT JOIN predictions p ON p.image_id = o.image_id"""
        with psycopg.connect(self.database.owner, row_factory=dict_row) as connection:
            rows = connection.execute(query).fetchall()
        facts = {bytes(row.pop("name")): row for row in rows}
        assert len(facts) == len(rows)
        return facts

    def duplicates_add_up(self) -> bool:
        query = (
            "SELECT count(*) FILTER (WHERE state = 'ingested') = count(DISTINCT image_id) FROM outcomes WHERE decoded"
        )
        with psycopg.connect(self.database.owner) as connection:
            return bool(connection.execute(query + " AND state <> 'quarantined'").fetchone()[0])


def land(source: Path, target: Path) -> None:
    """Every object of a folder by another link to it, since most of them could not be copied."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place, follow_symlinks=False)


def vision(command: str, request: contract.Request, run_id: str) -> SealedAttempt:
    operator = ProcessOperator(task_id=command, vision_command=command, request=request.to_dict())
    return SealedAttempt.from_dict(operator.execute({"run_id": run_id, "ti": SimpleNamespace(try_number=1)}))


@pytest.fixture(scope="module")
def zone(made: Path, postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Zone]]:
    """Makes an empty landing zone with an empty ledger; those made before are not used any more."""
    open_: list[Any] = []

    def close() -> None:
        while open_:
            open_.pop().__exit__(None, None, None)

    def make() -> Zone:
        close()
        home = tmp_path_factory.mktemp("zone", numbered=True)
        patch = pytest.MonkeyPatch.context()
        setting = patch.__enter__()
        open_.append(patch)
        # The landing zone beside the inputs, which come into it as links.
        setting.setenv("STRANDLINE_LANDING", str(made / home.name))
        setting.setenv("STRANDLINE_DECODE_CPU_SECONDS", "5")
        (made / home.name).mkdir()
        made_ledger = new_ledger(postgres_port, home)
        database = made_ledger.__enter__()
        open_.append(made_ledger)
        version = registry.register(settings.REPOSITORY / "models" / "cifar_resnet20_v1", "drill")
        registry.install_first(version, "drill")
        return Zone(made, database)

    yield make
    close()


@pytest.fixture(scope="module")
def in_one_drop(zone: Callable[[], Zone], expected: dict[str, Any]) -> dict[bytes, dict[str, Any]]:
    whole = zone()
    whole.ingest(expected, FIRST)
    assert whole.duplicates_add_up()
    return whole.facts()


def test_all_in_one_drop_end_as_the_catalogue_says(in_one_drop: dict[bytes, dict[str, Any]], expected: dict[str, Any]):
    wrong: dict[str, object] = {}
    named = set()
    for number, files in expected.items():
        for text, end in files.items():
            name = text.encode("latin-1")
            row = in_one_drop.get(name)
            named.add(name)
            if end == "":
                wrong |= {f"{number} {name!r}": row} if row else {}
            elif row is None:
                wrong[f"{number} {name!r}"] = "has no row"
            elif end == "either":
                wrong |= {} if row["state"] in ("image", "quarantined") else {f"{number} {name!r}": row}
            elif row["reason"] != end[0] or (not end[0] and notes(row) != set(end[1].split())):
                wrong[f"{number} {name!r}"] = (row["state"], row["reason"], row["notes"], end)
    assert not wrong
    assert set(in_one_drop) <= named


def notes(row: dict[str, Any]) -> set[str]:
    """Of the decoder: the others are a validation's warnings, of images of one colour and of deep folders."""
    return set((row["notes"] or "").split()) - {"BLANK", "NESTED"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_random_order_they_end_the_same(
    zone: Callable[[], Zone], in_one_drop: dict[bytes, dict[str, Any]], expected: dict[str, Any], seed: int
):
    numbers = list(expected)
    random.Random(seed).shuffle(numbers)
    shuffled = zone()
    for start in range(0, len(numbers), AT_ONCE):
        shuffled.ingest(numbers[start : start + AT_ONCE], FIRST)
    assert shuffled.duplicates_add_up()
    assert shuffled.facts() == in_one_drop


@pytest.fixture(scope="module")
def one_by_one(zone: Callable[[], Zone], in_one_drop: dict[bytes, dict[str, Any]]) -> Zone:
    return zone()


@pytest.mark.parametrize("number", NUMBERS)
def test_alone_it_ends_the_same(
    one_by_one: Zone, in_one_drop: dict[bytes, dict[str, Any]], expected: dict[str, Any], number: str
):
    """Each in an hour of its own; what files alone cannot show has other tests, which the catalogue names."""
    if number not in expected:
        assert re.search(rf"^\| {number} \|.*(`[a-z_/]+\.py::|not here)", CATALOGUE.read_text(), re.M)
        return
    one_by_one.ingest([number], FIRST + NUMBERS.index(number) * periods.get().length)
    facts = one_by_one.facts()
    names = {text.encode("latin-1") for text in expected[number]} & in_one_drop.keys()
    assert {name: facts.get(name) for name in names} == {name: in_one_drop[name] for name in names}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_files_with_some_bytes_changed_cost_no_more_than_themselves(
    zone: Callable[[], Zone], made: Path, expected: dict[str, Any], seed: int
):
    """B08, B12: a thousand changes of whatever is an image or nearly one."""
    source = random.Random(seed)
    whole = [path for path in sorted(made.glob("B[0-9][0-9]/*")) if path.is_file() and not path.is_symlink()]
    whole = [
        path for path in whole if 0 < path.stat().st_size < 200_000 and path.parent.name not in ("B28", "B52", "B53")
    ]
    drill = zone()
    folder = settings.get().landing / f"{FIRST:%Y-%m-%dT%H}" / "cat"
    folder.mkdir(parents=True)
    for number in range(1000):
        data = bytearray(source.choice(whole).read_bytes())
        for _ in range(source.choice((1, 1, 4, 16))):
            place = source.randrange(len(data))
            match source.randrange(4):
                case 0:
                    data[place] = source.randrange(256)
                case 1:
                    data[place : place + 4] = source.choice((b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"))
                case 2:
                    del data[place : place + source.randrange(1, 64)]
                    data += b"\0"
                case 3:
                    data[place:place] = data[place : place + source.randrange(1, 64)]
        path = folder / f"{number:04}.jpg"
        path.write_bytes(data)
        os.utime(path, (LANDED, LANDED))
    drill.ingest([], FIRST)
    rows = drill.facts()
    assert len(rows) == 1000
    assert {row["state"] for row in rows.values()} == {"image", "quarantined"}
    fallen = {name: row["reason"] for name, row in rows.items() if row["reason"] in ("DECODER_CRASHED", "UNREADABLE")}
    assert not fallen
