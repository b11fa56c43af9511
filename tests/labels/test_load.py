"""Labels in a real ledger: files are loaded once and reconcile, the highest word counts, audit samples are unbiased."""

import datetime
import json
import os
import threading
from pathlib import Path

import ledger_rows as seeding
import psycopg
import pytest
from ledger_rows import CLASSES, HOUR, File, Run, digest, refused

from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.labels import load as labels
from strandline.models.versions import NoChampion

STATISTICS = Path(__file__).parents[1] / "contract" / "statistics.json"
A, B, C = (digest(f"{name}.jpg") for name in "abc")
ROWS = ("accepted", "repeated", "rejected", "waiting")
ZERO = dict.fromkeys(("loaded", "known", "refused", "deferred", *ROWS), 0)


@pytest.fixture
def books(database):
    """A closed run of three images; their paths say cat."""
    settings.get().labels.folder.mkdir()
    ingest(Run("run 1", seeding.register(), [File(f"{name}.jpg") for name in "abc"]))
    return database


@pytest.fixture
def no_paths(books):
    """Paths that say nothing."""
    with psycopg.connect(books.superuser) as connection:
        connection.execute("UPDATE entries SET path_label = NULL")
    return books


def ingest(run):
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)


def put(name: str, text: str | bytes, age: float = 0) -> Path:
    path = settings.get().labels.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    still = path.stat().st_mtime - settings.get().ingest.stable_seconds - 1 - age
    os.utime(path, (still, still))
    return path


def csv(*rows: tuple, header="image_id,label") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


def load(**kwargs) -> dict[str, int]:
    """What is not zero."""
    return {name: count for name, count in labels.load("labelling", **kwargs).to_dict().items() if count}


def fetch(database, statement, *parameters):
    with ledger.connect("owner", database.address) as connection:
        return [tuple(row.values()) for row in connection.execute(statement, parameters)]


@pytest.fixture
def red():
    """What the run is red with."""

    def check() -> str | None:
        try:
            labels.check_files("labelling")
        except labels.LabelError as error:
            return str(error)
        return None

    return check


def truth(database) -> dict[str, tuple]:
    """Label and source by image."""
    found = fetch(database, "SELECT image_id, label, source FROM image_labels")
    assert len({image_id for image_id, *_ in found}) == len(found)
    return {image_id: (label, source) for image_id, label, source in found}


# Files


def test_labels_of_a_file_are_loaded_once(books):
    put("a.csv", csv((A, "dog"), (B, "frog")))
    assert load() == {"loaded": 1, "accepted": 2}
    assert truth(books) == {A: ("dog", "file"), B: ("frog", "file"), C: ("cat", "path")}
    before = fetch(books, "SELECT * FROM labels ORDER BY 1"), fetch(books, "SELECT * FROM label_files")
    assert load() == {}
    assert (fetch(books, "SELECT * FROM labels ORDER BY 1"), fetch(books, "SELECT * FROM label_files")) == before


def test_the_same_content_is_known_at_any_time(books):
    path = put("a.csv", csv((A, "dog")))
    load()
    os.utime(path, (1, 1))
    assert load() == {"known": 1}
    os.utime(path, (2, 2))
    assert load() == {"known": 1}
    found = fetch(books, "SELECT state, same_as FROM label_files ORDER BY file_id")
    assert found == [("loaded", None), ("known", 1), ("known", 1)]


@pytest.mark.parametrize("when", ["touched", "as it was"])
def test_a_file_set_back_to_an_earlier_content_is_a_new_statement(books, when):
    first, second = csv((A, "dog"), (B, "dog")), csv((A, "frog"), (B, "dog"))
    path = put("a.csv", first)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    assert load() == {"loaded": 1, "accepted": 2}
    put("a.csv", second)
    assert load() == {"loaded": 1, "accepted": 1, "repeated": 1}
    path.write_text(first)
    os.utime(path, ns=times if when == "as it was" else (1, 1))
    assert load() == {"loaded": 1, "accepted": 1, "repeated": 1}
    assert truth(books)[A] == ("dog", "file")
    assert load() == {}
    assert ledger.prove()


def test_a_file_set_back_whose_rows_state_one_time_is_a_new_statement(books):
    header, at = "image_id,label,labeller,labelled_at", "2026-11-01T00:00Z"
    for number, label in enumerate(("dog", "frog", "dog")):
        put("a.csv", csv((A, label, "ada", at), header=header), age=9 - number)
        assert load() == {"loaded": 1, "accepted": 1}
        assert truth(books)[A] == (label, "file")
    assert fetch(books, "SELECT images, compared FROM reporting.labellers") == [(1, 1)]
    put("b.csv", csv((A, "dog", "ada", at), header=header))
    assert load() == {"loaded": 1, "repeated": 1}


def test_a_second_labeller_with_equal_bytes_counts(books):
    path = put("ada.csv", csv((A, "dog")), age=1)
    put("bob.csv", path.read_bytes())
    assert load() == {"loaded": 2, "accepted": 2}
    found = fetch(books, "SELECT labeller, compared, agreed FROM reporting.labellers ORDER BY 1")
    assert found == [("file:ada.csv", 2, 1), ("file:bob.csv", 2, 1)]  # each with the other, and with the path


def test_a_file_that_had_rejections_can_come_again(books, red):
    path = put("a.csv", csv((digest("late.jpg"), "frog")))
    assert load(at_once=True) == {"loaded": 1, "rejected": 1}
    assert "none of its 1 rows counts: UNKNOWN_IMAGE 1" in red()
    ingest(Run("run 2", seeding.register(), [File("late.jpg")]))
    os.utime(path, (1, 1))
    assert load() == {"loaded": 1, "accepted": 1}
    assert truth(books)[digest("late.jpg")] == ("frog", "file")
    assert red() is None
    os.utime(path, (2, 2))
    assert load() == {"known": 1}


def test_what_is_no_use_is_said_to_a_person(books, red):
    put("good.csv", csv((A, "dog"), (B, "lizard")))
    put("bad.csv", "no header\n")
    put("none.csv", csv((A, "lizard"), (B, "wolf")))
    put(".DS_Store", "x")
    assert load() == {"loaded": 2, "refused": 2, "accepted": 1, "rejected": 3}
    said = red()
    assert "2 label file(s)" in said
    assert "bad.csv: refused as BAD_HEADER" in said
    assert "none.csv: none of its 2 rows counts: UNKNOWN_CLASS 2" in said
    put("none.csv", csv((A, "dog")))
    put("bad.csv", csv((A, "dog")))
    assert labels.load("another run").loaded == 2
    assert red() is None


def test_an_image_is_named_by_hash_entry_or_path(books):
    [(entry_id,)] = fetch(books, "SELECT entry_id FROM images WHERE image_id = %s", B)
    path = f"{HOUR:%Y-%m-%dT%H}/cat/c.jpg"
    put("a.csv", f"image_id,entry_id,path,label\n{A},,,dog\n,{entry_id},,dog\n,,{path},dog\n,,elsewhere/c.jpg,dog\n")
    assert load() == {"loaded": 1, "accepted": 3, "waiting": 1}
    assert set(truth(books).values()) == {("dog", "file")}


def test_a_path_is_found_by_either_name_and_without_an_hour(database):
    settings.get().labels.folder.mkdir()
    run = Run("run 1", seeding.register(), [File("raw"), File("plain")])
    entries = run.entries()
    hostile, outside = b"2026-11-21T08/\xff\n.jpg", b"plain/no hour.jpg"
    names = {"raw": (hostile, "2026-11-21T08/\\xff\\n.jpg"), "plain": (outside, outside.decode())}
    renamed = [
        entry._replace(name=names[file.name][0], display_name=names[file.name][1], path_label=None)
        for entry, file in zip(entries, run.files, strict=True)
    ]
    with ledger.connect("ingest") as connection:
        ledger.record_listing(connection, run.row(), renamed)
    run.write_outcomes()
    predictions.load(run.run_id, run.classify())
    put("a.csv", "path,label\n2026-11-21T08/\\xff\\n.jpg,dog\nplain/no hour.jpg,frog\n")
    assert load() == {"loaded": 1, "accepted": 2}
    assert truth(database) == {digest("raw"): ("dog", "file"), digest("plain"): ("frog", "file")}


def test_a_path_names_the_image_of_its_source(database):
    """As it landed, and wherever the landing zone lies; two cameras may call a file the same."""
    settings.get().labels.folder.mkdir()
    files = [File("1.jpg", content=f"of {source}", source=source) for source in ("", "shop1", "shop2")]
    files.append(File("2.jpg", source="shop2"))
    ingest(Run("run 1", seeding.register(), files))
    path = f"{HOUR:%Y-%m-%dT%H}/cat"
    put(
        "a.csv",
        f"path,label\n{path}/1.jpg,cat\nshop1/{path}/1.jpg,dog\n/srv/landing/shop2/{path}/1.jpg,frog\n"
        f"shop2/./{path}/2.jpg,dog\n",
    )
    assert load() == {"loaded": 1, "accepted": 4}
    by_content = {"of ": "cat", "of shop1": "dog", "of shop2": "frog", "2.jpg": "dog"}
    assert truth(database) == {digest(content): (label, "file") for content, label in by_content.items()}


def test_a_path_that_had_several_contents_names_none(books):
    run = Run("run 2", seeding.register(), [File("a.jpg", content="new")])
    with ledger.connect("ingest") as connection:
        newer = [entry._replace(version="100-2") for entry in run.entries()]
        ledger.record_listing(connection, run.row(), newer)
    run.write_outcomes()
    predictions.load(run.run_id, run.classify())
    put("a.csv", f"path,label\n{HOUR:%Y-%m-%dT%H}/cat/a.jpg,dog\n")
    assert load() == {"loaded": 1, "rejected": 1}
    [(reason, shown, detail)] = fetch(books, "SELECT reason, shown, detail FROM reporting.label_rejections")
    path = f"{HOUR:%Y-%m-%dT%H}/cat/a.jpg"
    assert (reason, shown) == ("AMBIGUOUS_PATH", f"{path},dog")
    first, second = sorted([f"{path} ({A[:12]})", f"{path} ({digest('new')[:12]})"])
    assert detail == f"It fits 2 images: {first} and {second}."


def test_a_hostile_file_is_rejected_row_by_row_and_reconciles(books):
    bad = [(A, "lizard"), (digest("nobody"), "cat"), (A,), ("=cmd|'/C calc'!A0", "cat"), (B, "cat", "more")]
    text = csv((A, "dog"), *bad, (A, "dog"), (B, "frog")).encode().replace(b"\n", b"\r\n")
    put("a.csv", b"\xef\xbb\xbf" + text + b"\xff\0,cat\n")
    assert load(at_once=True) == {"loaded": 1, "accepted": 2, "repeated": 1, "rejected": 6}
    [counts] = fetch(books, "SELECT rows_read, accepted, known, rejected, reasons FROM reporting.label_files")
    expected = {"COLUMNS": 2, "BAD_IMAGE": 1, "BAD_TEXT": 1, "UNKNOWN_CLASS": 1, "UNKNOWN_IMAGE": 1}
    assert counts == (9, 2, 1, 6, expected)
    assert fetch(books, "SELECT line, reason, shown FROM label_rejections ORDER BY line") == [
        (3, "UNKNOWN_CLASS", f"{A},lizard"),
        (4, "UNKNOWN_IMAGE", f"{digest('nobody')}, cat, file:a.csv"),
        (5, "COLUMNS", A),
        (6, "BAD_IMAGE", "=cmd|'/C calc'!A0,cat"),
        (7, "COLUMNS", f"{B},cat,more"),
        (10, "BAD_TEXT", "\\xff\\x00,cat"),
    ]
    assert ledger.prove()


def test_of_many_rejected_rows_the_first_are_kept_and_all_are_counted(books, monkeypatch):
    monkeypatch.setattr(labels, "REJECTIONS_KEPT", 3)
    put("a.csv", csv(*[(A, "lizard")] * 10))
    assert load() == {"loaded": 1, "rejected": 10}
    assert fetch(books, "SELECT line FROM label_rejections ORDER BY 1") == [(2,), (3,), (4,)]
    assert fetch(books, "SELECT rejected, reasons FROM label_files") == [(10, {"UNKNOWN_CLASS": 10})]


def test_files_that_are_none_are_refused_once_and_never_opened(books, tmp_path):
    folder = settings.get().labels.folder
    put("a.csv.gz", b"\x1f\x8b")
    put("notes.txt", "x")
    put("b.csv", "no header\n")
    put("large.csv", b"").open("r+b").truncate(3 * 2**30)
    os.utime(folder / "large.csv", (1, 1))
    (tmp_path / "secret").write_text(csv((A, "dog")))
    (folder / "link.csv").symlink_to(tmp_path / "secret")
    os.utime(folder / "link.csv", (1, 1), follow_symlinks=False)
    os.mkfifo(folder / "pipe.csv")
    assert load() == {"refused": 6}
    assert dict(fetch(books, "SELECT display_name, reason FROM label_files WHERE detail <> ''")) == {
        "a.csv.gz": "PACKED",
        "notes.txt": "NOT_LABELS",
        "b.csv": "BAD_HEADER",
        "large.csv": "TOO_LARGE",
        "link.csv": "SYMLINK",
        "pipe.csv": "SPECIAL",
    }
    assert load() == {}
    assert fetch(books, "SELECT * FROM labels") == []
    assert ledger.prove()


def test_a_file_with_too_many_rows_leaves_nothing(books, monkeypatch):
    monkeypatch.setenv("STRANDLINE_LABEL_MAX_ROWS", "2")
    settings.get.cache_clear()
    put("a.csv", csv((A, "dog"), (B, "dog"), (C, "dog")))
    assert load() == {"refused": 1}
    assert fetch(books, "SELECT count(*) FROM labels") == [(0,)]


def test_a_file_that_is_being_written_waits(books):
    put("whole.csv", csv((A, "dog")))
    (settings.get().labels.folder / "fresh.csv").write_text(csv((B, "dog")))
    put("half.csv.part", csv((C, "dog")))
    assert load() == {"loaded": 1, "deferred": 2, "accepted": 1}


def test_a_file_that_changes_while_it_is_read_waits(books, monkeypatch):
    path = put("a.csv", csv((A, "dog")))
    copy = ledger.copy_rows

    def grow(*arguments):
        count = copy(*arguments)
        with path.open("a") as file:
            file.write(f"{B},dog\n")
        return count

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "copy_rows", grow)
        assert load() == {"deferred": 1}
    assert fetch(books, "SELECT * FROM label_files") == []
    put("a.csv", path.read_bytes())
    assert load() == {"loaded": 1, "accepted": 2}


LATE = digest("late.jpg")


def test_good_rows_count_at_once_and_the_rest_waits_visibly(books, red):
    put("a.csv", csv((A, "dog"), (LATE, "frog"), (LATE, "frog"), (B, "lizard")))
    assert load() == {"loaded": 1, "accepted": 1, "waiting": 2, "rejected": 1}
    assert truth(books)[A] == ("dog", "file")
    [first, _] = fetch(books, "SELECT fname, line, waits_for, label, since FROM reporting.label_waits ORDER BY line")
    assert first[:4] == ("a.csv", 3, LATE, "frog")
    assert first[4] == fetch(books, "SELECT recorded_at FROM label_files")[0][0]
    assert load() == {}
    assert red() is None
    ingest(Run("run 2", seeding.register(), [File("late.jpg")]))
    assert load() == {"accepted": 1, "repeated": 1}
    assert truth(books)[LATE] == ("frog", "file")
    assert fetch(books, "SELECT * FROM reporting.label_waits") == []
    counts = fetch(books, "SELECT rows_read, accepted, known, rejected, waiting, reasons FROM reporting.label_files")
    assert counts == [(4, 2, 1, 1, 0, {"UNKNOWN_CLASS": 1})]
    assert load() == {}
    assert ledger.prove()


def test_what_waited_is_as_old_as_its_file(books):
    """A word that comes later is later, however long the first one waits."""
    path = f"{HOUR:%Y-%m-%dT%H}/cat/late.jpg"
    put("a.csv", csv((path, "frog"), header="path,label"))
    assert load() == {"loaded": 1, "waiting": 1}
    put("a.csv", csv((path, "dog"), header="path,label"), age=-0.5)
    assert load() == {"loaded": 1, "waiting": 1}
    ingest(Run("run 2", seeding.register(), [File("late.jpg")]))
    assert load() == {"accepted": 2}
    assert truth(books)[LATE] == ("dog", "file")


def test_what_has_waited_long_is_rejected_and_said(books, red, monkeypatch):
    path = put("a.csv", csv((LATE, "frog")))
    assert load() == {"loaded": 1, "waiting": 1}
    assert red() is None
    monkeypatch.setenv("STRANDLINE_LABEL_PATIENCE_HOURS", "0")
    settings.get.cache_clear()
    assert load() == {"rejected": 1}
    assert fetch(books, "SELECT fname, line, reason FROM reporting.label_rejections") == [("a.csv", 2, "UNKNOWN_IMAGE")]
    assert "a.csv: none of its 1 rows counts: UNKNOWN_IMAGE 1" in red()
    assert fetch(books, "SELECT * FROM reporting.label_waits") == []
    ingest(Run("run 2", seeding.register(), [File("late.jpg")]))
    os.utime(path, (1, 1))
    assert load() == {"loaded": 1, "accepted": 1}
    assert ledger.prove()


def test_loads_at_once_make_the_rows_of_one(books):
    put("a.csv", csv((A, "dog"), (B, "dog"), (C, "lizard")))
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetch(books, "SELECT count(*) FROM labels") == [(2,)]
    assert fetch(books, "SELECT state FROM label_files") == [("loaded",)]


def test_a_load_that_dies_leaves_nothing_and_is_made_again(books, monkeypatch):
    put("a.csv", csv((A, "dog")))
    execute = ledger.execute

    def die(connection, query, *arguments):
        if query == "insert_label_rejections":
            raise RuntimeError("killed")
        return execute(connection, query, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "execute", die)
        with pytest.raises(RuntimeError, match="killed"):
            load()
    assert fetch(books, "SELECT * FROM label_files") == []
    assert load() == {"loaded": 1, "accepted": 1}


def test_without_a_folder_or_a_champion_it_says_what_to_do(database):
    with pytest.raises(labels.LabelError, match="STRANDLINE_LABELS"):
        load()
    settings.get().labels.folder.mkdir()
    assert labels.load("labelling").to_dict() == ZERO
    put("a.csv", csv((A, "dog")))
    with pytest.raises(NoChampion, match="make up"):
        load()


# Whose word counts


def test_a_file_dropped_again_mends_its_own_labels(books):
    put("a.csv", csv((A, "dog"), (B, "dog")))
    load()
    put("a.csv", csv((A, "frog"), (B, "dog")))
    assert load() == {"loaded": 1, "accepted": 1, "repeated": 1}
    assert truth(books)[A] == ("frog", "file")
    assert fetch(books, "SELECT count(*) FROM labels") == [(3,)]


def test_files_that_disagree_are_a_conflict_until_a_person_speaks(books):
    put("a.csv", csv((A, "dog"), (B, "dog")), age=10)
    put("b.csv", csv((A, "frog"), (B, "dog")))
    assert load() == {"loaded": 2, "accepted": 4}
    assert A not in truth(books)
    assert truth(books)[B] == ("dog", "file")
    found = fetch(books, "SELECT image_id, source, labeller, label FROM reporting.label_conflicts ORDER BY label")
    assert found == [(A, "file", "file:a.csv", "dog"), (A, "file", "file:b.csv", "frog")]
    assert labels.record(A, "cat", "ada")
    assert truth(books)[A] == ("cat", "person")
    assert fetch(books, "SELECT * FROM reporting.label_conflicts") == []


def test_one_who_says_two_things_at_the_same_time_is_a_conflict(books):
    put("a.csv", csv((A, "dog"), (A, "frog")))
    assert load() == {"loaded": 1, "accepted": 2}
    assert A not in truth(books)


@pytest.mark.parametrize("first", ["old", "new"])
def test_the_later_word_of_a_labeller_counts_whenever_it_is_loaded(books, first):
    header = "image_id,label,labeller,labelled_at"
    words = {"old": (A, "dog", "ada", "2026-11-01T00:00Z"), "new": (A, "frog", "ada", "2026-11-02T00:00Z")}
    for name in ("old", "new") if first == "old" else ("new", "old"):
        put(f"{name}.csv", csv(words[name], header=header))
        assert load() == {"loaded": 1, "accepted": 1}
    assert truth(books)[A] == ("frog", "file")


def test_people_who_disagree_need_a_decision(books):
    assert labels.record(A, "dog", "ada")
    assert labels.record(A, "frog", "bob")
    assert A not in truth(books)
    assert labels.record(A, "frog", "eve", decides=True)
    assert truth(books)[A] == ("frog", "decision")
    assert labels.record(A, "dog", "mallory")
    assert truth(books)[A] == ("frog", "decision")
    assert labels.record(A, "cat", "ada", decides=True)
    assert truth(books)[A] == ("cat", "decision")


def test_the_same_word_again_is_no_new_one(books):
    assert labels.record(A, "dog", "ada")
    assert not labels.record(A, "dog", "ada")
    assert labels.record(A, "frog", "ada")
    assert labels.record(A, "dog", "ada")
    assert truth(books)[A] == ("dog", "person")
    assert labels.record(A, "dog", "ada", decides=True)
    assert not labels.record(A, "dog", "eve", decides=True)


def test_an_unusable_image_has_no_label(books):
    labels.record(A, None, "ada")
    assert A not in truth(books)
    labels.record(B, None, "ada")
    labels.record(B, "dog", "bob")
    put("a.csv", csv((C, "unusable")))
    load()
    assert truth(books) == {}
    [row] = fetch(books, "SELECT images, labelled, unusable, conflicting, unlabelled FROM reporting.labelling")
    assert row == (3, 0, 2, 1, 0)


@pytest.mark.parametrize(
    ("image", "label", "labeller", "says"),
    [
        ("0" * 64, "cat", "ada", "has no image"),
        (A, "lizard", "ada", "not a class of the champion: those are cat, dog, frog"),
        (A, "cat", "", "cannot be the name"),
        (A, "cat", "=1", "cannot be the name"),
    ],
)
def test_a_word_that_cannot_be_recorded_says_why(books, image, label, labeller, says):
    with pytest.raises(labels.LabelError, match=says):
        labels.record(image, label, labeller)


def test_a_path_that_is_no_class_is_no_label(database):
    """As validation noted it at ingest."""
    ingest(Run("run 1", seeding.register(), [File("a.jpg")]))
    assert truth(database) == {A: ("cat", "path")}
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE images SET notes = 'EXT_MISMATCH UNKNOWN_LABEL'")
    assert truth(database) == {}


def lands(database, run_id, *folders, drop_at=HOUR):
    """A run over the same image in these folders; what category_results says of each, and what the truth is."""
    run = Run(run_id, seeding.register(), [File(f"{run_id} {f}.jpg", content="same", drop_at=drop_at) for f in folders])
    entries = [
        entry._replace(name=f"{drop_at:%Y-%m-%dT%H}/{folder}/1.jpg".encode(), path_label=folder)
        for entry, folder in zip(run.entries(), folders, strict=True)
    ]
    entries = [entry._replace(display_name=entry.name.decode()) for entry in entries]
    with ledger.connect("ingest") as connection:
        ledger.record_listing(connection, run.row(), entries)
    run.write_outcomes()
    predictions.load(run.run_id, run.classify())
    ledger.close_run(run.run_id)
    return truth(database).get(digest("same"))


def test_the_same_picture_in_two_class_folders_of_a_drop_is_a_conflict(database):
    assert lands(database, "run 1", "cat", "dog") is None
    [(images, labelled, conflicting)] = fetch(database, "SELECT images, labelled, conflicting FROM reporting.labelling")
    assert (images, labelled, conflicting) == (1, 0, 1)
    said = fetch(database, "SELECT fname, source, labeller, label FROM reporting.label_conflicts ORDER BY 1")
    assert said == [
        ("2026-11-21T08/cat/1.jpg", "path", None, "cat"),
        ("2026-11-21T08/dog/1.jpg", "path", None, "dog"),
    ]
    labels.record(digest("same"), "frog", "ada")
    assert truth(database) == {digest("same"): ("frog", "person")}
    assert fetch(database, "SELECT * FROM reporting.label_conflicts") == []
    assert fetch(database, "SELECT compared, agreed FROM reporting.labellers") == [(2, 0)]


@pytest.mark.parametrize("later", [HOUR, HOUR + datetime.timedelta(hours=1)], ids=["its drop", "a later drop"])
def test_a_picture_that_moves_to_another_class_folder_is_of_that_class(database, later):
    assert lands(database, "run 1", "cat") == ("cat", "path")
    assert lands(database, "run 2", "frog", drop_at=later) == ("frog", "path")
    found = dict(fetch(database, "SELECT fname, category FROM category_results"))
    assert found[f"{later:%Y-%m-%dT%H}/frog/1.jpg"] == "frog"
    labels.record(digest("same"), "frog", "ada")
    assert fetch(database, "SELECT compared, agreed FROM reporting.labellers") == [(1, 1)]
    assert fetch(database, "SELECT * FROM reporting.label_conflicts") == []


def test_an_earlier_drop_that_is_ingested_later_is_no_later_word(database):
    assert lands(database, "run 1", "cat") == ("cat", "path")
    assert lands(database, "run 2", "frog", drop_at=HOUR - datetime.timedelta(hours=1)) == ("cat", "path")


def test_a_copy_in_a_folder_that_is_no_class_says_nothing(database):
    assert lands(database, "run 1", "cat", "lizard") is None
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE outcomes SET notes = 'UNKNOWN_LABEL' WHERE state = 'duplicate'")
    assert truth(database) == {digest("same"): ("cat", "path")}


# What is reported


def test_accuracy_is_of_those_that_are_labelled(no_paths):
    said = dict(fetch(no_paths, "SELECT image_id, label FROM predictions"))
    other = next(name for name in CLASSES if name != said[B])
    labels.record(A, said[A], "ada")
    labels.record(B, other, "ada")
    [(start, labelled, correct, accuracy, low, high)] = fetch(
        no_paths, "SELECT period_start, labelled, correct, accuracy, low, high FROM reporting.accuracy"
    )
    assert (start, labelled, correct, accuracy) == (HOUR, 2, 1, 0.5)
    assert (low, high) == (pytest.approx(0.0945, abs=1e-3), pytest.approx(0.9055, abs=1e-3))
    classes = fetch(no_paths, "SELECT class, labelled, correct FROM reporting.class_accuracy")
    assert sorted(classes) == sorted([(said[A], 1, 1), (other, 1, 0)] if said[A] != other else [(other, 2, 1)])


@pytest.mark.parametrize(("successes", "trials", "low", "high"), json.loads(STATISTICS.read_bytes())["wilson"])
def test_wilson_as_in_the_tables(database, successes, trials, low, high):
    found = fetch(database, "SELECT * FROM reporting.wilson(%s, %s)", successes, trials)
    assert found == [(pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))]


def test_of_no_trials_wilson_knows_nothing(database):
    assert fetch(database, "SELECT * FROM reporting.wilson(0, 0)") == [(None, None)]
    assert fetch(database, "SELECT low, high FROM generate_series(0, 0) AS n, reporting.wilson(n, n)") == [(None, None)]


def test_a_labeller_who_flips_is_seen(books):
    for image in (A, B, C):
        labels.record(image, "cat", "ada")
        labels.record(image, "dog", "mallory")
    found = fetch(books, "SELECT labeller, images, compared, agreed FROM reporting.labellers ORDER BY 1")
    assert found == [("ada", 3, 6, 3), ("mallory", 3, 6, 0)]


# Audit samples


def asked(database) -> dict[str, set[str]]:
    found = fetch(database, "SELECT chosen, image_id FROM audit_images")
    return {chosen: {image for kind, image in found if kind == chosen} for chosen in ("random", "uncertain")}


@pytest.fixture
def sizes(monkeypatch):
    """Six images at random and three uncertain ones."""
    monkeypatch.setenv("STRANDLINE_AUDIT_RANDOM", "6")
    monkeypatch.setenv("STRANDLINE_AUDIT_UNCERTAIN", "3")


@pytest.fixture
def many(sizes, database):
    """A closed run of forty images; their paths say nothing."""
    ingest(Run("run 1", seeding.register(), [File(f"{i}.jpg") for i in range(40)]))
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE entries SET path_label = NULL")
    return database


def test_a_sample_is_random_and_uncertain_and_made_once(many):
    assert labels.choose_audit(seed="s") == labels.AuditSample(1, 9)
    first = asked(many)
    images = [image for (image,) in fetch(many, "SELECT image_id FROM predictions")]
    assert first["random"] == set(sorted(images, key=lambda image: digest("s" + image))[:6])
    margins = {}
    for image, probabilities in fetch(many, "SELECT image_id, probabilities FROM predictions"):
        best, second, *_ = sorted(probabilities, reverse=True)
        margins[image] = best - second
    others = sorted(set(margins) - first["random"], key=lambda image: (margins[image], image))
    assert first["uncertain"] == set(others[:3])
    assert labels.choose_audit() == labels.AuditSample(0, 0)
    assert labels.choose_audit(["run 1"], seed="other") == labels.AuditSample(1, 0)
    assert asked(many) == first
    assert fetch(many, "SELECT seed, population, random, uncertain FROM audit_samples") == [("s", 40, 6, 3)]
    assert ledger.prove()


def test_what_is_labelled_is_not_asked_for_as_uncertain_but_at_random(many):
    for (image,) in fetch(many, "SELECT image_id FROM predictions"):
        labels.record(image, "cat", "ada")
    assert labels.choose_audit() == labels.AuditSample(1, 6)
    assert asked(many)["uncertain"] == set()


def test_by_that_rule_every_image_is_as_likely_as_any_other():
    images = [digest(f"{i}.jpg") for i in range(40)]
    times = dict.fromkeys(images, 0)
    for seed in range(2000):
        for image in sorted(images, key=lambda image: digest(f"{seed}{image}"))[:6]:
            times[image] += 1
    assert all(abs(count - 300) < 6 * 16 for count in times.values())  # six standard deviations


def test_a_backfill_an_empty_run_and_an_open_one(sizes, database):
    version = seeding.register()
    ingest(Run("backfill", version, [File("a.jpg")], kind="backfill"))
    ingest(Run("empty", version, [refused("b.jpg")]))
    run = Run("open", version, [File("c.jpg")])
    predictions.load(run.run_id, run.ready())
    assert labels.choose_audit() == labels.AuditSample(1, 0)
    assert fetch(database, "SELECT run_id, population FROM audit_samples") == [("empty", 0)]


def test_accuracy_on_the_sample_is_that_of_the_random_ones(many):
    labels.choose_audit()
    said = dict(fetch(many, "SELECT image_id, label FROM predictions"))
    chosen = asked(many)
    for image in chosen["uncertain"]:
        labels.record(image, next(name for name in CLASSES if name != said[image]), "ada")
    answered = sorted(chosen["random"])[:5]
    for i, image in enumerate(answered):
        labels.record(image, said[image] if i else next(name for name in CLASSES if name != said[image]), "ada")
    found = fetch(
        many,
        "SELECT period, asked, labelled, correct, population, accuracy, effective, low, high"
        " FROM reporting.audit_accuracy ORDER BY period",
    )
    assert [row[0] for row in found] == ["all", "day", "period"]
    for row in found:
        assert row[1:7] == (6, 5, 4, 40, pytest.approx(0.8), pytest.approx(5))
        assert row[7:] == (pytest.approx(0.3755, abs=1e-3), pytest.approx(0.9638, abs=1e-3))
    assert fetch(many, "SELECT labelled, correct, uncertain FROM reporting.accuracy") == [(8, 4, 3)]
    assert fetch(many, "SELECT image_id FROM reporting.unanswered") == [(max(chosen["random"]),)]


def test_runs_weigh_what_they_stand_for(many):
    ingest(Run("run 2", seeding.register(), [File(f"more {i}.jpg") for i in range(10)]))
    with psycopg.connect(many.superuser) as connection:
        connection.execute("UPDATE entries SET path_label = NULL")
    labels.choose_audit()
    said = dict(fetch(many, "SELECT image_id, label FROM predictions"))
    for run_id, image in fetch(many, "SELECT run_id, image_id FROM audit_images WHERE chosen = 'random'"):
        right = run_id == "run 1"
        labels.record(image, said[image] if right else next(n for n in CLASSES if n != said[image]), "ada")
    [(accuracy, effective)] = fetch(
        many, "SELECT accuracy, effective FROM reporting.audit_accuracy WHERE period = 'all'"
    )
    assert accuracy == pytest.approx(40 / 50)
    weights = [40 / 6] * 6 + [10 / 6] * 6
    assert effective == pytest.approx(sum(weights) ** 2 / sum(weight**2 for weight in weights))
