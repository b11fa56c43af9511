"""Reports of windows: what is compared, judged, recorded and asked for, on a real ledger and real predictions."""

import datetime
import json
import os
import re

import drift_windows as drifting
import psycopg
import pyarrow.parquet as pq
import pytest
from drift_windows import FIRST, HOUR, ingest, rows, worse
from written_reports import written

from strandline import ledger, settings
from strandline.drift import evidently_report, schedule
from strandline.drift import report as drift
from strandline.labels import load as labels
from strandline.models import versions
from strandline.periods import WindowError

pytestmark = pytest.mark.usefixtures("database")
verdicts_alone = pytest.mark.usefixtures("without_evidently")


@pytest.fixture
def version(database, tmp_path) -> str:
    return drifting.register(tmp_path)


@pytest.fixture
def without_evidently(monkeypatch) -> None:
    """Leaves out the page that is for orientation: it takes most of a report's time, and no verdict comes of it."""
    nothing = evidently_report.Comparison("", (), {})
    monkeypatch.setattr(evidently_report, "compare", lambda reference, current: nothing)


def asked(run_ids, **kwargs):
    return schedule.list_windows([run_ids] if isinstance(run_ids, str) else run_ids, **kwargs)


def report(run_id, dag_run="report 1"):
    """Of the only window of a run of `ingest_images`."""
    (window,) = asked(run_id)
    return drift.report(dag_run, window)


def hours(version, kinds, first=FIRST, count=300, **kwargs):
    """Report an hour for each letter: clean or bad; what came of each."""
    reports = []
    for number, kind in enumerate(kinds):
        hour = first + number * HOUR
        run_id = ingest(version, hour, rows(count, number, worse if kind == "b" else None), **kwargs)
        reports.append(report(run_id, f"report of {hour}"))
    return reports


def content(found):
    page = written(found.page)
    return json.loads((page.parent / "report.json").read_text())


def recorded():
    with ledger.connect("ingest") as connection:
        return connection.execute("SELECT * FROM drift_reports ORDER BY report_id").fetchall()


def say(name, run_id, wrong=0.6, rows=None):
    """Load a label file for the images of a run: so many of the predictions were wrong."""
    with ledger.connect("ingest") as connection:
        found = connection.execute(
            "SELECT image_id, label FROM predictions WHERE run_id = %s ORDER BY image_id", (run_id,)
        ).fetchall()[:rows]
    other = dict(zip(drifting.CLASSES, [*drifting.CLASSES[1:], drifting.CLASSES[0]], strict=True))
    told = [other[row["label"]] if n % 10 < 10 * wrong else row["label"] for n, row in enumerate(found)]
    path = settings.get().labels.folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{row['image_id']},{label}" for row, label in zip(found, told, strict=True)]
    path.write_text("\n".join(["image_id,label", *lines]) + "\n")
    still = path.stat().st_mtime - settings.get().ingest.stable_seconds - 1
    os.utime(path, (still, still))
    assert labels.load(f"labels {name}").accepted == len(found)


def follow(name):
    """What report_drift does where an event wakes it: a report of each window that is due."""
    return [drift.report(f"{name} {window.start}", window) for window in asked([])]


def test_a_clean_hour_gets_a_report_and_no_alarm(version):
    found = report(ingest(version, FIRST, rows(400), truth="same"))
    assert (found.action, found.live, found.requests_retraining) == ("none", True, False)
    said = content(found)
    assert said["window"] == {
        "start": "2026-11-20T00:00:00+00:00",
        "end": "2026-11-20T01:00:00+00:00",
        "images": 400,
        "compared": 400,
        "labelled": 400,
    }
    assert said["drift"]["realized"]["estimate"]["value"] == 1.0
    different = said["drift"]["rows"]  # a few images of the source are nearly the same
    assert 390 <= different <= 400
    assert sum(said["predicted"]["current"]) == different
    assert sum(said["confidence"]["current"]) == pytest.approx(1)
    assert sum(point["images"] for point in said["calibration"]) == different
    assert {column["column"] for column in said["columns"]} >= {"brightness", "confidence", "label"}
    assert said["column_p_values"]["brightness"] > 0.01
    (row,) = recorded()
    assert row["report"] == said
    assert (row["images"], row["compared"], row["labelled"], row["replaces"]) == (400, 400, 400, None)
    page = settings.get().store / row["folder"] / "index.html"
    assert found.sentence in page.read_text()


@verdicts_alone
def test_bad_images_are_watched_and_then_asked_to_be_retrained_for(version, monkeypatch):
    first, second = hours(version, "bb", truth="cat")
    assert (first.action, second.action) == ("warn", "retrain")
    assert second.requests_retraining
    assert [row["asks"] for row in recorded()] == [True, True]
    assert content(second)["column_p_values"]["brightness"] < 1e-6


@verdicts_alone
def test_a_changed_mix_asks_a_person(version):
    found = []
    for number in range(3):
        hour = FIRST + number * HOUR
        found.append(report(ingest(version, hour, rows(200, number, label="dog")), f"report {number}"))
    assert {one.action for one in found} == {"warn"}
    assert "A person should say whether this mix is expected" in found[-1].sentence


@verdicts_alone
def test_without_labels_retraining_waits(version):
    _, second = hours(version, "bb")
    assert second.action == "retrain"
    assert not second.requests_retraining
    assert "0 labelled images, and 500 are needed" in second.held_back


@verdicts_alone
def test_requests_keep_the_cooldown_and_the_budget(version, monkeypatch):
    monkeypatch.setenv("STRANDLINE_RETRAIN_MIN_LABELS", "1")
    settings.get.cache_clear()
    *_, second, third = hours(version, "bbb", truth="cat")
    assert second.requests_retraining
    assert third.action == "retrain"
    assert "requested a short while ago" in third.held_back
    monkeypatch.setenv("STRANDLINE_RETRAIN_COOLDOWN_HOURS", "0")
    settings.get.cache_clear()
    fourth, fifth = hours(version, "bb", FIRST + 3 * HOUR, truth="cat")
    assert fourth.requests_retraining
    assert "requested 2 times in 7 days" in fifth.held_back


@verdicts_alone
def test_labels_that_come_late_make_a_verdict_and_a_request(version):
    assert [one.action for one in hours(version, "ccc", count=420)] == ["none"] * 3
    runs = [f"run of {FIRST + number * HOUR:%Y-%m-%dT%H}" for number in range(2)]
    assert follow("nothing said") == []
    for run_id in runs:
        say(run_id, run_id)
    first, second = follow("labels came")
    assert (first.action, first.live, first.requests_retraining) == ("warn", True, False)
    assert (second.action, second.live, second.requests_retraining) == ("retrain", True, True)
    assert re.search("Accuracy on 4[12]. labelled images fell from 91% to 40%", second.sentence)
    assert "2 of the last 5 windows" in second.sentence
    said = content(second)
    assert (said["reopened"], said["window"]["labelled"]) == (True, 420)
    assert [row["asks"] for row in recorded()] == [False, False, False, True, True]
    assert follow("again") == []  # once


@verdicts_alone
def test_labels_of_hours_may_come_in_any_order(version):
    hours(version, "cc")
    say("second", f"run of {FIRST + HOUR:%Y-%m-%dT%H}")
    (second,) = follow("second")
    say("first", f"run of {FIRST:%Y-%m-%dT%H}")
    (first,) = follow("first")
    assert (second.action, first.action, first.requests_retraining) == ("warn", "retrain", True)


@verdicts_alone
def test_a_window_waits_until_it_has_enough_labels_and_then_asks_once(version, monkeypatch):
    monkeypatch.setenv("STRANDLINE_DRIFT_MIN_LABELS", "150")
    settings.get.cache_clear()
    run_id = ingest(version, FIRST, rows(300, 1, worse))
    assert report(run_id).action == "warn"
    say("few", run_id, rows=140)
    assert follow("few") == []
    say("most", run_id, rows=160)
    (judged,) = follow("most")
    assert re.search("Accuracy on 1[56]. labelled images fell", judged.sentence)
    assert judged.live
    say("all", run_id)
    assert follow("all") == []
    (window,) = asked(run_id)
    again = drift.report("again", window)
    assert (again.live, content(again)["not_live"][-20:]) == (False, "was reported before.")
    other = ingest(version, FIRST + HOUR, rows(300, 2, worse))
    say("other", other)
    assert "so far 2 did" not in (found := report(other, "other")).sentence
    assert found.action == "retrain"  # the window counts once in it, by its latest live report
    assert "2 of the last 5 windows" in found.sentence


@verdicts_alone
def test_labels_reopen_no_window_by_answers_about_uncertain_images_or_after_a_month(version, monkeypatch):
    monkeypatch.setenv("STRANDLINE_DRIFT_MIN_LABELS", "30")
    settings.get.cache_clear()
    run_id = ingest(version, FIRST, rows(120))
    report(run_id)
    labels.choose_audit([run_id])
    with ledger.connect("ingest") as connection:
        for image in connection.execute("SELECT image_id FROM audit_images").fetchall():
            labels.record(image["image_id"], "frog", "ann")
    assert follow("answers") == []  # 20 of them are of a random sample
    say("all", run_id)
    monkeypatch.setenv("STRANDLINE_DRIFT_LABEL_DAYS", "0")
    settings.get.cache_clear()
    assert follow("late") == []
    monkeypatch.setenv("STRANDLINE_DRIFT_LABEL_DAYS", "30000")
    settings.get.cache_clear()
    assert [one.live for one in follow("in time")] == [True]


@verdicts_alone
def test_a_backfilled_hour_never_alarms(version):
    hours(version, "b", truth="cat")
    run_id = ingest(version, FIRST + HOUR, rows(300, 5, worse), truth="cat", kind="backfill")
    found = report(run_id, "report of the backfill")
    assert (found.action, found.live) == ("warn", False)
    assert recorded()[-1]["asks"]


@verdicts_alone
def test_a_report_that_a_person_asked_for_first_takes_no_alarm_away(version):
    run_id = ingest(version, FIRST, rows(120))
    drift.report("by hand", schedule.list_windows([], start="2026-11-20T00")[0])
    assert report(run_id).live


@verdicts_alone
def test_an_hour_before_one_that_was_reported_never_alarms(version):
    hours(version, "bb", FIRST + HOUR, truth="cat")
    found = report(ingest(version, FIRST, rows(300, 9, worse), truth="cat", kind="manual"), "an old hour")
    assert (found.action, found.live) == ("warn", False)


@verdicts_alone
def test_a_window_that_has_not_begun_is_not_live_and_silences_no_other(version, database):
    """A mistyped year: its report was live, and none after it for as many years."""
    future = FIRST.replace(year=2096)
    assert not report(ingest(version, future, rows(120)), "the year 2096").live
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE drift_reports SET live = true")  # as it was recorded before
    assert report(ingest(version, FIRST, rows(120, 1)), "now").live


@verdicts_alone
def test_a_report_made_again_says_so_and_never_alarms(version):
    _, live = hours(version, "bb", truth="cat")
    (window,) = schedule.list_windows([], start=f"{FIRST + HOUR:%Y-%m-%dT%H}")
    again = drift.report("by hand", window)
    assert (again.action, again.live) == ("warn", False)
    assert content(again)["replaces"]["report_id"] == live.report_id
    assert recorded()[-1]["replaces"] == live.report_id
    assert again.page != live.page


@verdicts_alone
def test_reporting_again_in_the_same_run_changes_nothing(version):
    run_id = ingest(version, FIRST, rows(300))
    first = report(run_id)
    assert report(run_id) == first
    assert len(recorded()) == 1


@verdicts_alone
def test_an_hour_that_was_reported_too_early_counts_once_it_is_over(version):
    start = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    early = report(ingest(version, start, rows(150), kind="manual"), "too early")
    assert early.live
    later = report("run of " + f"{start:%Y-%m-%dT%H}", "again, and still too early")
    assert later.live
    assert content(later)["replaces"]["report_id"] == early.report_id


@verdicts_alone
def test_another_model_than_the_champion_never_alarms(version, tmp_path):
    other = drifting.register(tmp_path / "other", **{"MODEL_CARD.md": b"another"})
    found = [report(ingest(other, FIRST + n * HOUR, rows(300, n, worse), truth="cat"), f"{n}") for n in range(2)]
    assert [one.live for one in found] == [False, False]
    assert {one.model_version for one in found} == {other}


@verdicts_alone
def test_runs_that_close_while_one_waits_are_reported_with_it(version):
    _, first, second, third = (ingest(version, FIRST + number * HOUR, rows(120, number)) for number in range(4))
    windows = asked(first)
    assert [window.start[11:13] for window in windows] == ["01", "02", "03"]
    drift.report("report 1", windows[1])
    assert [window.start[11:13] for window in asked(first)] == ["01", "03"]
    assert [window.start[11:13] for window in asked([second, third])] == ["02", "03"]  # it asks for both


@verdicts_alone
def test_late_files_have_their_hour_reported_again(version, monkeypatch):
    (first,) = hours(version, "c")
    run_id = ingest(version, FIRST + HOUR, rows(250, 2), late=100)
    of_late, own = asked(run_id)
    assert [of_late.alarms, own.alarms] == [False, True]
    again, live = (drift.report("report 2", window) for window in (of_late, own))
    assert content(again)["window"]["images"] == 400
    assert content(again)["replaces"]["report_id"] == first.report_id
    assert content(live)["window"]["images"] == 150
    monkeypatch.setattr(schedule, "LATE_WINDOWS", 0)
    assert asked(run_id) == [own]


@verdicts_alone
def test_late_files_have_their_quarter_of_an_hour_reported_again(version, monkeypatch):
    monkeypatch.setenv("STRANDLINE_PERIOD", "15 minutes")
    settings.get.cache_clear()
    of_late, _ = asked(ingest(version, FIRST + HOUR, rows(40, 2), late=20))
    window = {"start": FIRST.isoformat(), "end": (FIRST + datetime.timedelta(minutes=15)).isoformat()}
    assert {side: getattr(of_late, side) for side in window} == window
    found = drift.report("report", of_late)
    assert found.window == f"{FIRST:%Y-%m-%dT%H}00"
    (last,) = schedule.list_windows(None, start=f"{FIRST:%Y-%m-%dT%H}:45")
    assert last.end == (FIRST + HOUR).isoformat()


@verdicts_alone
def test_frames_of_one_scene_count_once(version):
    found = report(ingest(version, FIRST, [row for row in rows(60) for _ in range(5)], truth="same"))
    assert (found.action, found.live) == ("none", True)
    assert "the window has 300 images, 60 of them different from each other" in found.sentence
    said = content(found)
    assert (said["window"]["labelled"], said["drift"]["realized"]["labelled"]) == (300, 60)
    assert said["problems"] == [
        "Of 300 images, 240 are near duplicates of others, as the frames of one scene are: 60 scenes count, each once."
    ]
    with ledger.connect("ingest") as connection:
        (row,) = connection.execute("SELECT near_duplicates FROM reporting.drift").fetchall()
    assert row["near_duplicates"] == 240


def test_a_report_says_what_each_source_sent(version):
    """Where there are several; the verdict is of the whole window."""
    one = report(ingest(version, FIRST, rows(150), truth="same", sources=["shop1"]))
    assert content(one)["sources"] == []
    assert "Each source" not in written(one.page).read_text()

    cats = [row for pair in zip(rows(150, 1), rows(150, 2, label="cat"), strict=True) for row in pair]
    found = report(ingest(version, FIRST + HOUR, cats, truth="cat", sources=["shop1", "camera-7"]), "report 2")
    sources = {source["source"]: source for source in content(found)["sources"]}
    assert {name: source["images"] for name, source in sources.items()} == {"shop1": 150, "camera-7": 150}
    assert sum(source["rows"] for source in sources.values()) == content(found)["drift"]["rows"]
    shop, camera = sources["shop1"], sources["camera-7"]
    assert shop["label_shift_p_value"] > 0.05 > 0.01 > camera["label_shift_p_value"]
    assert camera["predicted"][drifting.CLASSES.index("cat")] == camera["rows"]
    assert camera["accuracy"]["estimate"]["value"] == 1.0 > shop["accuracy"]["estimate"]["value"]
    assert "<bdi>camera-7</bdi>" in written(found.page).read_text()


def test_an_empty_window_says_so(version):
    found = report(ingest(version, FIRST, []))
    assert (found.action, found.sentence) == ("none", "Not enough data: the window has no predictions.")
    assert not found.live
    assert content(found)["not_live"].startswith("There are no images to judge")
    late = report(ingest(version, FIRST, rows(120), run_id="its files came late"), "report 2")
    assert late.live
    assert written(found.page).is_file()
    assert content(found)["drift"] is None


def test_one_class_only_gets_a_report(version):
    found = report(ingest(version, FIRST, rows(150, label="frog"), truth="frog"))
    assert found.action == "warn"
    assert "frog makes up" in found.sentence


@verdicts_alone
def test_answers_about_uncertain_images_say_nothing_of_the_rest(version):
    run_id = ingest(version, FIRST, rows(120))
    assert labels.choose_audit([run_id]).asked == 40
    with ledger.connect("ingest") as connection:
        chosen = connection.execute("SELECT image_id, chosen FROM audit_images").fetchall()
    for image in chosen:
        labels.record(image["image_id"], "frog", "ann")
    found = report(run_id)
    assert content(found)["window"]["labelled"] == sum(image["chosen"] == "random" for image in chosen)


def test_labels_that_the_model_does_not_know_are_named(version):
    found = report(ingest(version, FIRST, rows(120), truth="</script><script>alert(1)</script>"))
    said = content(found)
    assert said["window"]["labelled"] == 0
    assert "no class for (</script><script>alert(1)</script>)" in said["problems"][0]
    assert "<script>alert(1)" not in written(found.page).read_text()


@pytest.mark.parametrize("missing", ["reference.parquet", "metrics.json"])
def test_a_missing_reference_says_so(tmp_path, missing):
    version = drifting.register(tmp_path, **{missing: None})
    found = report(ingest(version, FIRST, rows(120)))
    assert (found.action, found.live) == ("none", True)
    assert "Nothing to compare with: model cifar_resnet20_v1 was registered without" in found.sentence
    assert content(found)["drift"] is None


def test_a_reference_that_is_older_than_a_statistic_says_so(tmp_path):
    older = tmp_path / "older.parquet"
    pq.write_table(drifting.halves()[0].drop_columns("sharpness"), older)
    version = drifting.register(tmp_path, **{"reference.parquet": older.read_bytes()})
    said = content(report(ingest(version, FIRST, rows(120))))
    (column,) = [one for one in said["columns"] if one["column"] == "sharpness"]
    assert (column["score"], column["problem"]) == (None, "The reference has no values.")
    assert "brightness" in said["column_p_values"]
    assert "sharpness" not in said["column_p_values"]


@verdicts_alone
def test_a_large_window_is_sampled(version, monkeypatch):
    monkeypatch.setattr("strandline.drift.windows.COMPARED", 200)
    found = report(ingest(version, FIRST, rows(300)))
    said = content(found)
    assert (said["window"]["images"], said["window"]["compared"]) == (300, 200)
    assert "Of 300 images, 200 are compared" in said["problems"][0]


def test_files_that_are_gone_are_named_and_nothing_is_recorded(version):
    run_id = ingest(version, FIRST, rows(120))
    (gone,) = settings.get().run_folder(run_id).glob("classify/*/*/predictions.parquet")
    gone.unlink()
    with pytest.raises(WindowError, match=r"predictions\.parquet is missing"):
        report(run_id)
    assert recorded() == []


def test_settings_that_allow_no_alarm_are_named(version, monkeypatch):
    run_id = ingest(version, FIRST, rows(120))
    monkeypatch.setenv("STRANDLINE_FALSE_ALARMS_A_WEEK", "0.001")
    settings.get.cache_clear()
    with pytest.raises(WindowError, match="allow more false alarms"):
        report(run_id)


def test_windows_that_a_person_asks_for(version):
    (window,) = schedule.list_windows([], start="2026-11-20T00", end="2026-11-21T00")
    assert (window.start, window.end) == ("2026-11-20T00:00:00+00:00", "2026-11-21T00:00:00+00:00")
    (last,) = schedule.list_windows(None)
    end = datetime.datetime.fromisoformat(last.end)
    assert datetime.timedelta(0) <= datetime.datetime.now(datetime.UTC) - end < 2 * HOUR
    with pytest.raises(WindowError, match="full hours"):
        drift.report(
            "by hand",
            schedule.AskedWindow("2026-11-20T01:00:00+00:00", "2026-11-20T00:00:00+00:00", None, alarms=False),
        )
    with pytest.raises(versions.VersionError, match="is registered"):
        drift.report(
            "by hand",
            schedule.AskedWindow("2026-11-20T00:00:00+00:00", "2026-11-20T01:00:00+00:00", "0" * 64, alarms=False),
        )


@verdicts_alone
def test_a_day_is_one_window(version):
    hours(version, "cc")
    (window,) = schedule.list_windows([], start="2026-11-20T00", end="2026-11-21T00")
    found = drift.report("by hand", window)
    assert found.window == "2026-11-20T00--2026-11-21T00"
    assert content(found)["window"]["images"] == 600
