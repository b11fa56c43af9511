"""What all backends share: batches of one size, halved if memory runs out, and the next one prepared while the last is
computed.
"""

import abc
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

import strandline_contract as contract
from vision.models.bundles import Bundle

Answers = tuple[np.ndarray, np.ndarray]

# How many pixels a batch has, and how many images at the most, unless a request says how many images. On a CPU, larger
# ones are faster by a few hundredths at best, and the last batch costs as much as a whole one.
SUITABLE = {"cpu": (2**18, 64), "gpu": (2**24, 2048)}
# How the libraries say it: NumPy, OpenVINO and oneDNN; ONNX Runtime's arena; CUDA, cuDNN, cuBLAS; MXNet.
OUT_OF_MEMORY = re.compile(
    r"bad.alloc|Unable to allocate|Failed to allocate|Cannot allocate memory|could not create a memory object"
    r"|out.of.memory|ALLOC(ATION)?_FAILED",
    re.IGNORECASE,
)


class Backend(abc.ABC):
    """A bundle's network on a device.

    Batches all have one size, the last one padded: one shape is compiled once, and an image's probabilities do not
    depend on how many others came with it.

    Attributes:
        batch_size: images of a batch: what the request says, or what suits the device; halved until it fits.
    """

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    precisions: ClassVar[tuple[str, ...]] = ("f32",)

    def __init__(self, bundle: Bundle, runtime: contract.Runtime) -> None:
        self.bundle, self.runtime = bundle, runtime
        self.batch_size = runtime.batch_size or suitable_batch(runtime.device, bundle.height * bundle.width)

    def start(self) -> None:
        """Make the network ready to classify.

        Raises:
            contract.BadInput: the bundle has no network for it, or another one than it says.
            RuntimeError: the device or the precision is not there, or one image alone does not fit into its memory.
        """
        while True:
            try:
                self._load()
                return
            except Exception as error:  # noqa: BLE001 - any other is raised again
                lack = _lack_of_memory(error)
            self._halve(lack)

    @abc.abstractmethod
    def _load(self) -> None:
        """Make the network ready for batches of `batch_size`, in place of what was loaded before."""

    @property
    @abc.abstractmethod
    def libraries(self) -> dict[str, str]:
        """Versions of those that decide the values."""

    @property
    def versions(self) -> dict[str, str]:
        """What decides the values, beside the bundle and the processor."""
        runtime = self.runtime
        chosen = {"backend": runtime.backend, "precision": runtime.precision, "batch_size": str(self.batch_size)}
        return self.libraries | chosen

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
        done = 0
        while done < len(images):
            try:
                for answers in self._batches(images[done:]):
                    done += len(answers[0])
                    yield answers
                return
            except Exception as error:  # noqa: BLE001 - any other is raised again
                lack = _lack_of_memory(error)
            # Not while the error is handled: its traceback holds on to what takes the memory.
            self._halve(lack)
            self.start()

    def _batches(self, images: np.ndarray) -> Iterator[Answers]:
        size = self.batch_size
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

    def _halve(self, lack: str) -> None:
        """
        Raises:
            RuntimeError: it is one image.
        """
        device, size = self.runtime.device, self.batch_size
        if size == 1:
            what = "needs a card with more memory" if device == "gpu" else "needs more STRANDLINE_TASK_MEMORY_BYTES"
            raise RuntimeError(f"one image alone does not fit: {self.bundle.network} {what} ({lack})")
        self.batch_size = size // 2
        print(f"vision: {size} images at once do not fit, on with {self.batch_size} ({lack})", file=sys.stderr)


def suitable_batch(device: Literal["cpu", "gpu"], pixels: int) -> int:
    """How many images of so many pixels make a batch: a power of two."""
    wanted, most = SUITABLE[device]
    return min(most, 1 << max(0, (wanted // pixels).bit_length() - 1))


def _lack_of_memory(error: Exception) -> str:
    """What a library says of memory that it did not get, on one line; any other error is raised again."""
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return "MemoryError"
    for line in str(error).splitlines():
        if OUT_OF_MEMORY.search(line):
            return line.strip()
    raise error


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
