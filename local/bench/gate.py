"""How often the gate errs: `make bench-gate`. Simulated gates of challengers that are known to be as good as the
champion, or worse by so much; the tables stand in docs/gate.md.

`predict` runs in the vision environment: the champion classifies CIFAR-10's test images as they are, and with a colour
cast. `simulate` draws gates from that. On each image drawn, a coin says whose answer is the champion's and whose the
challenger's: so the two are equally good, and disagree as often as two models do. A coin that is loaded on the images
that one of them has right makes the challenger worse by exactly so much.
"""

import argparse
import functools
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from strandline import settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from strandline.promotion.comparison import LabelledSet
    from strandline.promotion.gate import Gate
    from strandline.promotion.rules import Rules

MILD, STRONG = 0.15, 0.3  # colour casts: of red up and blue down
HOLDOUT = 10_000
CASES = (  # the rule of the recent set, its labels, how much worse the challenger is
    ("non-inferior", 1_000, 0.0),
    ("non-inferior", 1_000, 0.02),
    ("superior", 1_000, 0.0),
    ("superior", 1_000, -0.02),
    ("superior", 1_000, 0.02),
    ("non-inferior", 1_000, 0.01),
)
SINGLE = ((HOLDOUT, 0.01), (500, 0.02), (1_000, 0.02), (2_000, 0.02), (5_000, 0.02))  # labels, margin
LOSSES = (0.0, 0.005, 0.01, 0.02)
DRAWS = 4_000  # of a single check: it takes a millisecond


class Pool(NamedTuple):
    """Images with their true classes [n] and the probabilities [n, classes] that two models gave."""

    truth: "NDArray[np.int64]"
    one: "NDArray[np.float32]"
    other: "NDArray[np.float32]"

    @property
    def agreement(self) -> float:
        return float((self.one.argmax(axis=1) == self.other.argmax(axis=1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("predict", "simulate"))
    parser.add_argument("--predictions", type=Path, default=settings.get().home / "bench-gate.npz")
    parser.add_argument("--gates", type=int, default=1_000, help="for each row of the tables")
    arguments = parser.parse_args()
    if arguments.step == "predict":
        predict(arguments.predictions)
        return
    for pool in read(arguments.predictions):
        print(single_table(pool))
        print(table(pool, arguments.gates))


def predict(path: Path) -> None:
    """What the champion makes of the test images, as they are and with either cast."""
    config = settings.get()
    os.environ["OMP_NUM_THREADS"] = str(config.vision.cores)  # before MXNet is imported
    import strandline_contract as contract
    from local.demo import cifar
    from vision import backends
    from vision.models import bundles

    folder = settings.REPOSITORY / "models/cifar_resnet20_v1"
    ref = contract.BundleRef("models/cifar_resnet20_v1", contract.sha256_file(folder / contract.BUNDLE_MANIFEST))
    classify = backends.start(bundles.load(settings.REPOSITORY, ref), config.vision.runtime())
    pixels, truth = cifar.load("test", config.home / "cache" / "cifar10", config.local.cifar_archive)
    casts = {"none": 0.0, "mild": MILD, "strong": STRONG}
    answers: dict[str, Any] = {
        name: classify((pixels * np.array([1 + cast, 1, 1 - cast])).clip(0, 255).astype(np.uint8))[0]
        for name, cast in casts.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, truth=truth, **answers)


def read(path: Path) -> tuple[Pool, Pool]:
    """Two models that agree as a champion and its fine-tuned successor do, and two that agree less."""
    with np.load(path) as arrays:
        truth, one = arrays["truth"], arrays["none"]
        return Pool(truth, one, arrays["mild"]), Pool(truth, one, arrays["strong"])


def draw(pool: Pool, rows: int, loss: float, rng: np.random.Generator) -> "LabelledSet":
    """Images drawn with replacement; the challenger's accuracy is below the champion's by `loss`."""
    from strandline.promotion.comparison import Answers, LabelledSet

    one_right, other_right = (side.argmax(axis=1) == pool.truth for side in (pool.one, pool.other))
    drawn = rng.integers(len(pool.truth), size=rows)
    toward_champion = 0.5 + loss / (2 * (one_right != other_right).mean())
    # How likely the champion's answer is the first model's.
    chance = np.where(one_right == other_right, 0.5, np.where(one_right, toward_champion, 1 - toward_champion))[drawn]
    first = (rng.random(rows) < chance)[:, None]
    one, other = pool.one[drawn], pool.other[drawn]
    champion, challenger = (
        Answers(given.argmax(axis=1), given) for given in (np.where(first, one, other), np.where(first, other, one))
    )
    cameras = rng.integers(4, size=rows)
    slices = {f"source=camera{camera}": cameras == camera for camera in range(4)}
    return LabelledSet([str(row) for row in range(rows)], pool.truth[drawn], champion, challenger, slices)


def simulate(pool: Pool, rules: "Rules", recent: int, loss: float, gates: int, holdout: int = HOLDOUT) -> "list[Gate]":
    """Gates of challengers that are worse by `loss`, on holdout and recent set, and as fast as the champion."""
    from strandline.promotion.check import InfraValidation
    from strandline.promotion.gate import examine

    names = [str(index) for index in range(pool.one.shape[1])]
    found = []
    for seed in range(gates):
        rng = np.random.default_rng([seed, recent, round(1e4 * (1 + loss))])
        seconds = rng.lognormal(-8, 0.03, (2, 7))
        golden = pool.one[:8]
        validation = InfraValidation(True, seconds[0], seconds[1], golden, golden)
        sets = draw(pool, holdout, loss, rng), draw(pool, recent, loss, rng)
        found.append(examine(names, *sets, validation, rules, seed))
    return found


def single_table(pool: Pool) -> str:
    """Markdown: how often the check of a margin alone comes to which outcome."""
    from strandline.promotion.rules import Rules
    from strandline.stats.paired import Pairs

    alpha, rng = Rules().alpha, np.random.default_rng(1)
    one_right, other_right = (side.argmax(axis=1) == pool.truth for side in (pool.one, pool.other))
    differ = float((one_right != other_right).mean())
    lines = [("labels", "margin", "difference", "passes", "fails"), ("---",) * 5]
    for labels, margin in SINGLE:
        for loss in LOSSES:
            drawn = rng.multinomial(labels, [(differ - loss) / 2, (differ + loss) / 2, 1 - differ], DRAWS)
            found = [Pairs(labels, gained, lost).interval(alpha) for gained, lost, _ in drawn.tolist()]
            passes, fails = sum(recent.low >= -margin for recent in found), sum(one.high < -margin for one in found)
            row = (f"{labels:,}", f"{100 * margin:.0f}", f"{0 - 100 * loss:+.1f}")
            lines.append((*row, f"{passes / DRAWS:.1%}", f"{fails / DRAWS:.1%}"))
    about = f"Agreement {pool.agreement:.1%}, one alone is right on {differ:.1%}, {DRAWS:,} draws a row"
    return "\n".join([f"\n{about}\n", *(f"| {' | '.join(line)} |" for line in lines)])


def table(pool: Pool, gates: int) -> str:
    """Markdown: how often a gate, and its checks, come to which outcome."""
    head = ("recent rule", "labels", "difference", "gate passes", "lacks evidence", "fails", "holdout passes", "fails")
    with ProcessPoolExecutor(settings.get().vision.cores) as executor:
        rows = executor.map(functools.partial(_row, pool, gates), CASES)
        lines = [head, ["---"] * len(head), *rows]
    about = f"Agreement {pool.agreement:.1%}, {gates:,} gates a row, {HOLDOUT:,} holdout images"
    return "\n".join([f"\n{about}\n", *(f"| {' | '.join(line)} |" for line in lines)])


def _row(pool: Pool, gates: int, case: tuple[Any, int, float]) -> list[str]:
    from strandline.promotion.rules import Rules

    rule, labels, loss = case
    found = simulate(pool, Rules(recent_rule=rule), labels, loss, gates)
    outcomes = Counter(gate.outcome for gate in found)
    checks = Counter((check.name, check.outcome) for gate in found for check in gate.checks)
    missed = {f"{name}: {outcome}": count for (name, outcome), count in checks.most_common() if outcome != "pass"}
    print(case, dict(outcomes), missed, file=sys.stderr)
    counts = [outcomes["pass"], outcomes["not enough evidence"], outcomes["fail"]]
    counts += [checks["holdout", "pass"], checks["holdout", "fail"]]
    return [rule, f"{labels:,}", f"{0 - 100 * loss:+.0f}", *(f"{count / gates:.1%}" for count in counts)]


if __name__ == "__main__":
    main()
