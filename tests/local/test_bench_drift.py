"""The pieces of `make bench-drift`: changed images, windows drawn of them, what is found there, and the page."""

import dataclasses
import json
import os
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.bench import drift as bench_drift
from local.bench import drift_page as bench_drift_page
from local.bench.drift_page import Found, Kind
from local.stack import configuration
from strandline import settings

# Distances from the images as they are: at the strength where nothing changes, then at each of the change's own.
DISTANCES = """
import io, json
import numpy as np
from PIL import Image
from local.bench.drift_images import CHANGES

blots = np.random.default_rng(3).integers(0, 256, (40, 12, 12, 3), np.uint8)
images = np.array([np.asarray(Image.fromarray(one).resize((32, 32))) for one in blots])
neutral = {"darker": 1, "small files": 32, "jpeg": 100}

def distance(files):
    pixels = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB").resize((32, 32))) for one in files]
    return float(np.abs(np.array(pixels, int) - images).mean())

print(json.dumps({
    change.name: [distance(change.files(images, one)) for one in (neutral.get(change.name, 0), *change.strengths)]
    for change in CHANGES
}))
"""


def test_stronger_changes_change_more_and_the_neutral_ones_nothing():
    folders = configuration.PYTHONPATH, str(settings.REPOSITORY / "docker" / "vision")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    command = [settings.load().vision.python, "-c", DISTANCES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    distances = json.loads(done.stdout)
    assert distances.pop("untouched") == [0, 0]
    assert all(0 < found < 40 for found in distances.pop("frame"))  # blots of any colour, moved by a pixel
    assert all(found == sorted(set(found)) for found in distances.values()), distances
    assert distances.pop("jpeg")[0] < 15  # even the best quality loses a little
    assert all(found[0] == 0 for found in distances.values()), distances


@given(st.integers(0, 2**32), st.sampled_from([None, *bench_drift.MIXES]))
def test_a_window_has_the_mix_asked_for_and_no_row_twice(seed, name):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(10), 500))
    classes = json.loads((bench_drift.CHAMPION / "classes.json").read_bytes())
    mix = bench_drift.MIXES[name](rng, classes) if name else None
    rows = bench_drift.draw(truth, mix, 500, rng)
    assert len(set(rows.tolist())) == 500
    shares = np.bincount(truth[rows], minlength=10) / 500
    wanted = np.full(10, 0.1) if mix is None else mix
    assert wanted.sum() == pytest.approx(1)
    assert (shares[wanted == 0] == 0).all()
    assert np.abs(shares - wanted).max() < 6 * np.sqrt(0.25 / 500)


def test_a_mix_that_there_are_too_few_images_for_is_an_error():
    truth = np.repeat(np.arange(10), 20)
    with pytest.raises(ValueError, match="larger sample"):
        bench_drift.draw(truth, np.eye(10)[3], 50, np.random.default_rng(0))


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> bench_drift.Material:
    """Real predictions: half of the champion's reference profile stands for the reference, half for new images."""
    table = pq.read_table(bench_drift.CHAMPION / "reference.parquet")
    held_out = np.arange(table.num_rows) % 2 == 0
    table = table.set_column(table.column_names.index("true_label"), "true_label", table["label"])
    tables = []
    changes = [("untouched", 0.0, False), ("darker", 0.5, True), ("fog", 0.4, False)]
    for change, strength, tuned in [*changes, ("frame", 1.0, False), ("frame", 2.0, False)]:
        columns = {"change": change, "strength": strength, "tuned": tuned}
        for name, value in columns.items():
            table = table.drop_columns(name) if name in table.column_names else table
            table = table.append_column(name, pa.array([value] * table.num_rows))
        tables.append(table.append_column("held_out", pa.array(held_out)))
    path = tmp_path_factory.mktemp("bench-drift") / "images.parquet"
    pq.write_table(pa.concat_tables(tables), path)
    loaded = bench_drift.load(path)
    return dataclasses.replace(loaded, reference=loaded.everything.rows(np.flatnonzero(~held_out)))


def test_every_kind_of_window_is_judged_and_has_its_row(material):
    kinds = [dataclasses.replace(kind, rows=100, evidently=0) for kind in bench_drift.plan(material, 0)]
    kinds[0] = dataclasses.replace(kinds[0], evidently=1)
    results = [(kind, [bench_drift.detect(material, kind, 0)]) for kind in kinds]
    assert results[1][1] == [bench_drift.detect(material, kinds[1], 0)]
    (untouched,) = results[0][1]
    assert not untouched.anything
    assert untouched.evidently_small is not None
    for drifted, share in (untouched.evidently, untouched.evidently_small):
        assert drifted == (share >= 0.5)
    found = {kind.name: one for kind, (one,) in results}
    assert found["90% dogs"].label_shift
    assert found["90% dogs"].evidently is None
    assert all(one.true == 1 for one in found.values())  # as the test has it
    assert (found["300 scenes"].images, found["300 scenes, every frame counted"].images) == (100, 200)
    text = bench_drift_page.page(results)
    for kind in kinds:
        assert f"| {kind.name} | 1 |" in text


def test_the_page_counts_what_was_found():
    nothing = Found(False, False, False, False, False, 0.92, 0.92, 0.91, 0.88, 0.94, (False, 0.0), (True, 0.5))
    mix = dataclasses.replace(nothing, label_shift=True)
    images = Found(True, True, True, True, True, 0.5, 0.92, 0.7, 0.6, 0.8, (True, 0.7))
    missed = dataclasses.replace(nothing, fell_by_labels=True, true=0.86)
    results = [
        (Kind("untouched", "as they are", 10), [nothing] * 8 + [images] * 2),
        (Kind("mix", "half cats", 4), [mix] * 3 + [nothing]),
        (Kind("tuned", "darker 0.5", 4), [images] * 4),
        (Kind("untuned", "fog 0.4", 3), [images, nothing, missed]),
    ]
    text = bench_drift_page.page(results)
    lines, words = text.splitlines(), " ".join(text.split())
    assert "Made by `make bench-drift`, of 21 windows of real images." in text
    assert "found in 2 of 10 untouched windows: 20%, with a 95% interval of 2.5% to 56%, more than the" in words
    assert sum(line.startswith("| as they are | 10 | 2 (2.5%–56%) |") and line.endswith("| 1 |") for line in lines) == 1
    assert "| darker 0.5 | 4 | 100 | 100 | 100 | 100 | 100 | 50.0 | 92.0 | 70.0 | 20.0 | 0 | 4 of 4 | 70 |" in lines
    assert "| the mix alone | 4 | 25.0 | 75.0 | 0.0 | 0.0 | 0.0 |" in lines
    assert "| the images alone, other changes | 3 | 8.7 | +8.0 | 20.0 | 33% |" in lines
    assert "In 14% of the windows whose images alone had changed, labels showed a fall" in words
    assert "Most often so: fog 0.4, where 76% was true and 92% usual, and 33% of the windows asked." in words
    assert "| nothing | 0 of 8 | 0 | 8 of 8 | 50 |" in lines
    assert "{" not in text
