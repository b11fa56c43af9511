"""Settings: every one from the environment, and a sentence for each that cannot be used."""

import dataclasses
import datetime
import re
from pathlib import Path

import pytest

import strandline_contract as contract
from strandline import settings

DOCUMENT = settings.REPOSITORY / "docs" / "settings.md"


def test_defaults_need_no_environment():
    assert settings.load({}).landing == settings.REPOSITORY / "images" / "landing"


def test_a_setting_comes_from_the_environment():
    loaded = settings.load({"STRANDLINE_API_PORT": "9000", "STRANDLINE_LANDING": "/data/in", "STRANDLINE_RUNNER": ""})
    assert (loaded.local.api_port, loaded.landing, loaded.vision.runner) == (9000, Path("/data/in"), "process")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRANDLINE_API_PORT", "eighty"),
        ("STRANDLINE_QUARANTINE_LIMIT", "1.5"),
        ("STRANDLINE_QUARANTINE_LIMITS must give each source a share", "shop1=1.5"),
        ("STRANDLINE_QUARANTINE_LIMITS", "shop1"),
        ("STRANDLINE_QUARANTINE_LIMITS", "shop1=half"),
        ("STRANDLINE_QUARANTINE_LIMITS", "shop1=nan"),
        ("STRANDLINE_QUARANTINE_LIMITS", "=0.5"),
        ("STRANDLINE_DEVICE", "abacus"),
        ("STRANDLINE_PERIOD", "fortnight"),
        ("STRANDLINE_SHARD_SIZE", "0"),
        ("STRANDLINE_FORMATS", "JPEG,JXL"),
        ("STRANDLINE_FORMATS", " , "),
        ("STRANDLINE_VERSION_FIELDS", "ctime,mtime"),
        ("STRANDLINE_PERSISTENCE_NEED", "6"),
        ("STRANDLINE_RETRAIN_MINUTES", "nan"),
        ("STRANDLINE_APPROVERS", " , "),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name, value):
    with pytest.raises(settings.SettingsError, match=name):
        settings.load({name.split()[0]: value})


def test_sources_have_limits_of_their_own():
    assert settings.load({}).ingest.source_limits == {}
    given = settings.load({"STRANDLINE_QUARANTINE_LIMITS": "shop1=0.5, source=camera 7=0.05,"})
    assert given.ingest.source_limits == {"shop1": 0.5, "source=camera 7": 0.05}


@pytest.mark.parametrize(
    ("name", "value", "must"),
    [
        ("VANISHED_LIMIT", "-0.1", "at least 0 and at most 1"),
        ("RETRAIN_REHEARSAL_SHARE", "1.0", "at least 0 and below 1"),
        ("RETRAIN_INTERPOLATION", "0.0", "above 0 and at most 1"),
        ("API_PORT", "65536", "at least 1 and at most 65,535"),
        ("DEVICE", "abacus", "cpu or gpu"),
    ],
)
def test_a_value_out_of_bounds_is_told_them(name, value, must):
    with pytest.raises(settings.SettingsError, match=f"^STRANDLINE_{name}={value}: it must be {must}$"):
        settings.load({f"STRANDLINE_{name}": value})


@pytest.mark.parametrize("environment", [{"STRANDLINE_BACKEND": "onnxruntime"}, {"STRANDLINE_DEVICE": "gpu"}])
def test_a_precision_that_the_backend_does_not_have_is_refused(environment):
    says = "STRANDLINE_PRECISION=bf16: onnxruntime computes in f32 alone; set STRANDLINE_BACKEND=openvino, on a CPU"
    with pytest.raises(settings.SettingsError, match=says):
        settings.load({"STRANDLINE_PRECISION": "bf16"} | environment)
    assert settings.load({"STRANDLINE_PRECISION": "bf16"}).vision.runtime().precision == "bf16"


def test_bounds_hold_for_what_is_set_in_code_too():
    with pytest.raises(settings.SettingsError, match="STRANDLINE_SLOTS=0"):
        dataclasses.replace(settings.Settings().vision, slots=0)


def test_no_two_settings_have_one_variable():
    documented = re.findall(r"^\| `(\w+)`", settings.document(), re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == settings.Settings().variables().keys()


def test_formats_and_their_limits_reach_the_decoder():
    assert settings.load({}).decoding.limits == contract.Limits()
    given = {"FORMATS": "jpeg, heif,jpeg", "MAX_PIXELS": "9", "MAX_JPEG_PIXELS": "8", "MAX_METADATA_BYTES": "7"}
    limits = settings.load({f"STRANDLINE_{name}": value for name, value in given.items()}).decoding.limits
    assert (limits.formats, limits.max_metadata_bytes) == (("JPEG", "HEIF"), 7)
    assert (limits.max_pixels, limits.max_jpeg_pixels) == (9, 9)  # never less than of any other format


@pytest.mark.parametrize(("period", "windows"), [("15 minutes", 672), ("hour", 168), ("day", 7)])
def test_what_follows_from_the_period_unless_it_is_said(period, windows):
    given = {"STRANDLINE_PERIOD": period}
    assert settings.load(given).weekly_windows == windows
    assert settings.load(given).weekly_false_alarms == (4 if period == "15 minutes" else 1)
    assert settings.load(given).label_patience == datetime.timedelta(hours=72 if period == "day" else 3)
    given |= {"STRANDLINE_WINDOWS_A_WEEK": "5", "STRANDLINE_LABEL_PATIENCE_HOURS": "0"}
    assert settings.load(given).weekly_windows == 5
    assert settings.load(given).label_patience == datetime.timedelta(0)


def test_run_folders_are_readable_and_never_shared():
    config = settings.load({})
    one, two = config.run_folder("manual__2026-11-21T08:00:00"), config.run_folder("manual__2026-11-21T08_00_00")
    assert one != two
    assert one.name.startswith("manual_2026-11-21T08_00_00-")
    assert config.run_folder("../" * 40).parent == config.store / "runs"


def test_the_document_is_of_these_settings():
    assert DOCUMENT.read_text() == settings.document(), "run make docs"
