"""What the demo tells a person, in numbers that can be checked by hand."""

import datetime

from local.stack import summary

DROP = datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)


def test_the_table_counts_every_entry_once():
    outcomes = {
        "ingested": {None: 95},
        "quarantined": {"TRUNCATED": 2, "EMPTY": 1},
        "rejected": {"SYMLINK": 1},
        "open": {None: 1},
    }
    told = summary.Summary(DROP, outcomes, "cifar_resnet20_v1", "ab" * 32, 95, 90, 81, newly_listed=100)
    assert [line.split()[:2] for line in told.lines()] == [
        ["listed", "100"],
        ["ingested", "95"],
        ["duplicates", "0"],
        ["quarantined", "3"],
        ["2", "TRUNCATED"],
        ["1", "EMPTY"],
        ["rejected", "1"],
        ["1", "SYMLINK"],
        ["not", "settled"],
        ["classified", "95"],
        ["accuracy", "90.0%"],
    ]


def test_phases_are_measured_from_first_start_to_last_end():
    def row(task: str, start: int, end: int) -> dict[str, str]:
        return {"task_id": task} | {
            key: (DROP + datetime.timedelta(seconds=second)).isoformat()
            for key, second in (("start_date", start), ("end_date", end))
        }

    rows = [row("pack", 2, 4), row("pack", 3, 7), row("load", 8, 10), {"task_id": "x", "start_date": None}]
    lines = [line.split() for line in summary.phases(rows, ("pack", "classify", "load"), 1000)]
    assert lines[1:] == [["pack", "5.0", "200"], ["load", "2.0", "500"], ["all", "8.0", "125"]]
