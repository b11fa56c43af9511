"""Tables for spreadsheets, which take some texts for formulas."""

import csv
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

FORMULA = "=+-@\t\r"  # what a spreadsheet takes for the beginning of one


def write_csv(file: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Rows of a table of which no spreadsheet takes a cell for a formula."""
    csv.writer(file).writerows([_safe(cell) for cell in row] for row in rows)


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell and cell[0] in FORMULA else cell
