"""Lists, whole, as files for spreadsheets and notebooks."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi.responses import StreamingResponse

from strandline.html.spreadsheet import write_csv
from strandline.pages.rooms import HEADERS

MOST = 1_000_000  # rows
CHUNK = 2**16  # characters


def as_csv(name: str, columns: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> StreamingResponse:
    """A download of these columns of the rows, of which no spreadsheet takes a cell for a formula."""
    return download(f"{name}.csv", "text/csv; charset=utf-8", _lines(columns, rows))


def download(name: str, kind: str, content: Iterator[str] | Iterator[bytes]) -> StreamingResponse:
    headers = HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, headers=headers, media_type=kind)


def _lines(columns: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    text = io.StringIO()
    csv.writer(text).writerow(columns)
    for row in rows:
        write_csv(text, [[row[name] for name in columns]])
        if text.tell() > CHUNK:
            yield text.getvalue()
            text = io.StringIO()
    yield text.getvalue()
