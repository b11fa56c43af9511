"""Label files: what each row of one says, or why it says nothing. Nothing here knows the ledger.

People and their tools name columns, images and classes in many ways: `docs/labels.md` has the rules for each.
"""

import collections
import datetime
import functools
import hashlib
import io
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from strandline.labels.places import places
from strandline.labels.records import Record, Rejected, Source, Unusable, column, json_array, json_lines, table
from strandline.scan import DETAILS, display_name

SUFFIXES = {b".csv": "csv", b".tsv": "csv", b".jsonl": "jsonl", b".ndjson": "jsonl", b".json": "json"}
# What a column says by its name: the first one that a file has counts, of those that name images the first filled in.
COLUMNS = {
    "image_id": ("image_id", "sha256"),
    "entry_id": ("entry_id",),
    "path": (
        *("path", "fname", "filename", "file_name", "file", "filepath", "file_path"),
        *("image", "image_path", "image_name", "image_file", "img", "image_url", "url", "file_upload"),
    ),
    "label": ("label", "class", "category", "choice", "class_name", "label_name", "category_name"),
    "labeller": ("labeller", "labeler", "annotator", "annotated_by", "completed_by"),
    "labelled_at": ("labelled_at", "labeled_at", "annotated_at", "updated_at", "created_at"),
}
IMAGE_COLUMNS = ("image_id", "entry_id", "path")
UNUSABLE = "unusable"  # the label that says: none of the classes, or of no use
MAX_LABELLER = 100  # characters
SHOWN = 200  # characters of a rejected row that are kept
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would run, were it to get hold of it
IMAGE_ID = re.compile("[0-9a-f]{64}")
ENTRY_ID = re.compile(r"([0-9]{1,18})(?:\.0+)?")  # a column with gaps is written as 123.0
FILE_NAME = re.compile(r".*[^./\\]\.[A-Za-z][A-Za-z0-9]{1,4}", re.DOTALL)
SURROGATE_OR_NUL = re.compile("[\ud800-\udfff\0]")

PACKED = (b".gz", b".zip", b".bz2", b".xz", b".zst", b".7z", b".tar", b".tgz")
REFUSALS = DETAILS | {
    "UNREADABLE": "It may not be opened; once it may, the next run reads it.",
    "PACKED": "It is compressed: unpack it.",
    "SIDECAR": "By its name it accompanies other files: nothing is lost.",
    "NOT_LABELS": "By its name it is no label file: those end in .csv, .tsv, .json or .jsonl. Export it as such.",
    "TOO_LARGE": "It is larger than STRANDLINE_LABEL_MAX_FILE_BYTES allows: split it.",
    "TOO_MANY_ROWS": "It has more rows than STRANDLINE_LABEL_MAX_ROWS allows: split it.",
    "EMPTY": "It has no rows.",
    "BAD_HEADER": "Its columns must be named, each once, in UTF-8, or in UTF-16 with its mark: one for the label"
    f" ({', '.join(COLUMNS['label'])}), and one for the image (image_id, entry_id, {', '.join(COLUMNS['path'])}, id)."
    " In a table the first line names them, separated by commas, semicolons or tabs.",
    "PREDICTIONS": "By `model_version` it has what a model says, which is no truth.",
    "TWO_LABELS": "Several columns may be the label: call the one that is meant `label`.",
    "BAD_JSON": "It must be an array of objects, or have one object a line, in UTF-8.",
}


class Refused(Exception):
    """A file of which no row can be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = f"{REFUSALS[reason]} {detail}".strip()


class Row(NamedTuple):
    """One row of a file: an image, named in one of three ways, and its label; or the reason why it is rejected.

    `path_shown` is the path if it may be a name for people (`entries.display_name`), `places` are the other paths that
    it may stand for (`label_places.places`). `labelled_at` None stands for the time of the load, `shown` is the row,
    shortened.
    """

    line: int
    image_id: str | None = None
    entry_id: int | None = None
    drop_at: datetime.datetime | None = None
    path: bytes | None = None
    path_shown: str | None = None
    places: list[str] | None = None
    label: str | None = None
    labeller: str | None = None
    labelled_at: datetime.datetime | None = None
    reason: str | None = None
    shown: str | None = None


def is_labeller(name: str) -> bool:
    """Whether a labeller may be called that."""
    return 0 < len(name) <= MAX_LABELLER and name.isprintable() and not name.startswith(FORMULA)


def default_labeller(name: bytes) -> str:
    """Who a row is by that does not say: its file, by name. So a file that is dropped again fixes its own labels."""
    labeller = f"file:{display_name(name)}"
    return labeller if len(labeller) <= MAX_LABELLER else f"file:{hashlib.sha256(name).hexdigest()}"


class Reader:
    """The rows of an open file, read once; then `sha256` is that of its content.

    Args:
        kind: csv, json or jsonl.
        labeller: of rows that name none.
        classes: the labels that are valid, beside `unusable`.
        now: rows may be no more than an hour ahead of it.
        max_rows: of a file with more, none is used.
    """

    def __init__(
        self,
        file: BinaryIO,
        kind: str,
        labeller: str,
        classes: Collection[str],
        now: datetime.datetime,
        max_rows: int,
    ) -> None:
        self._source = Source(file)
        self._kind = kind
        self._labeller = labeller
        self._labels = _Classes(classes)
        self._latest = now + datetime.timedelta(hours=1)
        self._max_rows = max_rows

    @property
    def sha256(self) -> str:
        return self._source.digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """
        Raises:
            Refused: no row can be used, whatever was yielded before.
        """
        count = 0
        try:
            for count, record in enumerate(self._records(), start=1):
                if count > self._max_rows:
                    raise Refused("TOO_MANY_ROWS")
                yield self._row(record)
        except Unusable as unusable:
            reason, *found = unusable.args
            raise Refused(reason, *(f"It is: {_shown(line)}" for line in found)) from unusable
        if not count:
            raise Refused("EMPTY")

    def _records(self) -> Iterator[Record]:
        file = io.BufferedReader(self._source)
        if self._kind == "csv":
            return table(file, lambda header: _columns(tuple(header)) is not None)
        if self._kind == "jsonl":
            return json_lines(file)
        if file.peek(1).lstrip()[:1] == b"[":
            return _numbered(_answers(json_array(file)))
        return _objects(json_lines(file))

    def _row(self, record: Record) -> Row:
        try:
            if record.reason:
                raise Rejected(record.reason)
            values = _values(record.values)
            label = self._labels.find(values["label"])
            labeller = values["labeller"].strip()
            if labeller and not is_labeller(labeller):
                raise Rejected("BAD_LABELLER")
            labelled_at = self._time(values["labelled_at"])
            row = Row(record.number, label=label, labeller=labeller or self._labeller, labelled_at=labelled_at)
            return _name_image(row, values, record.line)
        except Rejected as rejected:
            return Row(record.number, reason=str(rejected), shown=_shown(record.line))

    def _time(self, text: str) -> datetime.datetime | None:
        if not text.strip():
            return None
        try:
            time = datetime.datetime.fromisoformat(text.strip())
            if time.tzinfo is not None and time <= self._latest:
                return time.astimezone(datetime.UTC)
        except (ValueError, OverflowError):
            pass
        raise Rejected("BAD_TIME")


class _Classes:
    """The valid labels: each as it is called, and in another case if only one is called so."""

    def __init__(self, classes: Collection[str]) -> None:
        labels = {unicodedata.normalize("NFC", name): name for name in classes}
        labels.setdefault(UNUSABLE, "")
        self._exact = labels
        self._folded = collections.defaultdict(set)
        for name, label in labels.items():
            self._folded[name.casefold()].add(label)

    def find(self, text: str) -> str:
        """
        Raises:
            Rejected: there is no such class, or none is named.
        """
        name = unicodedata.normalize("NFC", text.strip())
        if not name:
            raise Rejected("NO_LABEL")
        if name in self._exact:
            return self._exact[name]
        found = self._folded.get(name.casefold(), set())
        if len(found) != 1:
            raise Rejected("UNKNOWN_CLASS")
        (label,) = found
        return label


@functools.lru_cache
def _columns(names: tuple[str, ...]) -> dict[str, tuple[str, ...]] | None:
    """Which of some columns say what; None if none is a label, or none names an image.

    Raises:
        Unusable: several may be the label, or it is the prediction of a model.
    """
    found = {role: tuple(name for name in known if name in names) for role, known in COLUMNS.items()}
    if not any(found[role] for role in IMAGE_COLUMNS):
        found["path"] = tuple(name for name in ("id",) if name in names)
    if not found["label"] or not any(found[role] for role in IMAGE_COLUMNS):
        return None
    if any(names.count(name) > 1 for of_role in found.values() for name in of_role):
        return None
    if "model_version" in names:
        raise Unusable("PREDICTIONS")
    if "label" not in found["label"] and len(found["label"]) > 1:
        raise Unusable("TWO_LABELS", ", ".join(found["label"]).encode())
    return found


def _objects(records: Iterator[Record]) -> Iterator[Record]:
    """Records, if the first is an object: a single object over many lines is none of ours."""
    for position, record in enumerate(records):
        if position == 0 and record.reason == "BAD_JSON":
            raise Unusable("BAD_JSON")
        yield record


def _numbered(records: Iterator[Record]) -> Iterator[Record]:
    for number, record in enumerate(records, start=1):
        yield record._replace(number=number)


def _answers(records: Iterator[Record]) -> Iterator[Record]:
    """For each task of Label Studio a record an annotation, and an empty one if it has none; others as they are."""
    for record in records:
        task = record.values
        if not isinstance(task.get("annotations"), list) or not isinstance(task.get("data"), dict):
            yield record
            continue
        texts = [name for name, value in task["data"].items() if isinstance(value, str)]
        named = {name: task["data"][name] for name in texts if column(name) in COLUMNS["path"]}
        image = named or {"image": task["data"][texts[0]] if len(texts) == 1 else ""}
        for annotation in task["annotations"] or [{}]:
            if isinstance(annotation, dict):
                yield record._replace(values=image | _answer(annotation))
            else:
                yield record._replace(reason="BAD_JSON")


def _answer(annotation: dict[str, Any]) -> dict[str, Any]:
    """What an annotation of Label Studio says; one that was skipped, or has no choice, has no label."""
    results = annotation.get("result")
    values = (
        [result.get("value") for result in results or () if isinstance(result, dict)]
        if isinstance(results, list)
        else []
    )
    choices = [choice for value in values if isinstance(value, dict) for choice in _list(value.get("choices"))]
    label = "" if annotation.get("was_cancelled") or not choices else {"choices": choices}
    time = annotation.get("updated_at") or annotation.get("created_at")
    return {"label": label, "labeller": annotation.get("completed_by"), "labelled_at": time}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(column(str(name)) for name in values)


def _values(record: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, as texts, by what it is about; '' is nothing.

    Raises:
        Rejected: a value is not such a text.
    """
    names = _names(record)
    try:
        columns = _columns(names)
    except Unusable as unusable:
        raise Rejected(unusable.args[0]) from None
    if columns is None:
        images = {"id", *(name for role in IMAGE_COLUMNS for name in COLUMNS[role])}
        raise Rejected(
            "DUPLICATE_KEY" if len(set(names)) < len(names) else "NO_LABEL" if images & set(names) else "NO_COLUMNS"
        )
    found = dict(zip(names, record.values(), strict=True))
    first = {
        role: next((found[name] for name in named if found[name] not in (None, "")), "")
        for role, named in columns.items()
    }
    values = {role: _to_text(role, value) for role, value in first.items()}
    if columns["path"] == ("id",) and (number := ENTRY_ID.fullmatch(values["path"])):
        values["path"] = number[1]
    return values


def _to_text(role: str, value: Any) -> str:
    if role == "label":
        choices = value.get("choices") if isinstance(value, dict) else value
        if isinstance(choices, list):
            if len(choices) > 1:
                raise Rejected("SEVERAL_LABELS")
            value = choices[0] if choices else ""
    if role == "labeller" and isinstance(value, dict):
        value = value.get("email") or value.get("id")
    if role in ("entry_id", "path", "labeller") and type(value) in (int, float):
        value = str(value)
    if not isinstance(value, str):
        raise Rejected("BAD_JSON")
    if SURROGATE_OR_NUL.search(value):
        raise Rejected("BAD_TEXT")
    return value


def _name_image(row: Row, values: Mapping[str, str], line: bytes) -> Row:
    """By the first of hash, entry and path that the row fills in."""
    image_id, entry_id, path = (values[role] for role in IMAGE_COLUMNS)
    if FILE_NAME.fullmatch(image_id.strip()):  # what others call an image's id
        image_id, path = "", image_id.strip()
    if image_id := image_id.strip().lower():
        if IMAGE_ID.fullmatch(image_id):
            return row._replace(image_id=image_id)
    elif entry_id := entry_id.strip():
        if number := ENTRY_ID.fullmatch(entry_id):
            return row._replace(entry_id=int(number[1]))
    elif path:
        start, ends = places(path)
        path_shown = path if "\\" in path else None
        return row._replace(drop_at=start, path=path.encode(), path_shown=path_shown, places=ends, shown=_shown(line))
    raise Rejected("BAD_IMAGE")


def _shown(line: bytes) -> str:
    """What a person is shown of a line: no control characters, cut."""
    text = display_name(line[: SHOWN + 1])
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
