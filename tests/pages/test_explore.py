"""What is chosen on the page of predictions, as a file for programs."""

import datetime
import io

import ledger_rows as seeding
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from ledger_rows import HOUR, File, Run, digest
from shown_pages import downloaded

from strandline import ledger
from strandline.ingest import load as predictions
from strandline.pages import explore

NAMES = [f"{number}.jpg" for number in range(30)]


@pytest.fixture
def version(database) -> str:
    version = seeding.register()
    predictions.load("run", Run("run", version, [File(name) for name in NAMES]).ready())
    ledger.close_run("run")
    return version


def read(answer) -> pa.Table:
    return pq.read_table(io.BytesIO(b"".join(downloaded(answer))))


def test_parquet_has_the_rows_of_the_csv_with_their_types(version):
    answer = explore.export_parquet(explore.chosen())
    assert answer.headers["content-disposition"] == 'attachment; filename="predictions.parquet"'
    table = read(answer)
    lines = "".join(downloaded(explore.export(explore.chosen()))).splitlines()
    assert table.schema.names == lines[0].split(",")
    assert table["image_id"].to_pylist() == [line.split(",")[0] for line in lines[1:]]
    assert {*table["image_id"].to_pylist()} == {digest(name) for name in NAMES}
    row = table.to_pylist()[0]
    assert (row["drop_at"], row["width"], row["model_version"]) == (HOUR, 32, version)
    assert row["drop_at"].utcoffset() == datetime.timedelta()
    assert (type(row["confidence"]), type(row["correct"])) == (float, bool)


def test_parquet_takes_the_filters_of_the_page(version):
    asked = explore.chosen(label="cat", order="sure")
    shown = [image["image_id"] for image in explore.explore(asked)["images"]]
    assert read(explore.export_parquet(asked))["image_id"].to_pylist() == shown
    assert 0 < len(shown) < len(NAMES)


def test_parquet_is_written_a_group_of_rows_at_a_time(version, monkeypatch):
    monkeypatch.setattr(explore, "ROWS_AT_ONCE", 8)
    sent = downloaded(explore.export_parquet(explore.chosen()))
    assert len(sent) == 5, "four groups, and the footer"
    assert min(map(len, sent)) > 0
    file = pq.ParquetFile(io.BytesIO(b"".join(sent)))
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [8, 8, 8, 6]


def test_without_predictions_the_file_has_its_columns_and_no_rows(database):
    table = read(explore.export_parquet(explore.chosen()))
    assert (table.num_rows, table.schema.names) == (0, [*explore.COLUMNS])


def test_the_description_of_the_api_has_both_files():
    application = FastAPI()
    application.include_router(explore.room.api)
    assert {"/api/v1/explore.csv", "/api/v1/explore.parquet"} <= application.openapi()["paths"].keys()
