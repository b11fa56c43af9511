"""The demo, on the stack of these tests: what it says of its hostile files is checked by itself, and it repeats."""

import re
from pathlib import Path

import pytest

from local.demo import demo
from strandline import ledger

FACTS = ("entries", "outcomes", "images", "predictions", "prediction_failures")


@pytest.mark.usefixtures("report_drift")
def test_the_demo_accounts_for_every_file_and_again_adds_nothing(strandline, capfd):
    assert demo.run(strandline.stack, strandline.api, 300) == 0
    told = capfd.readouterr().out
    counts = {word: int(count) for word, count in re.findall(r"^  (\w+) +(\d+)(?:\s|$)", told, re.MULTILINE)}
    # Other tests may have dropped some of these images into other hours.
    assert counts["ingested"] + counts["duplicates"] == 307
    assert counts["duplicates"] >= 2
    assert (counts["listed"], counts["quarantined"], counts["rejected"]) == (320, 9, 4)
    assert counts["classified"] == counts["ingested"]
    assert "The 20 broken or hostile files came to the ends that were expected of them." in told
    assert re.search(r"all +\d+\.\d +\d+", told), told
    assert re.search(r"Drift in the first hour: (none|warn)\n", told), told  # one hour in 168 may be called changed
    assert re.search(r"Drift in the first dark hour: (warn|retrain)\n +The images look different", told), told
    assert all(Path(page).is_file() for page in re.findall(r"^ +(/.+/drift/.+/index\.html)$", told, re.MULTILINE))
    facts = count(strandline)
    assert demo.run(strandline.stack, strandline.api, 300) == 0
    assert "All 320 files were known" in capfd.readouterr().out
    assert count(strandline) == facts


def count(strandline) -> dict[str, int]:
    with ledger.connect("ingest", strandline.stack.settings.database_url) as connection:
        return {
            table: row["rows"]
            for table in FACTS
            for row in connection.execute(f"SELECT count(*) AS rows FROM {table}").fetchall()
        }
