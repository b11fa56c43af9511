"""What a person writes of a model of their own: the names of its classes, and what it wants of its images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import strandline_contract as contract

Scores = Literal["logits", "probabilities"]


@dataclass(frozen=True)
class Wanted(contract.ResizeRule):
    """What a foreign model wants of its images, and what its output is.

    `mean` and `std` are in the model's own order of channels, of values up to `max_value`. `output` is found out if it
    is not said.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: Literal["rgb", "bgr"] = "rgb"
    max_value: Literal[1, 255] = 1
    output: Scores | None = None

    def of_bundle(self) -> contract.Preprocessing:
        """The same as bundles have it: of rgb, of values from 0 to 1.

        Raises:
            contract.BadRequest: the numbers are not those of three channels.
        """
        turn = -1 if self.channel_order == "bgr" else 1
        mean, std = (tuple(value / self.max_value for value in values[::turn]) for values in (self.mean, self.std))
        return contract.Preprocessing(**vars(self.resize_rule()), mean=mean, std=std)


def read_classes(path: Path) -> tuple[str, ...]:
    """The names of classes, one a line, in the order of the model's outputs.

    Raises:
        contract.BadInput: there are none, one is twice there, or the file is no text.
    """
    try:
        lines = [line.strip() for line in contract.read_file(path).decode("utf-8-sig").rstrip().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise contract.BadInput(f"{path} cannot be read: {error}") from error
    if not all(lines):
        raise contract.BadInput(f"{path} has an empty line: it has to name a class a line")
    if twice := sorted({line for line in lines if lines.count(line) > 1}):
        raise contract.BadInput(f"{path} names a class twice: {', '.join(twice)[:500]}")
    return tuple(lines)


def read_wanted(path: Path) -> Wanted:
    """
    Raises:
        contract.BadInput: the file is not such a JSON object.
    """
    try:
        wanted = Wanted.from_json(contract.read_file(path))
        wanted.of_bundle()
    except (OSError, contract.BadRequest) as error:
        raise contract.BadInput(f"{path}: {error}") from error
    return wanted
