"""What confusion counts say, int [true class, predicted class] of the champion's test images."""

from strandline.drift.detectors.sample import Floats, Integers


def recalls_of(confusion: Integers) -> Floats:
    """Shares of predicted classes in each true one, [true, predicted].

    Raises:
        ValueError: a class has no test image.
    """
    totals = confusion.sum(axis=1, keepdims=True)
    if confusion.shape != (len(confusion), len(confusion)) or not totals.all():
        raise ValueError("the confusion matrix must be square, with test images of every class")
    shares: Floats = confusion / totals
    return shares


def accuracy_of(confusion: Integers) -> float:
    """The share that the champion has right."""
    return float(confusion.trace() / confusion.sum())
