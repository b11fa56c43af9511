"""Predictions of a window, or of the champion's reference, as every detector takes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Sample:
    """Predictions of a window or of the reference, without those that failed. `truth` are the true classes, int [n], of
    a reference that has them.

    Raises:
        ValueError: the arrays do not fit each other, or hold what is not finite.
    """

    predicted: Integers
    probabilities: Floats
    embeddings: Floats
    truth: Integers | None = None

    def __post_init__(self) -> None:
        if (self.predicted.ndim, self.probabilities.ndim, self.embeddings.ndim) != (1, 2, 2):
            raise ValueError("a sample has classes [n], probabilities [n, classes] and embeddings [k, features]")
        if not len(self.predicted) == len(self.probabilities) >= len(self.embeddings):
            raise ValueError("a sample's classes, probabilities and embeddings are not of the same rows")
        if not (np.isfinite(self.probabilities).all() and np.isfinite(self.embeddings).all()):
            raise ValueError("a sample has values that are not finite: leave out the predictions that failed")
        if len(self.predicted) and not 0 <= self.predicted.min() <= self.predicted.max() < self.classes:
            raise ValueError("a sample has a class that its probabilities have no column for")
        if self.truth is not None and self.truth.shape != self.predicted.shape:
            raise ValueError("a sample's true classes are not of the same rows as its predictions")

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def classes(self) -> int:
        return int(self.probabilities.shape[1])

    def counts(self) -> Integers:
        """How often each class was predicted, [classes]."""
        return np.bincount(self.predicted, minlength=self.classes)
