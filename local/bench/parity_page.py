"""docs/parity.md: what `local.bench.parity` found of each runtime."""

import strandline_contract as contract
from strandline.parity import decision
from strandline.stats.paired import Pairs

TEXT = """# Parity

The same network is computed by different libraries, and in different precisions. Whether that makes a difference is
measured: `check_parity` runs a model version by every backend and precision beside the reference, MXNet in f32 (of an
[imported model](how-to/own-model.md), ONNX Runtime), on its golden images and on the labelled images of the holdout.

| | to pass, a runtime has to show |
|---|---|
| f32 | at least {f32:.2%} of the labels are the reference's, and no probability, of the holdout or of a golden image, \
is more than {tolerance:g} off |
| bf16 | at least {bf16:.2%} of the labels are the reference's; accuracy is at most {margin:.1f} points lower, by \
the gate's own test of pairs (Tango's score interval, each limit at {alpha:.1%}); no probability of a golden image is \
more than {golden:g} off |

Whether labels and probabilities pass is decided by what was measured: the same weights and pixels have to say the same,
and chance has no part in it. Accuracy is of images to come, so bf16 has to be shown not to be worse, beyond chance. If
no image is lost that takes about 2,000 labelled images, and more if some are lost and others gained; with fewer the
outcome is *not enough evidence*, with how many it takes. That is not a pass.

A row of `model_parity` keeps each outcome, `reporting.parity` shows them, and the last one of a version in a runtime
counts ([architecture](architecture.md#runners)). It is of the libraries and the kind of processor that it was measured
with: trigger `check_parity` again after an update, or when hosts of another kind classify.

## The first champion

Written by `make parity`: {name} on CIFAR-10's {images:,} test images, by {threads} cores of {processor}.{busy}

| | outcome | equal labels | largest difference | of golden images | accuracy | points more than MXNet | \
only it right, only MXNet | images/s |
|---|---|---|---|---|---|---|---|---|
| mxnet f32, the reference | | | | | {accuracy:.2%} | | | {rate:,.0f} |
{rows}

{gains}

## To use bf16

1. Trigger `check_parity` for the champion, and look at the log of its task `record`.
2. If it passed, set `STRANDLINE_PRECISION=bf16` where the scheduler and the workers run, and start them again. From
   then on, a version that did not pass is refused with a sentence, before an image is touched.
3. From now on `retrain_model` compares what it has trained before it registers it, and the gate compares both models in
   bf16. A challenger that was registered before, or imported, takes a `check_parity` of its own.

A bundle's metrics and its reference profile are measured in f32, whatever is set, and drift reports compare bf16 with
that. Measured on the first champion, with 20 windows of 1,000 test images against 5,000 others in f32: the p-value of
embedding drift was 0.57 in the mean for windows in f32 and for the same ones in bf16, and moved by 0.06 at the most.

A replay classifies in the precision that a window was classified in. The way back is to take the setting out.
"""
BUSY = "\nIt was busy with other work (a load of {load:.0f} on {threads} cores): its speeds say little."
LATER = "How much faster bf16 is, a machine says that is not busy."
GAIN = "bf16 classified {bf16:.1f} times as many images a second as f32 by the same library."


def render(name: str, report: contract.ParityReport, load: float) -> str:
    """The page of what was found, on a machine that had so many processes to run beside it."""
    compared = [one.agreement for one in report.found if one.agreement]
    if not compared:
        raise ValueError(f"no runtime but the reference is there: {'; '.join(str(one.reason) for one in report.found)}")
    threads = report.reference.threads
    busy = load > threads / 2
    return TEXT.format(
        f32=decision.EQUAL_LABELS["f32"],
        bf16=decision.EQUAL_LABELS["bf16"],
        tolerance=contract.TOLERANCES["f32"],
        golden=contract.TOLERANCES["bf16"],
        margin=100 * decision.MARGIN,
        alpha=decision.ALPHA,
        name=name,
        images=compared[0].images,
        threads=threads,
        processor=report.processor,
        busy=BUSY.format(load=load, threads=threads) if busy else "",
        accuracy=(compared[0].both_right + compared[0].reference_right) / compared[0].images,
        rate=report.reference_images_per_second,
        rows="\n".join(map(_row, report.found)),
        gains=LATER if busy else _gain(report),
    )


def _row(found: contract.RuntimeParity) -> str:
    name, agreement = f"{found.runtime.backend} {found.runtime.precision}", found.agreement
    if agreement is None:
        return f"| {name} | {' '.join(str(found.reason).split()).replace('|', '/')} | | | | | | | |"
    pairs = Pairs(agreement.images, agreement.runtime_right, agreement.reference_right)
    difference = pairs.interval(decision.ALPHA)
    points = [f"{100 * one:+.2f}" for one in (difference.value, difference.low, difference.high)]
    golden = "" if agreement.golden_difference is None else f"{agreement.golden_difference:.0e}"
    cells = [
        name,
        decision.decide(found.runtime.precision, agreement).outcome,
        f"{agreement.equal_labels / agreement.images:.2%}",
        f"{agreement.largest_difference:.0e}",
        golden,
        f"{(agreement.both_right + agreement.runtime_right) / agreement.images:.2%}",
        f"{points[0]} ({points[1]} to {points[2]})".replace("-", "−"),
        f"{agreement.runtime_right}, {agreement.reference_right}",
        f"{agreement.images_per_second:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _gain(report: contract.ParityReport) -> str:
    rates = {
        f"{one.runtime.backend} {one.runtime.precision}": one.agreement.images_per_second
        for one in report.found
        if one.agreement
    }
    f32, bf16 = rates.get("openvino f32"), rates.get("openvino bf16")
    return GAIN.format(bf16=bf16 / f32) if f32 and bf16 else "This processor does not compute in bf16."
