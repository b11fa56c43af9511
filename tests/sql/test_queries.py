"""The files under `sql/`: each is used, valid and in its place. Each rule is proved by planting what it has to find."""

import ast
import functools
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Database

from strandline import ledger, settings

SOURCES = ("plugins", "local", "docker")
SHARED = {"models", "ledger"}  # hold what several packages use
PREPARED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")  # all other statements, Postgres does not look into


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder of SQL as a checkout has it, to be changed."""
    return shutil.copytree(ledger.SQL, tmp_path / "sql")


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((settings.REPOSITORY / folder).rglob("*.py")):
            if "tests" not in path.parts:
                yield path, ast.parse(path.read_text())


@functools.cache
def packages_by_text(*folders: str) -> dict[str, set[str]]:
    """Each text that stands in the code, with the packages of Strandline that have it: `ledger` for the ground."""
    plugins = settings.REPOSITORY / "plugins" / "strandline"
    found = defaultdict(set)
    for path, module in modules(*folders):
        package = path.parent.name if path.parent.parent == plugins else "ledger"
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found[node.value].add(package)
    return found


def asked_for(module: ast.Module) -> Iterator[str]:
    """What `ledger.fetch`, `execute`, `stream` and `stage` are called with: a name that is put together is `...`."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called), args=[_, query, *_]):
                if called in ("fetch", "execute", "stream", "stage") and isinstance(
                    query, ast.Constant | ast.JoinedStr | ast.BinOp
                ):
                    yield query.value if isinstance(query, ast.Constant) else "..."


def unused(folder: Path) -> set[str]:
    return ledger.query_files(folder).keys() - packages_by_text(*SOURCES).keys()


def misplaced(folder: Path) -> dict[str, set[str]]:
    """Queries that lie elsewhere than in the folder of the one package that uses them, with those that do."""
    users_of = packages_by_text("plugins")
    found = {}
    for path in folder.rglob("*.sql"):
        users = users_of.get(path.stem, set())
        right = users if len(users) == 1 else SHARED if users else {path.parent.name} - {folder.name}
        if path.parent.name not in right:
            found[path.stem] = users
    return found


def test_every_query_is_used(checkout):
    assert unused(ledger.SQL / "queries") == set()
    (checkout / "queries" / "labels" / "select_nothing.sql").write_text("SELECT 1")
    assert unused(checkout / "queries") == {"select_nothing"}


def test_every_query_that_is_asked_for_exists(database):
    asked = {name for _, module in modules(*SOURCES) for name in asked_for(module)}
    assert len(asked) > 100
    assert asked - ledger.query_files().keys() == set()
    planted = """ledger.fetch(connection, "select_it", {}); ledger.execute(connection, f"create_{table}")"""
    assert list(asked_for(ast.parse(planted))) == ["select_it", "..."]
    planted = (
        """ledger.stage(connection, "create_it", columns, rows); stage(connection, f"create_{table}", columns, rows)"""
    )
    assert list(asked_for(ast.parse(planted))) == ["create_it", "..."]
    with pytest.raises(ledger.LedgerError, match=r"select_it\.sql"), ledger.connect("ingest") as connection:
        ledger.fetch(connection, "select_it")


def test_a_query_lies_with_the_one_package_that_uses_it(checkout):
    queries = checkout / "queries"
    assert misplaced(ledger.SQL / "queries") == {}
    moves = {
        "labels/lock_labels.sql": "drift",
        "models/select_champion.sql": "drift",
        "drift/select_drift_report.sql": "",
    }
    for path, folder in moves.items():
        shutil.move(queries / path, queries / folder)
    assert misplaced(queries).keys() == {"lock_labels", "select_champion", "select_drift_report"}


def test_the_name_of_a_query_is_there_once(checkout):
    queries = checkout / "queries"
    shutil.copy(queries / "models" / "select_champion.sql", queries / "drift")
    with pytest.raises(
        ledger.LedgerError, match=r"models/select_champion.sql and .*drift/select_champion.sql have the"
    ):
        ledger.query_files(queries)


# What Postgres says of them


def positional(text: str) -> str:
    """A query with $1, $2... for its named parameters, as psycopg sends it."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sb]", text)))
    return re.sub(r"%\((\w+)\)[sb]", lambda match: f"${names.index(match[1]) + 1}", text).replace("%%", "%")


def invalid(database: Database, folder: Path) -> dict[str, str]:
    """What Postgres finds wrong with each query on the schema, and the temporary tables, of this checkout."""
    files = ledger.query_files(folder)
    found = {}
    with psycopg.connect(database.owner) as connection, connection.transaction(force_rollback=True):
        for name in sorted(files, key=lambda name: (not name.startswith("create_"), name)):
            statement = positional(files[name].read_text())
            first = next(line for line in statement.splitlines() if not line.startswith("--"))
            prepare = f"PREPARE {name} AS " if first.startswith(PREPARED) else ""
            try:
                with connection.transaction():
                    connection.execute((prepare + statement).encode())
            except psycopg.Error as error:
                found[name] = str(error)
    return found


def test_every_query_is_valid(database):
    assert invalid(database, ledger.SQL / "queries") == {}


def test_a_query_that_does_not_fit_the_schema_is_found(database, checkout):
    faults = {
        "models/select_champion": ("JOIN model_versions", "JOIN models", 'relation "models" does not exist'),
        "ingest/insert_predictions": ("image_id", "picture_id", 'column "picture_id" .* does not exist'),
        "labels/count_judged_labels": ("FROM", "FORM", "syntax error"),
        "ingest/create_staged_batches": ("text", "texts", 'type "texts" does not exist'),
        "ingest/analyze_resolved_images": ("resolved_images", "resolved", 'relation "resolved" does not exist'),
        "promotion/promote": ("%(expected)s", "%(expected)s, 1", r"function promote.* does not exist"),
    }
    for name, (old, new, _) in faults.items():
        path = checkout / "queries" / f"{name}.sql"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    found = invalid(database, checkout / "queries")
    for name, (_, _, says) in faults.items():
        assert re.search(says, found[Path(name).name])


# What has a number


def misnumbered(folder: Path, first: int, digits: int) -> list[str]:
    """The files below a folder whose number is not the next."""
    files = sorted(path.name for path in folder.rglob("*.sql"))
    return [name for number, name in enumerate(files, first) if not name.startswith(f"{number:0{digits}}_")]


@pytest.mark.parametrize(("folder", "first", "digits"), [("migrations", 1, 4), ("views", 0, 2), ("invariants", 1, 2)])
def test_numbers_are_unique_and_without_gaps(checkout, folder, first, digits):
    assert misnumbered(ledger.SQL / folder, first, digits) == []
    last = max((checkout / folder).rglob("*.sql"), key=lambda path: path.name)
    number = int(last.name[:digits])
    gap = last.rename(last.with_name(f"{number + 1:0{digits}}_last.sql"))
    assert misnumbered(checkout / folder, first, digits) == [gap.name]
    twice = gap.rename(last.with_name(f"{number - 1:0{digits}}_zz.sql"))
    assert misnumbered(checkout / folder, first, digits) == [twice.name]


def unproven(folder: Path) -> set[Path]:
    return set(folder.rglob("*.sql")) - set(ledger.invariant_files(folder))


def test_every_invariant_is_proven(checkout):
    assert unproven(ledger.SQL / "invariants") == set()
    lost = checkout / "invariants" / "99_lost.sql"
    lost.write_text("SELECT 1")
    assert unproven(checkout / "invariants") == {lost}


def test_views_load_in_the_order_of_their_numbers(empty_database, checkout):
    views = checkout / "views"
    (views / "90_z.sql").write_text("CREATE VIEW reporting.z AS SELECT 1 AS one")
    (views / "91_a.sql").write_text("CREATE VIEW reporting.a AS SELECT one FROM reporting.z")
    ledger.migrate(empty_database.owner, folder=checkout)
    (views / "91_a.sql").rename(views / "89_a.sql")
    with pytest.raises(psycopg.errors.UndefinedTable, match=r"reporting\.z"):
        ledger.migrate(empty_database.owner, folder=checkout)
