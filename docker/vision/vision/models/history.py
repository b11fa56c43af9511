"""How far a training went, how far it will go, and which epoch was the best."""

from dataclasses import dataclass, field
from typing import Any

import strandline_contract as contract


@dataclass
class TrainingHistory:
    """How a training went so far: a row an epoch, and how many epochs it will have."""

    epochs: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Of all attempts together."""
        return float(sum(row["seconds"] for row in self.rows))

    @property
    def best(self) -> int:
        """The epoch, from 1, of the least validation loss; the last one if nothing is held back; 0 before any."""
        losses = [row["validation_loss"] for row in self.rows if "validation_loss" in row]
        return losses.index(min(losses)) + 1 if losses else self.done

    def add(self, row: dict[str, Any], budget: float | None) -> None:
        """Count an epoch, and leave out those for which there will be no time."""
        self.rows.append({"epoch": self.done + 1} | row)
        if budget is not None:
            slowest = max(row["seconds"] for row in self.rows)
            self.epochs = min(self.epochs, self.done + max(0, int((budget - self.seconds) / slowest)))

    def over(self, request: contract.TrainRequest) -> bool:
        return self.done >= self.epochs or (request.patience is not None and self.done - self.best >= request.patience)
