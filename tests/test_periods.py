"""Periods as people write them, and a run of drops that are no hours."""

import datetime

import pytest
import straight_run as straight
from image_files import png

from strandline import ledger, periods, settings
from strandline.html.document import span
from strandline.periods import PERIODS, Window

UTC = datetime.UTC
MOMENT = datetime.datetime(2026, 11, 21, 8, 29, 59, 5, tzinfo=UTC)


@pytest.fixture
def period(request, monkeypatch):
    monkeypatch.setenv("STRANDLINE_PERIOD", request.param)
    settings.get.cache_clear()
    yield periods.get()
    monkeypatch.undo()
    settings.get.cache_clear()


@pytest.mark.parametrize(
    ("name", "first", "last", "written"),
    [
        ("5 minutes", (21, 8, 25), (21, 8, 30), "2026-11-21T08:25"),
        ("10 minutes", (21, 8, 20), (21, 8, 30), "2026-11-21T08:20"),
        ("15 minutes", (21, 8, 15), (21, 8, 30), "2026-11-21T08:15"),
        ("20 minutes", (21, 8, 20), (21, 8, 40), "2026-11-21T08:20"),
        ("30 minutes", (21, 8, 0), (21, 8, 30), "2026-11-21T08:00"),
        ("hour", (21, 8), (21, 9), "2026-11-21T08"),
        ("day", (21,), (22,), "2026-11-21"),
    ],
)
def test_a_moment_lies_in_the_period_that_is_written_so(name, first, last, written):
    period = PERIODS[name]
    start, end = (datetime.datetime(2026, 11, *parts, tzinfo=UTC) for parts in (first, last))
    elsewhere = MOMENT.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=45)))
    assert period.floor(MOMENT) == period.floor(elsewhere) == start
    assert start + period.length == end
    assert (period.write(start), period.parse(written)) == (written, start)
    assert period.are_full(start, end)
    assert not period.are_full(start, end + datetime.timedelta(minutes=1))
    assert period.says(start, end) == written
    assert period.says(start - period.length, end) == f"{period.write(start - period.length)} to {written}"
    assert period.named(MOMENT, MOMENT) == start - period.length  # the present moment names the last complete one
    assert period.named(MOMENT - period.length, MOMENT) == start - period.length


def test_minutes_need_no_colon():
    assert PERIODS["15 minutes"].parse("2026-11-21T0815") == PERIODS["15 minutes"].parse("2026-11-21T08:15")


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("hour", "2026-11-21T08:00", "is no hour: write one as 2026-11-21T08, which is in UTC and has hours"),
        ("hour", "2026-11-21", "is no hour: write one as 2026-11-21T08,"),
        ("day", "2026-11-21T08", "is no day: write one as 2026-11-21, which is in UTC$"),
        ("day", "2026-11-31", "is no day: write one as 2026-11-21,"),
        ("15 minutes", "2026-11-21T08", "is no period: write one as 2026-11-21T08:15, which is in UTC and begins"),
        ("15 minutes", "2026-11-21T08:10", "and begins at a multiple of 15 minutes$"),
        ("15 minutes", "2026-11-21T24:00", "is no period"),
        ("15 minutes", "2026-11-21T08:15\n", "is no period"),
        ("20 minutes", "2026-11-21T08:15", "write one as 2026-11-21T08:20"),
    ],
)
def test_what_is_no_period_is_refused_with_how_to_write_one(name, text, advice):
    with pytest.raises(periods.PeriodError, match=advice):
        PERIODS[name].parse(text)


@pytest.mark.parametrize(
    ("period", "one", "two"),
    [
        ("15 minutes", "2026-11-21T0815", "2026-11-21T0815--2026-11-21T0845"),
        ("hour", "2026-11-21T08", "2026-11-21T08--2026-11-21T10"),
        ("day", "2026-11-21", "2026-11-21--2026-11-23"),
    ],
    indirect=["period"],
)
def test_a_window_is_of_full_periods_and_its_name_of_no_colon(period, one, two):
    start = period.floor(MOMENT.replace(minute=15))
    assert Window(start, start + period.length).name == one
    assert Window(start, start + 2 * period.length).name == two
    with pytest.raises(periods.WindowError, match=f"must be one or more full {period.noun}s"):
        Window(start, start + datetime.timedelta(minutes=7))


@pytest.mark.parametrize(
    ("start", "end", "written"),
    [
        ("2026-11-21T08:15", "2026-11-21T08:30", "21 November 2026, 08:15 to 08:30 UTC"),
        ("2026-11-21T23", "2026-11-22T00", "21 November 2026, 23:00 to 00:00 UTC"),
        ("2026-11-21T00", "2026-11-22T00", "21 November 2026, UTC"),
        ("2026-11-30T00", "2026-12-02T00", "30 November 2026 to 1 December 2026, UTC"),
    ],
)
def test_pages_write_whole_days_by_their_dates(start, end, written):
    assert span(*(datetime.datetime.fromisoformat(f"{side}+00:00") for side in (start, end))) == written


def test_a_run_takes_its_quarter_of_an_hour_and_the_ledger_keeps_to_such(database, tmp_path):
    with straight.settled(tmp_path, database.address, period="15 minutes") as chosen:
        straight.install_champion()
        straight.drop(chosen.landing)
        later = chosen.landing / "2026-03-02T0815" / "cat"
        later.mkdir(parents=True)
        (later / "later.png").write_bytes(png(5000))
        counts = straight.Ingestion().run()
        assert (counts["ingested"], counts["duplicates"], counts["quarantined"]) == (30, 1, 2)
        assert straight.broken_invariants() == {}
        with ledger.connect("ingest") as connection:
            rows = connection.execute("SELECT drop_at, drop_end FROM drops").fetchall()
        assert rows == [{"drop_at": straight.HOUR, "drop_end": straight.HOUR + datetime.timedelta(minutes=15)}]
    with straight.settled(tmp_path, database.address):
        advice = "STRANDLINE_PERIOD is hour, .* another length, 15 minutes: set STRANDLINE_PERIOD=15 minutes again"
        with pytest.raises(ledger.PeriodChanged, match=advice):
            straight.Ingestion("another").run()
