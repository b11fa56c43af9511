"""Label files as people's tools write them, in a real ledger: what each says, or the reason why it says nothing.

The files of `label_exports` were written by Label Studio's converter (label-studio-sdk 2.1.2) of the tasks that are in
its own JSON; the others are made here as the programs named write them.
"""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import ledger_rows as seeding
import pytest
from conftest import Database, new_ledger
from ledger_rows import HOUR, File, Run, digest
from psycopg.rows import tuple_row

from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.labels import load as labels

EXPORTS = Path(__file__).parent / "exports"
DECOMPOSED = unicodedata.normalize("NFD", "é.jpg")
NAMES = ("0098.jpg", "IMG_7.jpg", "x.jpg", "a b.jpg", DECOMPOSED, "17.png")
DOG, CAT, NO_LABEL = ("0098.jpg", "dog"), ("IMG_7.jpg", "cat"), {"NO_LABEL": 1}


def sheet(*rows: tuple[str, ...], delimiter: str = ",", encoding: str = "utf-8", first: str = "") -> bytes:
    text = io.StringIO()
    text.write(first)
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode(encoding)


def named(name: str, label: str = "dog", header: str = "filename,label") -> bytes:
    return sheet(tuple(header.split(",")), (name, label))


TWO = (("filename", "label"), DOG, CAT)

# File: its content, what is accepted of it (and by whom, if it says so), and what is rejected.
FILES: dict[str, tuple[bytes, set[tuple[str, ...]], dict[str, int]]] = {
    "label_studio.csv": (
        (EXPORTS / "label_studio.csv").read_bytes(),
        {(*DOG, "1"), (*CAT, "bob@example.org")},
        {"UNKNOWN_CLASS": 1} | NO_LABEL,
    ),
    "label_studio.tsv": ((EXPORTS / "label_studio.tsv").read_bytes(), set(), {"UNKNOWN_CLASS": 1} | NO_LABEL),
    "label_studio.json": ((EXPORTS / "label_studio.json").read_bytes(), set(), {"SEVERAL_LABELS": 1} | NO_LABEL),
    "label_studio_min.json": (
        (EXPORTS / "label_studio_min.json").read_bytes(),
        set(),
        {"SEVERAL_LABELS": 1} | NO_LABEL,
    ),
    "excel semicolons.csv": (sheet(*TWO, delimiter=";", encoding="utf-8-sig"), {DOG, CAT}, {}),
    "excel sep.csv": (sheet(*TWO, delimiter=";", first="sep=;\r\n"), {DOG, CAT}, {}),
    "excel unicode text.csv": (sheet(*TWO, delimiter="\t", encoding="utf-16"), {DOG, CAT}, {}),
    "tabs.tsv": (sheet(*TWO, delimiter="\t"), {DOG, CAT}, {}),
    "excel empty cells.csv": (b"filename;label;;\r\n0098.jpg;dog;;\r\n;;;\r\n", {DOG}, {}),
    "category_results.csv": (
        sheet(("fname", "category", "prediction", "confidence"), ("2026-11-21T08/cat/0098.jpg", "dog", "cat", "0.9")),
        {DOG},
        {},
    ),
    "image,class.csv": (named(DOG[0], header="image,class"), {DOG}, {}),
    "File Name.csv": (named(DOG[0], header="File Name,Label"), {DOG}, {}),
    "labeler.csv": (sheet(("image", "label", "labeler"), (*DOG, "eve")), {(*DOG, "eve")}, {}),
    "annotator.csv": (sheet(("image", "label", "annotator"), (*DOG, "7")), {(*DOG, "7")}, {}),
    "kaggle id.csv": (
        sheet(("id", "label"), ("17", "frog"), ("18", "cat")),
        {("17.png", "frog")},
        {"UNKNOWN_IMAGE": 1},
    ),
    "kaggle image_id.csv": (named("17.png", header="image_id,label"), {("17.png", "dog")}, {}),
    "pandas with gaps.csv": (
        sheet(("", "id", "label"), ("0", "17.0", "dog"), ("1", "", "")),
        {("17.png", "dog")},
        NO_LABEL,
    ),
    "pandas records.json": (json.dumps([{"filename": DOG[0], "label": "dog"}]).encode(), {DOG}, {}),
    "pandas lines.json": (json.dumps({"filename": DOG[0], "label": "dog"}).encode(), {DOG}, {}),
    "absolute.csv": (named("/home/ada/images/0098.jpg"), {DOG}, {}),
    "windows.csv": (named(r"C:\images\0098.jpg"), {DOG}, {}),
    "backslashes.csv": (named(r"cat\0098.jpg"), {DOG}, {}),
    "bucket.csv": (named("s3://bucket/2026-11-21T08/cat/0098.jpg"), {DOG}, {}),
    "percent.csv": (named("https://host/a%20b.jpg?signature=1"), {("a b.jpg", "dog")}, {}),
    "roboflow.csv": (named("0098_jpg.rf.0c3f1a2b4d5e6f708192a3b4c5d6e7f8.jpg"), {DOG}, {}),
    "composed.csv": (named("2026-11-21T08/cat/é.jpg"), {(DECOMPOSED, "dog")}, {}),
    "decomposed.csv": (named("2026-11-21T08/cat/" + DECOMPOSED), {(DECOMPOSED, "dog")}, {}),
    "another case.csv": (named(DOG[0], "Dog"), {DOG}, {}),
    "line breaks.csv": (sheet(("note", "image", "label"), ("a\nb,\n\n", *DOG)), {DOG}, {}),
    "twins.csv": (named("twin.jpg"), set(), {"AMBIGUOUS_PATH": 1}),
    "one of the twins.csv": (named("2026-11-21T08/cat/twin.jpg"), {("twin.jpg", "dog")}, {}),
    "another folder.csv": (named("ship/0098.jpg"), set(), {"UNKNOWN_IMAGE": 1}),
    "another hour.csv": (named("2026-11-21T10/cat/0098.jpg"), set(), {"UNKNOWN_IMAGE": 1}),
}
REFUSED = {
    "roboflow one-hot.csv": (b"filename, cat, dog\n0098.jpg, 0, 1\n", "BAD_HEADER"),
    "two columns.csv": (sheet(("image", "class", "category"), (*DOG, "cat")), "TWO_LABELS"),
    "predictions.csv": (sheet(("fname", "label", "model_version"), (*DOG, "1")), "PREDICTIONS"),
    "datumaro.json": (b'{\n  "info": {},\n  "items": []\n}\n', "BAD_JSON"),
    "annotations.xml": (b"<annotations></annotations>", "NOT_LABELS"),
    "labels.xlsx": (b"PK\3\4", "NOT_LABELS"),
}
# Those by labellers who are named in files that came before: the same words again.
REPEATED = dict.fromkeys(("label_studio.tsv", "label_studio.json", "label_studio_min.json"), 2)


@pytest.fixture(scope="module")
def loaded(postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """All of the files, loaded at once; of the images, one has a twin of another content in a later hour."""
    with new_ledger(postgres_port, tmp_path_factory.mktemp("home")) as database:
        version = seeding.register()
        later = HOUR.replace(hour=9)
        ingest(Run("run 1", version, [File(name) for name in (*NAMES, "twin.jpg")]))
        ingest(Run("run 2", version, [File("twin.jpg", content="other", drop_at=later)]))
        folder = settings.get().labels.folder
        folder.mkdir()
        for name, (content, *_) in (FILES | REFUSED).items():
            (folder / name).write_bytes(content)
            os.utime(folder / name, (0, name not in {"label_studio.csv"}))
        labels.load("labelling", at_once=True)
        yield database


def ingest(run: Run) -> None:
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)


def fetch(statement: str, name: str) -> list[tuple]:
    with ledger.connect("labels") as connection:
        return connection.cursor(row_factory=tuple_row).execute(statement, {"name": name}).fetchall()


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_its_maker_meant(loaded, name):
    _, words, rejected = FILES[name]
    [(state, accepted, known, reasons)] = fetch(
        "SELECT state, accepted, known, reasons FROM reporting.label_files WHERE fname = %(name)s", name
    )
    assert (state, reasons, known) == ("loaded", rejected, REPEATED.get(name, 0))
    found = fetch(
        "SELECT entries.display_name, label, labeller FROM labels JOIN images USING (image_id)"
        " JOIN entries USING (entry_id) JOIN label_files USING (file_id) WHERE label_files.display_name = %(name)s",
        name,
    )
    assert accepted == len(found) == len(words)
    leaves = {(path.rpartition("/")[2], label, labeller) for path, label, labeller in found}
    assert leaves == {word if len(word) == 3 else (*word, f"file:{name}") for word in words}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_understood_is_refused_and_says_why(loaded, name):
    _, reason = REFUSED[name]
    [(state, why, detail)] = fetch(
        "SELECT state, reason, detail FROM reporting.label_files WHERE fname = %(name)s", name
    )
    assert (state, why) == ("refused", reason)
    assert detail


def test_a_name_that_fits_two_images_names_both(loaded):
    [(shown, detail)] = fetch(
        "SELECT shown, detail FROM reporting.label_rejections WHERE fname = %(name)s", "twins.csv"
    )
    first, second = digest("twin.jpg")[:12], digest("other")[:12]
    assert shown == "twin.jpg,dog"
    assert detail == (
        f"It fits 2 images: 2026-11-21T08/cat/twin.jpg ({first}) and 2026-11-21T09/cat/twin.jpg ({second})."
    )


def test_no_file_of_which_nothing_counts_is_green(loaded):
    useless = {name for name, (_, words, _) in FILES.items() if not words and name not in REPEATED} | set(REFUSED)
    with pytest.raises(labels.LabelError) as raised:
        labels.check_files("labelling")
    assert {line.partition(": ")[0] for line in str(raised.value).splitlines()[1:]} == useless
    assert ledger.prove()
