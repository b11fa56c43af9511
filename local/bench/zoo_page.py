"""docs/zoo.md: what `local.bench.zoo` found of each network."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CLOSE = 1e-4  # between probabilities in f32, as golden images are compared
TEXT = """# GluonCV's image classifiers

Written by `make zoo`. Of GluonCV's {count} image classifiers, {working} work here: they become a bundle with
`model.onnx`, every backend of a CPU runs it, and in f32 each gives MXNet's labels, and its probabilities within
{close:g}. For the others, the table has the reason. `make zoo ONLY="resnet50_v1b vgg16"` measures some of them again.

**Parity**: {batch} images, and weights that a seed made, not trained ones. Three figures, each of the backend that is
farthest from MXNet: the largest difference of a probability; how many labels are equal; the largest difference of an
embedding, as a share of its largest value. In bf16 labels may differ where two classes are nearly as probable, as they
are by such weights: what bf16 costs a trained network, only a holdout says.

**Speed**: images/s, in batches of {batch}, for half a second or more, by {machine}. {busy}

| network | side | parameters, M | embedding | f32 | bf16 | MXNet | OpenVINO | OpenVINO bf16 | ONNX Runtime |
|---|---|---|---|---|---|---|---|---|---|
{rows}
"""
BUSY = """It was busy with
other work (a load of {load:.0f} on {cores} cores, in the median): at best, these are ratios of a network's backends."""


def write(path: Path, lines: Sequence[dict[str, Any]], batch: int, machine: str, cores: int) -> None:
    """A page of what was found of each network, with the machine it was found on."""
    load = statistics.median([line["load"] for line in lines if "load" in line] or [0])
    page = TEXT.format(
        count=len(lines),
        working=sum(works(line, batch) for line in lines),
        close=CLOSE,
        batch=batch,
        machine=machine,
        busy=BUSY.format(load=load, cores=cores) if load > 2 * cores else "",
        rows="\n".join(_row(line) for line in lines),
    )
    path.write_text(page)


def works(line: dict[str, Any], batch: int) -> bool:
    """Whether all backends were as good as MXNet in f32."""
    found = _parity(line, "f32")
    return found is not None and found[0] <= CLOSE and found[1] == batch


def outcome(line: dict[str, Any]) -> str:
    """A line for who waits."""
    if "reason" in line:
        return str(line["reason"])
    rates = ", ".join(f"{name} {_rate(line, name)}" for name in line["backends"])
    return f"f32 {_shown(_parity(line, 'f32'))}; images/s {rates}"


def _row(line: dict[str, Any]) -> str:
    if "reason" in line:
        return f"| {line['name']} | {line.get('side', '')} | {_cell(line['reason'])} | | | | | | | |"
    cells = [line["name"], line["side"], f"{line['parameters'] / 1e6:.1f}", line["embedding"]]
    cells += [_shown(_parity(line, precision)) for precision in ("f32", "bf16")]
    cells += [_rate(line, name) for name in ("mxnet f32", "openvino f32", "openvino bf16", "onnxruntime f32")]
    return f"| {' | '.join(map(str, cells))} |"


def _parity(line: dict[str, Any], precision: str) -> tuple[float, int, float] | None:
    """Of the backends of a precision the farthest from MXNet: probability, labels, embedding; None if one failed."""
    of_precision = {name: found for name, found in line.get("backends", {}).items() if name.endswith(f" {precision}")}
    others = [found for name, found in of_precision.items() if name != "mxnet f32"]
    if not others or any("reason" in found for found in of_precision.values()):
        return None
    probability, embedding = (max(found[name] for found in others) for name in ("probability", "embedding"))
    return probability, min(found["labels"] for found in others), embedding


def _shown(parity: tuple[float, int, float] | None) -> str:
    return f"{parity[0]:.0e}, {parity[1]}, {parity[2]:.0e}" if parity else "-"


def _rate(line: dict[str, Any], backend: str) -> str:
    found = line["backends"][backend]
    return _cell(found["reason"]) if "reason" in found else f"{found['rate']:.3g}"


def _cell(text: str) -> str:
    """On one line, and in one cell."""
    return " ".join(text.split()).replace("|", "/")
