"""docs/drift-evaluation.md: what was found in the windows of `bench_drift`, in words and tables."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from strandline import settings
from strandline.drift import verdict
from strandline.stats import estimates
from strandline.stats.estimates import Estimate

BUDGET = settings.Settings()  # false alarms and persistence as they are unless they are set
TRUTHS = {  # section -> what is changed there, in the table of confusion
    "untouched": "nothing",
    "mix": "the mix alone",
    "tuned": "the images alone, tuned changes",
    "untuned": "the images alone, other changes",
    "both, tuned": "both, tuned changes",
    "both, untuned": "both, other changes",
}
HEADINGS = {
    "untouched": "Untouched",
    "mix": "The mix of classes alone",
    "tuned": "The images alone, changes that the statistics were tuned on",
    "untuned": "The images alone, changes that nothing was tuned on",
    "both, tuned": "Mix and images, tuned changes",
    "both, untuned": "Mix and images, other changes",
    "small": "Small windows",
    "bursts": "Unchanged images, five frames of each",
}

Pool = tuple[str, float]  # the change that was made to images, and how strong it is


@dataclass(frozen=True)
class Kind:
    """Windows of one kind. `split`: parted from the reference again for each, out of all test images. The first
    `evidently` of them are judged by Evidently, too, and with `small_reference` against fewer rows as well. Each of the
    `rows` comes in so many `frames`; then a `split` reference is of frames, too. With `scenes`, one of each scene
    counts, as it does in a real window.
    """

    section: str
    name: str
    windows: int
    pool: Pool = ("untouched", 0.0)
    mix: str | None = None
    rows: int = 500
    split: bool = False
    evidently: int = 0
    small_reference: bool = False
    frames: int = 1
    scenes: bool = True


@dataclass(frozen=True)
class Found:
    """In one window. `evidently`: whether it calls the data drifted, and the share of columns; None where not asked."""

    label_shift: bool
    embedding_drift: bool
    fell: bool
    asks: bool
    fell_by_labels: bool
    true: float
    usual: float
    estimate: float
    low: float
    high: float
    evidently: tuple[bool, float] | None = None
    evidently_small: tuple[bool, float] | None = None
    images: int = 0  # that were counted

    @property
    def anything(self) -> bool:
        return self.label_shift or self.embedding_drift or self.fell

    @property
    def silent(self) -> bool:
        return self.fell_by_labels and not self.asks

    @property
    def inside(self) -> bool:
        return self.low <= self.true <= self.high


Results = Sequence[tuple[Kind, Sequence[Found]]]


def page(results: Results) -> str:
    sections = {name: [result for result in results if result[0].section == name] for name in HEADINGS}
    windows = {name: [window for _, found in rows for window in found] for name, rows in sections.items()}
    tables = [
        f"### {HEADINGS[name]}\n\n{_detection(rows)}" for name, rows in sections.items() if rows and name != "bursts"
    ]
    return TEMPLATE.format(
        count=sum(map(len, windows.values())),
        asked=sum(one.evidently is not None for found in windows.values() for one in found),
        need=BUDGET.drift.min_windows,
        of=BUDGET.drift.last_windows,
        minimum=verdict.MINIMUM_ROWS,
        false_alarms=_false_alarms(sections["untouched"]),
        tables="\n\n".join(tables),
        confusion=_confusion(windows),
        errors=_errors(windows),
        evidently=_evidently(windows),
        bursts=bursts(sections["bursts"]),
        few_drifted=_drifted([one for kind, found in sections["small"] if _is_untouched(kind) for one in found]),
        **_alarms(windows["untouched"]),
        **_worst(sections["tuned"] + sections["untuned"]),
        **{
            f"{section}_{name}": share(windows[section])
            for section in ("untouched", "mix", "tuned", "untuned")
            for name, share in SHARES.items()
        },
    )


def _is_untouched(kind: Kind) -> bool:
    return kind.pool[0] == "untouched" and kind.mix is None


def _alarms(untouched: Sequence[Found]) -> dict[str, object]:
    alarms = sum(window.anything for window in untouched)
    exact = _exact(alarms, len(untouched))
    share = BUDGET.weekly_false_alarms / BUDGET.weekly_windows
    return {
        "weekly_alarms": BUDGET.weekly_false_alarms,
        "weekly_windows": BUDGET.weekly_windows,
        "budget": _p(share),
        "alarms": alarms,
        "untouched": len(untouched),
        "alarm_rate": _p(alarms / len(untouched)),
        "alarm_interval": f"{_p(exact.low)} to {_p(exact.high)}",
        "within": "more than" if exact.low > share else "less than" if exact.high < share else "in agreement with",
        "alarms_asking": sum(one.asks for one in untouched),
    }


def _worst(changed: Results) -> dict[str, str]:
    """Of windows with changed images alone."""
    every = [window for _, found in changed for window in found]
    worst, misjudged = max(changed, key=lambda row: _error(row[1]))
    quiet, unasked = max(changed, key=lambda row: _mean(row[1], "silent"))
    least, seldom = min(changed, key=lambda row: _mean(row[1], "embedding_drift"))
    return {
        "misread_mix": _share(every, "label_shift"),
        "worst": worst.name,
        "worst_estimate": _share(misjudged, "estimate"),
        "worst_true": _share(misjudged, "true"),
        "silent": _share(every, "silent"),
        "quiet": quiet.name,
        "quiet_true": _share(unasked, "true"),
        "quiet_usual": _share(unasked, "usual"),
        "quiet_asks": _share(unasked, "asks"),
        "harmless": _share([one for one in every if not one.fell_by_labels], "embedding_drift"),
        "least": least.name,
        "least_found": _share(seldom, "embedding_drift"),
    }


TEMPLATE = """# How well drift is found

Made by `make bench-drift`, of {count:,} windows of real images. All figures are of this code; an edit of this
page is lost at the next run.

## What to learn from it

- **False alarms**: something was found in {alarms} of {untouched:,} untouched windows: {alarm_rate}, with a 95%
  interval of {alarm_interval}, {within} the budget of {budget}. {alarms_asking} of them asked for a
  retraining.
- **Another mix of classes** was found in {mix_mix} of the windows where nothing else had changed. It was called
  a change of the images in {mix_images}, and asked for a retraining in {mix_asks}.
- **Changed images** were found in {tuned_images} of the windows with changes that the statistics were tuned
  on, some of them meant to be passed over, and in {untuned_images} of those with other changes.
- **Accuracy without labels** is off by {untouched_off} points on untouched images, {tuned_off} on tuned
  changes and {untuned_off} on others; its 95% interval held the truth in {untouched_inside}, {tuned_inside}
  and {untuned_inside} of the windows. Where images changed it is a reason to label some, not a measurement.
- **Evidently's default** called {untouched_drifted} untouched windows drifted ({few_drifted} of 50 to 200 images),
  {mix_drifted} with another mix, {tuned_drifted} with tuned changes of the images and {untuned_drifted} with
  others. It says which columns drifted, but not whether classes or images changed, nor what that costs.

## Where the method is weak

- **Changed images change what is predicted.** The mix was called changed in {misread_mix} of the windows
  whose images alone had changed. Beside changed images, a changed mix is a guess, and the verdict says so.
- **Nothing bounds the error of the estimated accuracy** where images changed. Worst here: {worst}, where it
  was estimated at {worst_estimate} and was {worst_true}.
- **Not every fall asks for a retraining without labels.** In {silent} of the windows whose images alone had
  changed, labels showed a fall, and without them the window did not ask. Most often so: {quiet}, where {quiet_true} was
  true and {quiet_usual} usual, and {quiet_asks} of the windows asked.
- **What the model reacts to is found, harmful or not.** Where images had changed and labels showed no fall, the
  images were found changed in {harmless} of the windows. Least often found: {least}, in {least_found}.
- **Not tested here**: images of no known class.

## How the windows are made

- The images are CIFAR-10's 10,000 test images; the champion was trained on none of them. The reference is the
  champion's profile, 5,000 of them. Windows are drawn from the other 5,000, each image at most once in a
  window. Where only the mix changes, and where a table says so, all 10,000 are parted again for each window.
- Images are changed first and written as files: PNG, unless the change is one of the file. Then they are
  packed and classified by the commands that the product runs: predictions, embeddings and image statistics are
  its own.
- Changes that the statistics were chosen and tuned on. **darker**: brightness times this. **blur**: Gaussian,
  sigma in pixels. **noise**: Gaussian, in levels of 255. **jpeg**: of this quality. **colour**: red times 1 +
  this, blue times 1 - this. **jpeg 95**: this share of the files is JPEG of quality 95, which the reference has
  not. Up to half, as in the files of `make drop`, it is meant to pass for too little to matter.
- Changes that nothing was tuned on. **fog**: this share of light grey. **dead stripe**: this share of the
  columns black. **small files**: this many pixels a side instead of 32. **turned**: this share of the images
  by a quarter.
- **mild mix** and **any mix** are drawn for each window, from Dirichlet distributions with parameters 10 and
  0.5 (here no class has more than 0.9). In **half cats** and **90% dogs** the other classes share the rest.
- Each window is judged as a live one is, at {weekly_alarms:g} expected false alarm in {weekly_windows} windows
  a week. Seeds are fixed: window n of a kind is the same in every run, but for floating-point sums that differ
  between machines.
- Windows of a kind share images: they tell a little less than as many windows of different images would.
- Evidently: `DataDriftPreset()` with nothing set, on brightness, contrast, saturation, sharpness, width,
  height, bytes, confidence, margin, entropy and predicted label. It judges the first windows of each kind,
  {asked:,} in all.

## False alarms

{false_alarms}

In brackets: exact (Clopper-Pearson) 95% intervals. **Anything**: mix, images or accuracy was found changed.
**Asks**: the window by itself asks for a retraining. **Retrain**: it does, and with it {need} of the last {of}.

## Detection

**Mix**, **images**, **accuracy**: found changed, or fallen, in so many percent of the windows. **Asks**:
asked for a retraining. **Labels**: accuracy was found to have fallen when all labels were known. **True**,
**usual**, **estimated**: mean accuracy, what the champion has in such a mix, and what was estimated without
labels. **Off**: mean absolute error of the estimate, in points. **Inside**: its 95% interval held the true
accuracy. **Evidently**: windows that its default preset calls drifted, of those that it judged; **columns**:
the mean share of columns that it calls so.

{tables}

Windows of fewer than {minimum} images get no verdict.

## Bursts

{bursts}

**Counted**: the mean number of images that count. **Wrongly** changed: mix, images or accuracy was found changed in
windows of unchanged images, with an exact 95% interval. A scene is an image; its frames are moved by up to a pixel
either way, with noise of one level of 255. **Frames split again**: the reference is made of frames too, one each of
half of the images, and scenes come from the other half: nothing has changed. Against the champion's reference, moved
edges and noise are a change of their own. The rows in which every frame counts show what would come of it: no window
of the product is judged so.

## Mix or images?

What had changed (rows) and what was found (columns), in percent of the windows of 500 images.

{confusion}

## Accuracy without labels

In points, of windows of 500 images.

{errors}

## Evidently's default and the size of the reference

The same windows against the whole reference and against 1,000 rows of it. Up to so many, Evidently's default
compares by tests (p < 0.05), above by distances (0.1 or more).

{evidently}
"""


def _false_alarms(rows: Results) -> str:
    flags = ("anything", "label_shift", "embedding_drift", "fell", "asks")
    lines = [
        f"| {kind.name} | {len(found)} | {' | '.join(_rate(found, name) for name in flags)} | {_persistent(found)} |"
        for kind, found in rows
    ]
    header = _header("windows | n | anything | mix | images | accuracy | asks | retrain")
    return "\n".join([*header, *lines])


def bursts(rows: Results) -> str:
    """The table of windows of near duplicates."""
    flags = ("anything", "label_shift", "embedding_drift", "fell")
    lines = [
        f"| {kind.name} | {len(found)} | {_mean(found, 'images'):.0f} of {kind.rows * kind.frames:,} |"
        f" {' | '.join(_rate(found, name) for name in flags)} |"
        for kind, found in rows
    ]
    return "\n".join([*_header("windows | n | counted | wrongly changed | mix | images | accuracy"), *lines])


def _persistent(found: Sequence[Found]) -> int:
    """Retrainings that would be due if these windows came one after the other."""
    asks = [window.asks for window in found]
    history = itertools.accumulate(([asked] for asked in asks), list.__add__)
    return sum(verdict.persistent(one, BUDGET.drift.min_windows, BUDGET.drift.last_windows) for one in history)


def _detection(rows: Results) -> str:
    flags = ("label_shift", "embedding_drift", "fell", "asks", "fell_by_labels")
    names = "windows | n | mix | images | accuracy | asks | labels | true | usual | estimated | off | inside"
    lines = []
    for kind, found in rows:
        cells = [kind.name, str(len(found)), *(f"{100 * _mean(found, name):.0f}" for name in flags)]
        cells += [f"{100 * _mean(found, name):.1f}" for name in ("true", "usual", "estimate")]
        cells += [_off(found), f"{100 * _mean(found, 'inside'):.0f}", _drifted(found), _columns(found)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*_header(f"{names} | Evidently | columns"), *lines])


def _confusion(windows: dict[str, list[Found]]) -> str:
    columns: dict[str, Callable[[Found], bool]] = {
        "nothing": lambda one: not one.anything,
        "mix": lambda one: one.label_shift and not one.embedding_drift,
        "images": lambda one: one.embedding_drift and not one.label_shift,
        "mix and images": lambda one: one.label_shift and one.embedding_drift,
        "accuracy alone": lambda one: one.fell and not (one.label_shift or one.embedding_drift),
    }
    lines = [
        f"| {name} | {len(found):,} | "
        + " | ".join(f"{100 * sum(map(column, found)) / len(found):.1f}" for column in columns.values())
        + " |"
        for name, found in ((name, windows[section]) for section, name in TRUTHS.items())
        if found
    ]
    return "\n".join([*_header(f"changed | n | {' | '.join(columns)}"), *lines])


def _errors(windows: dict[str, list[Found]]) -> str:
    lines = []
    for section, name in TRUTHS.items():
        if found := windows[section]:
            bias = 100 * (_mean(found, "estimate") - _mean(found, "true"))
            furthest = 100 * max(abs(window.estimate - window.true) for window in found)
            cells = [f"{len(found):,}", _off(found), f"{bias:+.1f}", f"{furthest:.1f}", _share(found, "inside")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    names = "changed | n | mean absolute error | mean error | largest error | inside the interval"
    return "\n".join([*_header(names), *lines])


def _evidently(windows: dict[str, list[Found]]) -> str:
    lines = []
    for section, name in TRUTHS.items():
        if found := [window for window in windows[section] if window.evidently_small]:
            small = [one.evidently_small for one in found]
            lines.append(
                f"| {name} | {_drifted(found)} | {_columns(found)} | {_verdicts(small)} | {_columns_of(small)} |"
            )
    names = "changed | whole reference: drifted | columns | 1,000 rows: drifted | columns"
    return "\n".join([*_header(names), *lines])


def _drifted(found: Sequence[Found]) -> str:
    return _verdicts([window.evidently for window in found])


def _columns(found: Sequence[Found]) -> str:
    return _columns_of([window.evidently for window in found])


def _verdicts(evidently: Sequence[tuple[bool, float] | None]) -> str:
    known = [one for one in evidently if one]
    return f"{sum(drifted for drifted, _ in known)} of {len(known)}" if known else ""


def _columns_of(evidently: Sequence[tuple[bool, float] | None]) -> str:
    known = [one for one in evidently if one]
    return f"{100 * sum(share for _, share in known) / len(known):.0f}" if known else ""


def _header(names: str) -> list[str]:
    return [f"| {names} |", "|---" * (names.count("|") + 1) + "|"]


def _mean(found: Sequence[Found], name: str) -> float:
    return sum(float(getattr(window, name)) for window in found) / len(found) if found else 0.0


def _error(found: Sequence[Found]) -> float:
    return sum(abs(window.estimate - window.true) for window in found) / len(found) if found else 0.0


def _off(found: Sequence[Found]) -> str:
    return f"{100 * _error(found):.1f}"


def _share(found: Sequence[Found], name: str) -> str:
    return _p(_mean(found, name))


def _rate(found: Sequence[Found], name: str) -> str:
    count = sum(getattr(window, name) for window in found)
    exact = _exact(count, len(found))
    return f"{count} ({_p(exact.low)}–{_p(exact.high)})"


def _exact(count: int, of: int) -> Estimate:
    return estimates.share(count, of, (1 - estimates.LEVEL) / 2)


def _p(share: float) -> str:
    """In percent, with a decimal where it is small or nearly all."""
    percent = 100 * share
    return f"{percent:.1f}%" if percent < 10 or 99 <= percent < 100 else f"{percent:.0f}%"


SHARES: dict[str, Callable[[Sequence[Found]], str]] = {
    "mix": lambda found: _share(found, "label_shift"),
    "images": lambda found: _share(found, "embedding_drift"),
    "asks": lambda found: _share(found, "asks"),
    "inside": lambda found: _share(found, "inside"),
    "off": _off,
    "drifted": _drifted,
}
