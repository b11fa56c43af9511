"""What is expected of the entries of a run, and what Great Expectations says to it.

What happens if an expectation fails is its severity: `stop` ends the run, `quarantine` gives the row a reason (or
each row of the folder), `warn` gives it a note.
"""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import great_expectations as gx
from great_expectations import expectations as kinds

import strandline_contract as contract
from strandline import periods
from strandline.ingest.folders import SET_ASIDE

Severity = Literal["stop", "quarantine", "warn"]
GX_SEVERITY: dict[Severity, str] = {"stop": "critical", "quarantine": "warning", "warn": "info"}

ROW_COUNT = "ExpectTableRowCountToEqual"
UNIQUE = "ExpectCompoundColumnsToBeUnique"
AMONG = "ExpectColumnValuesToBeInSet"
NOT_AMONG = "ExpectColumnValuesToNotBeInSet"
BETWEEN = "ExpectColumnValuesToBeBetween"
AT_LEAST = "ExpectColumnPairValuesAToBeGreaterThanB"

BLANK_CONTRAST = 1e-3  # an image of one colour has 0, and what JPEG makes of it hardly more


class ValidationError(Exception):
    """The validation itself is broken: a file of ours is not what the contract says. The data is not to blame."""


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What a row, or a run, is expected to be: in the words of a page, and as a class of Great Expectations with its
    arguments. `code` is the reason, or the note, that a failing row gets.
    """

    name: str
    severity: Severity
    code: str | None
    says: str
    kind: str
    arguments: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Finding:
    """How many rows an expectation looked at and how many failed; which rows, and with what values of its column."""

    expectation: Expectation
    success: bool
    evaluated: int
    unexpected: int
    rows: Sequence[int] = ()
    values: Sequence[Any] = ()

    @property
    def text(self) -> str:
        if self.expectation.kind == ROW_COUNT:
            return f"there are {self.evaluated:,}"
        share = f" ({self.unexpected / self.evaluated:.1%})" if self.unexpected else ""
        verb = "are" if self.expectation.kind == NOT_AMONG else "fail"
        return f"{self.unexpected:,} of {self.evaluated:,}{share} {verb}"


def of_rows(limits: contract.Limits, classes: Sequence[str]) -> list[Expectation]:
    """What is expected of each entry that was opened."""
    formats, small, large = list(limits.formats), limits.min_side, limits.max_side
    pixels = max(limits.max_pixels, limits.max_jpeg_pixels)  # which of them a file may have is the decoder's to say
    return [
        _refuse("decodable", None, "can be decoded", AMONG, column="status", value_set=["decoded"]),
        _refuse(
            "format", "FORMAT_NOT_ALLOWED", f"format {_either(formats)}", AMONG, column="format", value_set=formats
        ),
        _refuse(
            "mode",
            "UNSUPPORTED_MODE",
            "a colour mode with an agreed conversion to RGB",
            AMONG,
            column="mode",
            value_set=list(contract.MODES),
        ),
        _refuse(
            "short_side",
            "TOO_SMALL",
            f"at least {small:,} pixels wide and high",
            BETWEEN,
            column="short_side",
            min_value=small,
        ),
        _refuse(
            "long_side",
            "TOO_LONG_SIDE",
            f"at most {large:,} pixels wide and high",
            BETWEEN,
            column="long_side",
            max_value=large,
        ),
        _refuse(
            "pixels",
            "TOO_MANY_PIXELS",
            f"at most {pixels:,} pixels",
            BETWEEN,
            column="pixels",
            max_value=pixels,
        ),
        _refuse(
            "aspect",
            "BAD_ASPECT",
            f"at most {limits.max_aspect:g} times as long as wide",
            BETWEEN,
            column="aspect",
            max_value=limits.max_aspect,
        ),
        _warn(
            "not_blank",
            "BLANK",
            f"more than one colour (a contrast of at least {BLANK_CONTRAST:g})",
            BETWEEN,
            column="contrast",
            min_value=BLANK_CONTRAST,
        ),
        _warn(
            "label",
            "UNKNOWN_LABEL",
            "a folder that is one of the model's classes",
            AMONG,
            column="path_label",
            value_set=list(classes),
        ),
        _warn(
            "folders",
            "NESTED",
            f"at most one folder below the {periods.get().noun}, whose name is the label",
            BETWEEN,
            column="folders",
            max_value=1,
        ),
        _warn(
            "source",
            "CLASS_AS_SOURCE",
            "no source that is called like a class: the folder of a label is below the hour, not before it",
            NOT_AMONG,
            column="source",
            value_set=list(classes),
        ),
    ]


def of_folders(limit: float, source_limits: Mapping[str, float]) -> list[Expectation]:
    """What is expected of each folder that has files enough to be judged: at most a share of them quarantined, which is
    the limit of its source, if that has one, else `limit`.
    """
    says = f"at most {100 * limit:.3g}% of a folder's files in quarantine"
    own = ", ".join(f"{100 * share:.3g}% of {name}'s" for name, share in source_limits.items())
    says += f" ({own})" if own else ""
    arguments = {"column_A": "limit", "column_B": "share", "or_equal": True}
    return [
        _refuse("quarantined_share", SET_ASIDE, says, AT_LEAST, **arguments, ignore_row_if="either_value_is_missing")
    ]


def of_run(listed: int, vanished: float) -> list[Expectation]:
    """What is expected of the run as a whole: its `listed` entries, and at most this share of them vanished."""
    return [
        _stop("row_count", f"{listed:,} entries, as listed", ROW_COUNT, value=listed),
        _stop("one_outcome", "one outcome for each entry", UNIQUE, column_list=["shard", "entry"]),
        _stop("listed", "no entry that was not listed", AMONG, column="listed", value_set=[True]),
        _warn(
            "vanished_share",
            None,
            f"at most {100 * vanished:.3g}% of the files gone or changed between listing and reading",
            NOT_AMONG,
            column="state",
            value_set=["vanished"],
            mostly=round(1 - vanished, 9),  # 1 - 0.57 is more than 0.43
        ),
    ]


def _stop(name: str, says: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, "stop", None, says, kind, arguments)


def _refuse(name: str, code: str | None, says: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, "quarantine", code, says, kind, arguments)


def _warn(name: str, code: str | None, says: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, "warn", code, says, kind, arguments)


def evaluate(frame: Any, expectations: Sequence[Expectation]) -> list[Finding]:
    """Let Great Expectations look at a data frame with a RangeIndex; one finding for each expectation, in order.

    Raises:
        ValidationError: an expectation could not be evaluated: a column is missing, or of another type.
    """
    batch = _batches().get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(
        name="entries",
        expectations=[
            getattr(kinds, e.kind)(**e.arguments, severity=GX_SEVERITY[e.severity], meta={"name": e.name})
            for e in expectations
        ],
    )
    # COMPLETE: any other format lists at most twenty of the rows that fail. Without names of index columns these are
    # the frame's own row numbers, twenty times faster than a dict for each.
    found = batch.validate(suite, result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False})
    by_name = {result.expectation_config.meta["name"]: result for result in found.results}  # its order is another
    return [_finding(expectation, by_name[expectation.name], frame) for expectation in expectations]


@functools.cache
def _batches() -> Any:
    """Great Expectations' way to a data frame; made once a process, since making it costs more than a small run."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it logs hundreds of lines while it is imported
    context: Any = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("strandline").add_dataframe_asset("entries")
    return asset.add_batch_definition_whole_dataframe("run")


def _finding(expectation: Expectation, found: Any, frame: Any) -> Finding:
    info, numbers = found.exception_info, found.result
    raised = [one for one in ([info] if "raised_exception" in info else info.values()) if one["raised_exception"]]
    if raised or not numbers:
        columns = [value for name, value in expectation.arguments.items() if name.startswith("column")] or "the table"
        why = raised[0]["exception_message"] if raised else "Great Expectations gave no result"
        raise ValidationError(f"expectation {expectation.name} cannot be evaluated on {columns}: {why}")
    success = bool(found.success)
    if expectation.kind == ROW_COUNT:
        count = int(numbers["observed_value"])
        return Finding(expectation, success, count, abs(count - expectation.arguments["value"]))
    rows = numbers["unexpected_index_list"]
    if len(rows) != numbers["unexpected_count"]:
        raise ValidationError(
            f"{numbers['unexpected_count']} rows fail the expectation {expectation.name}, but {len(rows)} are named"
        )
    evaluated = numbers["element_count"] - numbers["missing_count"]
    column = expectation.arguments.get("column")
    # The frame's values, because the list of them that comes with the result ends after 200.
    values = frame[column].take(rows).tolist() if column else rows
    return Finding(expectation, success, evaluated, len(rows), rows, values)


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
