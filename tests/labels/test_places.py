"""How people and their tools name a file, and the paths that such a name may stand for."""

import datetime

import pytest

from strandline import settings
from strandline.labels.places import places

HOUR = datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)
WHOLE = "2026-11-21T08/cat/a b.jpg"


@pytest.mark.parametrize(
    "name",
    [
        WHOLE,
        f"./{WHOLE}",
        f" {WHOLE} ",
        f"images/landing/{WHOLE}",
        f"/srv/images/landing/{WHOLE}",
        f"s3://bucket/landing/{WHOLE}",
        f"https://host/landing/{WHOLE.replace(' ', '%20')}?X-Amz-Signature=1#top",
        f"file:///srv/landing/{WHOLE}",
        f"/data/local-files/?d=landing/{WHOLE.replace(' ', '%20')}",
        "C:\\landing\\2026-11-21T08\\cat\\a b.jpg",
        "\\\\server\\landing\\2026-11-21T08\\cat\\a b.jpg",
    ],
)
def test_a_path_with_an_hour_is_a_whole_path_wherever_the_landing_zone_lies(name):
    hour, found = places(name)
    assert hour == HOUR
    assert WHOLE in found
    assert all("2026-11-21T08" in place.split("/")[:2] for place in found)


@pytest.mark.parametrize("name", [f"shop1/{WHOLE}", f"/srv/landing/shop1/{WHOLE}", f"s3://shop1/{WHOLE}"])
def test_the_folder_before_the_hour_is_the_source_or_around_the_landing_zone(name):
    assert places(name) == (HOUR, [f"shop1/{WHOLE}", WHOLE])


@pytest.mark.parametrize(
    ("period", "name", "start"),
    [
        ("15 minutes", "/srv/2026-11-21T0815/cat/1.jpg", HOUR.replace(minute=15)),
        ("15 minutes", "s3://bucket/dt=2026-11-21/hour=08/minute=20/1.jpg", HOUR.replace(minute=15)),
        ("day", "/srv/2026-11-21/cat/1.jpg", HOUR.replace(hour=0)),
        ("day", "/srv/2026/11/21/08/cat/1.jpg", HOUR.replace(hour=0)),
    ],
)
def test_a_path_states_the_period_that_is_set(monkeypatch, period, name, start):
    monkeypatch.setenv("STRANDLINE_PERIOD", period)
    settings.get.cache_clear()
    try:
        assert places(name)[0] == start
    finally:
        settings.get.cache_clear()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("0098.jpg", ["0098.jpg"]),
        ("cat/0098.jpg", ["cat/0098.jpg"]),
        ("cat\\0098.jpg", ["cat\\0098.jpg", "cat/0098.jpg"]),
        ("/home/ada/images/0098.jpg", ["0098.jpg"]),
        ("../images/0098.jpg", ["0098.jpg"]),
        ("C:\\images\\0098.jpg", ["C:\\images\\0098.jpg", "0098.jpg"]),
        ("/data/upload/1/3f2a91bc-0098.jpg", ["3f2a91bc-0098.jpg", "0098.jpg"]),
        ("upload/12/3f2a91bc-0098.jpg", ["3f2a91bc-0098.jpg", "0098.jpg"]),
        ("3f2a91bc-0098.jpg", ["3f2a91bc-0098.jpg", "0098.jpg"]),
        ("3f2a91bcd-0098.jpg", ["3f2a91bcd-0098.jpg"]),
        ("cat/3f2a91bc-0098.jpg", ["cat/3f2a91bc-0098.jpg"]),
        ("s3://bucket/in/0098.jpg", ["0098.jpg"]),
        ("s3://bucket/in/what?.jpg", ["what?.jpg"]),
        ("a%20b.jpg", ["a%20b.jpg", "a b.jpg"]),
        (
            "0098_jpg.rf.0c3f1a2b4d5e6f708192a3b4c5d6e7f8.jpg",
            ["0098_jpg.rf.0c3f1a2b4d5e6f708192a3b4c5d6e7f8.jpg", "0098.jpg"],
        ),
        ("e\u0301.jpg", ["\xe9.jpg"]),
        ("17", ["17"]),
        ("/", []),
        ("x" * 5000, []),
    ],
)
def test_a_path_without_an_hour_is_the_end_of_one_and_from_elsewhere_a_name(name, found):
    assert places(name) == (None, found)
