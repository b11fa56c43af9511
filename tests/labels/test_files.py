"""Label files, row by row: what is read of them, and that nothing in one row touches another."""

import csv
import datetime
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strandline.labels.files import Reader, Refused, default_labeller
from strandline.labels.records import MAX_LINE

NOW = datetime.datetime(2026, 11, 21, 9, tzinfo=datetime.UTC)
IMAGE = "ab" * 32
CLASSES = ("cat", "dog", "frog")


def reader(content, kind="csv", max_rows=1000, classes=CLASSES):
    return Reader(io.BytesIO(content), kind, "file:a.csv", classes, NOW, max_rows)


def rows(content, kind="csv", **kwargs):
    return list(reader(content, kind, **kwargs).rows())


def reasons(content, kind="csv", **kwargs):
    return [(row.line, row.reason) for row in rows(content, kind, **kwargs)]


def csv_row(label, header="image_id,label", image=IMAGE):
    return rows(f"{header}\n{image},{label}\n".encode())[0]


# What is read


def test_a_row_has_an_image_a_label_and_who_says_so_when():
    [row] = rows(f"image_id,label,labeller,labelled_at\n{IMAGE},cat,ada,2026-11-21T08:15:00+01:00\n".encode())
    assert (row.line, row.image_id, row.label, row.labeller, row.reason) == (2, IMAGE, "cat", "ada", None)
    assert row.labelled_at == datetime.datetime(2026, 11, 21, 7, 15, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeffimage_id,label\r\n{IMAGE},cat\r\n".encode(),
        f"\ufeffIMAGE_ID , Label\n\n{IMAGE.upper()}, cat \n".encode(),
        f'"image_id","label"\n"{IMAGE}","cat"'.encode(),
        f'label,note,image_id\ncat,"a, ""b""",{IMAGE}\n'.encode(),
        f"entry_id,image_id,label\n,{IMAGE},cat\n".encode(),
        f"image_id,entry_id,path,label\n{IMAGE},7,x.jpg,cat\n".encode(),
    ],
    ids=["BOM and CRLF", "spaces and case", "quotes", "other columns", "an empty column", "the first that is named"],
)
def test_forms_of_the_same_row(content):
    [row] = rows(content)
    assert (row.image_id, row.label, row.labeller, row.labelled_at) == (IMAGE, "cat", "file:a.csv", None)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"entry_id,label\n17,cat\n", "csv"),
        (b'{"entry_id": 17, "label": "cat", "more": [1, {}]}\n', "jsonl"),
        (b'\xef\xbb\xbf{"entry_id": "17", "label": "cat", "labeller": null}\r\n', "jsonl"),
    ],
)
def test_an_entry_is_named_by_its_number(content, kind):
    [row] = rows(content, kind)
    assert (row.entry_id, row.label, row.reason) == (17, "cat", None)


def test_a_path_keeps_its_hour_and_both_its_names():
    line = rb"2026-11-21T08/cat/a\xff b.jpg,cat"
    [row] = rows(b"path,label\n" + line + b"\n")
    assert row.path == rb"2026-11-21T08/cat/a\xff b.jpg"
    assert row.path_shown == row.path.decode()
    assert row.drop_at == datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)
    [row] = rows("path,label\nnowhere/é.jpg,cat\n".encode())
    assert (row.path, row.path_shown, row.drop_at) == ("nowhere/é.jpg".encode(), None, None)


def test_unusable_is_a_label_unless_a_class_is_called_so():
    assert csv_row("unusable").label == ""
    [row] = rows(f"image_id,label\n{IMAGE},unusable\n".encode(), classes=("unusable",))
    assert row.label == "unusable"


def test_the_hash_is_of_the_whole_content():
    import hashlib

    content = f"image_id,label\n{IMAGE},cat\n\n{'x' * 3 * MAX_LINE}\nend".encode()
    one = reader(content)
    assert [row.line for row in one.rows()] == [2, 4, 5]
    assert one.sha256 == hashlib.sha256(content).hexdigest()


# What is rejected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"%s,lizard" % IMAGE.encode(), "UNKNOWN_CLASS"),
        (b"%s,=cmd|' /C calc'!A0" % IMAGE.encode(), "UNKNOWN_CLASS"),
        (b"%s," % IMAGE.encode(), "NO_LABEL"),
        (b"%s" % IMAGE.encode(), "COLUMNS"),
        (b"%s,cat,more" % IMAGE.encode(), "COLUMNS"),
        (b'"%s,cat' % IMAGE.encode(), "BAD_CSV"),
        (b'"%s"x,cat' % IMAGE.encode(), "BAD_CSV"),
        (b"=HYPERLINK(1),cat", "BAD_IMAGE"),
        (b",cat", "BAD_IMAGE"),
        (b"abc,cat", "BAD_IMAGE"),
        (b"image_id,label", "UNKNOWN_CLASS"),
        (b"%s,c\0at" % IMAGE.encode(), "BAD_TEXT"),
        (b"%s,c\xffat" % IMAGE.encode(), "BAD_TEXT"),
        (b"%s,%s" % (IMAGE.encode(), b"x" * MAX_LINE), "ROW_TOO_LONG"),
        (b"%s,%s" % (IMAGE.encode(), b"x" * 10 * MAX_LINE), "ROW_TOO_LONG"),
    ],
)
def test_a_bad_row_breaks_no_other(line, reason):
    good = f"{IMAGE},cat".encode()
    content = b"\n".join([b"image_id,label", good, line, good, line, good])
    assert reasons(content) == [(2, None), (3, reason), (4, None), (5, reason), (6, None)]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("labeller", "=1+1", "BAD_LABELLER"),
        ("labeller", "@ada", "BAD_LABELLER"),
        ("labeller", "a\u202eb", "BAD_LABELLER"),
        ("labeller", "x" * 101, "BAD_LABELLER"),
        ("labelled_at", "2026-11-21T08:00:00", "BAD_TIME"),
        ("labelled_at", "yesterday", "BAD_TIME"),
        ("labelled_at", "2026-11-21T11:00:00Z", "BAD_TIME"),
        ("labelled_at", "0001-01-01T00:00:00+14:00", "BAD_TIME"),
        ("entry_id", "1e3", "BAD_IMAGE"),
        ("entry_id", "9" * 19, "BAD_IMAGE"),
        ("entry_id", "-1", "BAD_IMAGE"),
        ("entry_id", "١", "BAD_IMAGE"),
    ],
)
def test_cells_that_are_not_what_they_should_be(column, value, reason):
    image = "" if column == "entry_id" else IMAGE
    assert reasons(f"image_id,label,{column}\n{image},cat,{value}\n".encode()) == [(2, reason)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"image_id": "%s", "label": {"a": 1}}', "BAD_JSON"),
        (b'{"image_id": ["%s"], "label": "cat"}', "BAD_JSON"),
        (b'{"image_id": "%s", "label": "cat", "label": "dog"}', "DUPLICATE_KEY"),
        (b'{"image_id": "%s", "label": "cat", "x": {"a": 1, "a": 2}}', "DUPLICATE_KEY"),
        (b'["%s", "cat"]', "BAD_JSON"),
        (b'{"image_id": "%s", "label": "cat"', "BAD_JSON"),
        (b'{"image_id": "%s", "label": null}', "NO_LABEL"),
        (b'{"image_id": "%s"}', "NO_LABEL"),
        (b'{"picture": "%s", "label": "cat"}', "NO_COLUMNS"),
        (b'{"image_id": "%s", "class": "cat", "category": "dog"}', "TWO_LABELS"),
        (b'{"image_id": "%s", "label": "cat", "labeller": [7]}', "BAD_JSON"),
        (b'{"image_id": "%s", "label": ["cat", "dog"]}', "SEVERAL_LABELS"),
        (b'{"image_id": "%s", "label": "c\\u0000at"}', "BAD_TEXT"),
        (b'{"path": "\\ud800%s", "label": "cat"}', "BAD_TEXT"),
        (b'{"entry_id": 1e400, "label": "cat", "x": "%s"}', "BAD_IMAGE"),
        (b'{"entry_id": true, "label": "%s"}', "BAD_JSON"),
        (b'{"image_id": "%s", "label": "cat", "n": ' + b"9" * 5000 + b"}", "BAD_JSON"),
        (b'{"image_id": "%s", "label": ' + b"[" * 60_000, "BAD_JSON"),
        (b"NaN %s", "BAD_JSON"),
    ],
)
def test_json_that_is_no_row(line, reason):
    good = b'{"image_id": "%s", "label": "cat"}' % IMAGE.encode()
    content = b"\n".join([good, line.replace(b"%s", IMAGE.encode()), good])
    assert reasons(content, "jsonl") == [(1, None), (2, reason), (3, None)]


def test_what_is_shown_of_a_row_is_short_and_harmless():
    [row] = rows(b"image_id,label\n\x1b[31m\xff\t<script>" + b"x" * 1000 + b",cat\n")
    assert row.shown.startswith("\\x1b[31m\\xff\\t<script>xxx")
    assert len(row.shown) == 200
    assert row.shown.isprintable()


def test_an_open_quote_takes_no_other_row_with_it():
    good = f"{IMAGE},cat"
    content = "\n".join(["image_id,label", good, f'"{IMAGE},cat', good, good, f'{IMAGE},"cat', *[good] * 2000])
    found = reasons(content.encode(), max_rows=3000)
    assert [row for row in found if row[1]] == [(3, "BAD_CSV"), (6, "BAD_CSV")]
    assert len(found) == 2005


# What is refused as a whole


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EMPTY"),
        (b"\n\r\n", "EMPTY"),
        (b"image_id,label\n", "EMPTY"),
        (b"%s,cat\n" % IMAGE.encode(), "BAD_HEADER"),
        (b"image_id|label\nx|cat\n", "BAD_HEADER"),
        (b"image_id,class,category\nx,cat,dog\n", "TWO_LABELS"),
        (b"image_id,label,model_version\nx,cat,y\n", "PREDICTIONS"),
        (b"image_id,image_id,label\nx,y,cat\n", "BAD_HEADER"),
        (b"image_id,label,label\nx,cat,dog\n", "BAD_HEADER"),
        (b"label\ncat\n", "BAD_HEADER"),
        ("image_id,label\n".encode("utf-16-le"), "BAD_HEADER"),
        ("image_id,label\n".encode("utf-32"), "BAD_HEADER"),
        (b",,\n,,\n", "BAD_HEADER"),
        (b"image_id,label\n,\n,,,\n", "EMPTY"),
        (b"\x1f\x8b\x08\0garbage", "BAD_HEADER"),
        (b'"image_id,label\n', "BAD_HEADER"),
        (b"x" * 3 * MAX_LINE, "BAD_HEADER"),
        (b"image_id,label\n" + b"\n".join([b"x"] * 1001), "TOO_MANY_ROWS"),
    ],
)
def test_a_file_of_which_no_row_can_be_used(content, reason):
    with pytest.raises(Refused) as raised:
        rows(content)
    assert raised.value.reason == reason
    assert raised.value.detail.isprintable()
    assert len(raised.value.detail) < 800


@given(st.binary(max_size=300), st.sampled_from(["csv", "jsonl", "json"]))
def test_any_bytes_are_rows_or_a_refusal(content, kind):
    prefix = b"image_id,label\n" if kind == "csv" else b""
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    if kind == "jsonl":
        lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    expected = sum(bool(line) for line in lines)
    try:
        found = len(rows(prefix + content, kind))
    except Refused:
        found = 0
    if kind == "jsonl" and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert found == expected
    assert found <= expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), max_size=9))
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_a_spreadsheet_writes_is_read_cell_by_cell(encoding, delimiter, notes):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["note", "image_id", "label"])
    writer.writerows([note.replace("\r", ""), IMAGE, "cat"] for note in notes)
    content = text.getvalue().encode(encoding)
    if encoding == "utf-16-be":
        content = b"\xfe\xff" + content
    if notes:
        assert [(row.image_id, row.label, row.reason) for row in rows(content)] == [(IMAGE, "cat", None)] * len(notes)


def test_memory_does_not_grow_with_the_file():
    class Endless(io.RawIOBase):
        """Forty megabytes without a line break, never held as a whole."""

        left = 40 * 2**20

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    tracemalloc.start()
    endless = io.BufferedReader(Endless())
    [row] = Reader(endless, "jsonl", "me", CLASSES, NOW, 10).rows()
    assert row.reason == "ROW_TOO_LONG"
    assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    tracemalloc.stop()


def test_a_labeller_by_default_is_the_file_and_never_long():
    assert default_labeller(b"a/=b.csv") == "file:a/=b.csv"
    long = [default_labeller(bytes([letter]) * 4000) for letter in b"ab"]
    assert max(map(len, long)) <= 100
    assert len(set(long)) == 2
