"""How well drift is found: `make bench-drift` writes docs/drift-evaluation.md, and `.strandline/bench-drift.json`.

Windows are drawn from test images of CIFAR-10, as they are and changed in known ways (`drift_images` makes
them, in the vision environment), and judged by the statistics that judge real windows. The first windows of each kind
are judged by Evidently's default preset, too.
"""

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from numpy.random import Generator
from numpy.typing import NDArray

import strandline_contract as contract
from local.bench import drift_page as bench_drift_page
from local.bench.drift_page import BUDGET, Found, Kind, Pool
from strandline import settings
from strandline.drift import detectors, near_duplicates, verdict, windows
from strandline.drift.detectors.sample import Sample
from strandline.stats import multiplicity

PAGE = settings.REPOSITORY / "docs" / "drift-evaluation.md"
CHAMPION = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
SEED = 7
EVIDENTLY = 8  # windows of a kind that Evidently judges, a second each
SMALL_REFERENCE = 1000  # up to so many reference rows, Evidently uses other methods
COLUMNS = (  # that Evidently is given
    *contract.IMAGE_STATISTICS,
    *("width", "height", "bytes", "confidence", "margin", "entropy", "label"),
)
UNTOUCHED: Pool = ("untouched", 0.0)
FRAME = "frame"  # the change of which each strength is a frame of the same images

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Mixer = Callable[[Generator, Sequence[str]], Floats]


@dataclass(frozen=True)
class Images:
    """Rows that windows are drawn from."""

    data: windows.Data
    tuned: bool = False

    @property
    def truth(self) -> Integers:
        """True class indices [n]."""
        known = self.data.sample.truth
        assert known is not None, "images of unknown classes"
        return known

    def rows(self, chosen: Integers) -> "Images":
        return Images(self.data.rows(chosen), self.tuned)


@dataclass(frozen=True)
class Material:
    """What all windows are made of. `everything` are the untouched images, with those of the reference."""

    classes: tuple[str, ...]
    confusion: Integers
    reference: Images
    pools: dict[Pool, Images]
    everything: Images


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--windows", type=float, default=1, help="of each kind, times this; a small share is a quick look"
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--images", type=Path, help="of an earlier run; made again unless given")
    parser.add_argument(
        "--bursts", action="store_true", help="nothing but windows of near duplicates; prints their table"
    )
    arguments = parser.parse_args()
    config = settings.load()
    started = time.perf_counter()
    path = arguments.images or images(config, [UNTOUCHED[0], FRAME] if arguments.bursts else [])
    kinds = [kind for kind in plan(load(path), arguments.windows) if kind.frames > 1 or not arguments.bursts]
    found = evaluate(path, kinds, config.vision.cores)
    if arguments.bursts:
        print(bench_drift_page.bursts(found))
        return 0
    minutes = (time.perf_counter() - started) / 60
    figures = [{"kind": dataclasses.asdict(k), "windows": [dataclasses.asdict(w) for w in f]} for k, f in found]
    contract.write_json(config.home / "bench-drift.json", {"minutes": minutes, "kinds": figures})
    arguments.page.write_text(bench_drift_page.page(found), encoding="utf-8")
    print(f"{arguments.page}, in {minutes:.0f} minutes; all figures: {config.home / 'bench-drift.json'}")
    return 0


def images(config: settings.Settings, changes: Sequence[str]) -> Path:
    """The file of images with these changes, or with all, made again."""
    path = config.home / "bench-drift" / "images.parquet"
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True)
    folders = settings.REPOSITORY, settings.REPOSITORY / "plugins", settings.REPOSITORY / "docker" / "vision"
    command = [str(config.vision.python), "-m", "local.bench.drift_images", str(path)]
    command += ["--changes", *changes] if changes else []
    subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}, check=True)
    return path


def load(path: Path) -> Material:
    classes = tuple(json.loads((CHAMPION / contract.CLASSES_FILE).read_bytes()))
    table = pq.read_table(path)
    conditions = dict.fromkeys(zip(table["change"].to_pylist(), table["strength"].to_pylist(), strict=True))
    pools = {
        (change, strength): table.filter((pc.field("change") == change) & (pc.field("strength") == strength))
        for change, strength in conditions
    }
    reference = _images(pq.read_table(CHAMPION / contract.REFERENCE_FILE), classes)
    return Material(
        classes,
        np.array(json.loads((CHAMPION / contract.METRICS_FILE).read_bytes())["confusion"]),
        reference.rows(near_duplicates.distinct(reference.data, reference.data)),
        {pool: _images(rows.filter(rows["held_out"]), classes) for pool, rows in pools.items()},
        _images(pools[UNTOUCHED], classes),
    )


def _images(table: Any, classes: Sequence[str]) -> Images:
    indices = {name: index for index, name in enumerate(classes)}
    predicted, truth = (
        np.array([indices[name] for name in table[column].to_pylist()]) for column in ("label", contract.TRUE_LABEL[0])
    )
    probabilities, embeddings = (
        table[name].combine_chunks().flatten().to_numpy().reshape(len(predicted), -1)
        for name in ("probabilities", "embedding")
    )
    sample = Sample(predicted, probabilities.astype(np.float64), embeddings, truth)
    data = windows.Data(sample, {name: table[name].to_numpy().astype(np.float64) for name in windows.MEASURES})
    return Images(data, "tuned" in table.column_names and table["tuned"][0].as_py())


def plan(material: Material, times: float = 1) -> list[Kind]:
    """The kinds of windows, in the order of the page. `times` as many of each as usual, at least 2."""

    def kind(section: str, name: str, count: int, **more: Any) -> Kind:
        return Kind(section, name, max(2, round(count * times)), **{"evidently": EVIDENTLY} | more)

    changes: dict[str, list[float]] = {}
    for change, strength in material.pools:
        changes.setdefault(change, []).append(strength)
    del changes[UNTOUCHED[0]]
    frames = changes.pop(FRAME, [])
    kinds = [
        kind("untouched", "untouched, the champion's reference", 500, evidently=40, small_reference=True),
        kind("untouched", "untouched, test images split again", 500, split=True, evidently=0),
    ]
    kinds += [kind("mix", mix, 80, mix=mix, split=True, small_reference=True) for mix in MIXES]
    for change, strengths in changes.items():
        for strength in strengths:
            tuned = material.pools[change, strength].tuned
            section = "tuned" if tuned else "untuned"
            kinds.append(kind(section, f"{change} {strength:g}", 30, pool=(change, strength), small_reference=tuned))
    for change, strengths in changes.items():
        pool = change, strengths[len(strengths) // 2]
        section = "both, tuned" if material.pools[pool].tuned else "both, untuned"
        kinds.append(kind(section, f"{change} {pool[1]:g}, any mix", 30, pool=pool, mix="any mix"))
    small: dict[str, dict[str, Any]] = {
        "untouched": {"split": True},
        "half cats": {"split": True, "mix": "half cats"},
        "darker 0.5": {"pool": ("darker", 0.5)},
    }
    for (name, more), rows in itertools.product(small.items(), (50, 100, 200)):
        count = 100 if name == "untouched" else 30
        kinds.append(kind("small", f"{name}, {rows} images", count, rows=rows, **more))
    bursts: tuple[tuple[str, tuple[int, int], int, dict[str, Any]], ...] = (
        ("", (120, 300), 200, {}),
        (", frames split again", (120, 300), 200, {"split": True}),
        (", every frame counted", (60, 300), 30, {"scenes": False}),
    )
    for name, sizes, count, more in bursts if frames else ():
        for scenes in sizes:
            about = {"rows": scenes, "frames": len(frames), "evidently": 0} | more
            kinds.append(kind("bursts", f"{scenes} scenes{name}", count, **about))
    return kinds


def evaluate(path: Path, kinds: Sequence[Kind], processes: int) -> list[tuple[Kind, list[Found]]]:
    """What was found in the windows of each kind."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"  # a process a core is enough
    os.environ["DO_NOT_TRACK"] = "true"
    total, started, done = sum(kind.windows for kind in kinds), time.perf_counter(), 0
    results = []
    with multiprocessing.get_context("spawn").Pool(processes, _open, (path,)) as workers:
        judged = workers.imap(_detect, ((kind, index) for kind in kinds for index in range(kind.windows)), chunksize=2)
        for kind in kinds:
            results.append((kind, list(itertools.islice(judged, kind.windows))))
            done += kind.windows
            minutes = (time.perf_counter() - started) / 60
            print(f"{done:,} of {total:,} windows, {minutes:.1f} min: {kind.name}", file=sys.stderr, flush=True)
    return results


_material: Material  # of a worker process


def _open(path: Path) -> None:
    global _material
    _material = load(path)


def _detect(work: tuple[Kind, int]) -> Found:
    return detect(_material, *work)


def detect(material: Material, kind: Kind, index: int) -> Found:
    """Draw a window of this kind, and say what is found in it."""
    rng = np.random.default_rng([SEED, index, *kind.name.encode()])
    reference, pool = material.reference, material.pools[kind.pool]
    free = np.arange(len(pool.truth))
    if kind.split and kind.frames > 1:
        order = rng.permutation(len(pool.truth))
        half = len(order) // 2
        reference, free = _frames(material, order[:half], rng, every=False), order[half:]
        pool = pool.rows(free)
    elif kind.split:
        order = rng.permutation(len(material.everything.truth))
        half = len(reference.truth)
        reference, pool = material.everything.rows(order[:half]), material.everything.rows(order[half:])
    mix = MIXES[kind.mix](rng, material.classes) if kind.mix else None
    rows = draw(pool.truth, mix, kind.rows, rng)
    window = pool.rows(rows) if kind.frames == 1 else _frames(material, free[rows], rng)
    if kind.scenes:
        window = window.rows(near_duplicates.distinct(window.data, reference.data))
    sample, truth = window.data.sample, window.truth
    alpha = multiplicity.alpha_per_window(BUDGET.weekly_false_alarms, BUDGET.weekly_windows, detectors.TESTS)
    drift = detectors.measure(sample, reference.data.sample, material.confusion, alpha, truth, index)
    labelled = verdict.decide(drift, material.classes)
    unlabelled = verdict.decide(dataclasses.replace(drift, realized=None), material.classes)
    estimate = drift.estimated.estimate
    preset = preset_small = None
    if index < kind.evidently:
        preset = evidently_drift(window, reference, material.classes)
        if kind.small_reference:
            few = rng.choice(len(reference.truth), SMALL_REFERENCE, replace=False)
            preset_small = evidently_drift(window, reference.rows(few), material.classes)
    return Found(
        label_shift=unlabelled.label_shift,
        embedding_drift=unlabelled.embedding_drift,
        fell=unlabelled.accuracy_fell,
        asks=unlabelled.asks,
        fell_by_labels=labelled.accuracy_fell,
        true=float((sample.predicted == truth).mean()),
        usual=drift.estimated.expected,
        estimate=estimate.value,
        low=estimate.low,
        high=estimate.high,
        evidently=preset,
        evidently_small=preset_small,
        images=len(truth),
    )


def _frames(material: Material, rows: Integers, rng: Generator, every: bool = True) -> Images:
    """All frames of these images, in random order; or any one of each, in theirs."""
    parts = [pool.rows(rows) for (change, _), pool in material.pools.items() if change == FRAME]
    of = [part.data.sample for part in parts]
    names = [field.name for field in dataclasses.fields(Sample)]
    sample = Sample(*(np.concatenate([getattr(one, name) for one in of]) for name in names))
    measures = {name: np.concatenate([one.data.measures[name] for one in parts]) for name in windows.MEASURES}
    all_frames = Images(windows.Data(sample, measures))
    one_each = rng.integers(len(parts), size=len(rows)) * len(rows) + np.arange(len(rows))
    return all_frames.rows(rng.permutation(len(sample)) if every else one_each)


def draw(truth: Integers, mix: Floats | None, rows: int, rng: Generator) -> Integers:
    """Row numbers of a window, each at most once, whose true classes are drawn with these shares; None: any rows.

    Raises:
        ValueError: there are not so many rows of a class.
    """
    if mix is None:
        return rng.choice(len(truth), rows, replace=False)
    counts = rng.multinomial(rows, mix)
    return np.concatenate(
        [rng.choice(np.flatnonzero(truth == one), count, replace=False) for one, count in enumerate(counts)]
    )


def evidently_drift(window: Images, reference: Images, classes: Sequence[str]) -> tuple[bool, float]:
    """What Evidently's preset of drift says with nothing set: whether the data drifted, and the share of columns."""
    definition = DataDefinition(numerical_columns=list(COLUMNS[:-1]), categorical_columns=[COLUMNS[-1]])
    current, usual = (
        Dataset.from_pandas(of.data.frame(classes)[list(COLUMNS)], data_definition=definition)
        for of in (window, reference)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # width and height do not vary: their correlation is 0 / 0
        result = Report([DataDriftPreset()], include_tests=True).run(current, usual).dict()
    return result["tests"][0]["status"].name == "FAIL", float(result["metrics"][0]["value"]["share"])


def _mild_mix(rng: Generator, classes: Sequence[str]) -> Floats:
    return rng.dirichlet([10.0] * len(classes))


def _any_mix(rng: Generator, classes: Sequence[str]) -> Floats:
    """From nearly even to nearly one class; not so much of one that there are too few of it."""
    while (mix := rng.dirichlet([0.5] * len(classes))).max() > 0.9:
        pass
    return mix


def _shares(**named: float) -> Mixer:
    """These shares of these classes, and the rest of the others alike."""

    def mix(_: Generator, classes: Sequence[str]) -> Floats:
        rest = (1 - sum(named.values())) / (len(classes) - len(named))
        return np.array([named.get(name, rest) for name in classes])

    return mix


MIXES: dict[str, Mixer] = {
    "mild mix": _mild_mix,
    "any mix": _any_mix,
    "half cats": _shares(cat=0.5),
    "90% dogs": _shares(dog=0.9),
    "cats and dogs only": _shares(cat=0.5, dog=0.5),
    "vehicles only": _shares(airplane=0.25, automobile=0.25, ship=0.25, truck=0.25),
}

if __name__ == "__main__":
    sys.exit(main())
