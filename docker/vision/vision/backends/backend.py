"""What all backends share: batches of one size, and the next one prepared while the last is computed."""

import abc
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import strandline_contract as contract
from vision.models.bundles import Bundle

Answers = tuple[np.ndarray, np.ndarray]


class Backend(abc.ABC):
    """A bundle's network on a device.

    Batches all have one size, the last one padded: one shape is compiled once, and an image's probabilities do not
    depend on how many others came with it.
    """

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    precisions: ClassVar[tuple[str, ...]] = ("f32",)

    def __init__(self, bundle: Bundle, runtime: contract.Runtime) -> None:
        self.bundle, self.runtime = bundle, runtime

    @property
    @abc.abstractmethod
    def libraries(self) -> dict[str, str]:
        """Versions of those that decide the values."""

    @property
    def versions(self) -> dict[str, str]:
        """What decides the values, beside the bundle and the processor."""
        return self.libraries | {"backend": self.runtime.backend, "precision": self.runtime.precision}

    @abc.abstractmethod
    def _submit(self, images: np.ndarray) -> Any:
        """Begin to compute a whole batch uint8 [n, height, width, 3]; at most two are under way at once."""

    @abc.abstractmethod
    def _answers(self, submitted: Any) -> Answers:
        """Probabilities and embeddings of what was submitted, in arrays that stay."""

    def __call__(self, images: np.ndarray) -> Answers:
        """Probabilities float32 [n, classes] and embeddings float32 [n, features] of uint8 [n, height, width, 3].

        Raises:
            contract.BadInput: there are no images.
        """
        outputs = list(self.batches(images))
        if not outputs:
            raise contract.BadInput("no images to classify")
        probabilities, embeddings = (np.concatenate(arrays) for arrays in zip(*outputs, strict=True))
        return probabilities, embeddings

    def batches(self, images: np.ndarray) -> Iterator[Answers]:
        """As calling it, a batch at a time."""
        size = self.runtime.batch_size
        pending: tuple[int, Any] | None = None
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            submitted = len(batch), self._submit(_padded(batch, size))
            if pending is not None:
                yield self._finished(*pending)
            pending = submitted
        if pending is not None:
            yield self._finished(*pending)

    def _finished(self, rows: int, submitted: Any) -> Answers:
        probabilities, embeddings = self._answers(submitted)
        return probabilities[:rows], embeddings[:rows]


def _padded(batch: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)]) if missing else batch


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w]: scaled to 0..1, then standardised by channel."""
    scale = np.float32(1) / (255 * np.asarray(std, np.float32))
    shift = np.asarray(mean, np.float32) / np.asarray(std, np.float32)
    return np.ascontiguousarray((images * scale - shift).transpose(0, 3, 1, 2))


def check_graph(bundle: Bundle, inputs: Sequence[Sequence[Any]], outputs: dict[str, Sequence[Any]]) -> None:
    """
    Args:
        inputs: the shape of each input of the bundle's graph; a size that is free is no number.
        outputs: the shape of each output, by its name.

    Raises:
        contract.BadInput: they are not those of a classifier of the bundle's classes and image size.
    """
    wanted = [3, bundle.height, bundle.width]
    if len(inputs) != 1 or len(inputs[0]) != 4 or list(inputs[0][1:]) != wanted:
        found = " and ".join(_shape(shape) for shape in inputs)
        raise contract.BadInput(f"{bundle.graph} takes {found}; the bundle says {_shape(['n', *wanted])}")
    probabilities = outputs.get("probabilities", ())
    if set(outputs) != {"probabilities", "embedding"} or list(probabilities[1:]) != [len(bundle.classes)]:
        found = ", ".join(f"{name} {_shape(shape)}" for name, shape in outputs.items())
        raise contract.BadInput(
            f"{bundle.graph} gives {found}; the bundle needs probabilities of {len(bundle.classes)} classes, and an"
            " embedding"
        )


def _shape(shape: Sequence[Any]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"
