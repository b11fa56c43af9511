"""Smaller batches of the same network: what a few images cost is not what a whole batch costs.

An image's probabilities must not depend on how many came with it. So a size is used only if it gives every golden image
the same bits as the whole batch does, on this device and by these libraries.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

import strandline_contract as contract
from vision import backends
from vision.backends.backend import Answers, Backend
from vision.models import golden
from vision.models.bundles import Bundle


class Steps:
    """A backend, and what computes its network in smaller batches.

    Attributes:
        sizes: of the smaller batches, the largest first; those asked for that give the same bits.
    """

    def __init__(self, whole: Backend, sizes: Sequence[int]) -> None:
        self._whole, self._smaller = whole, {}
        if wanted := [size for size in sorted(sizes, reverse=True) if size < whole.batch_size]:
            images = _images(whole.bundle)
            self._smaller = dict(_equal(whole, wanted, images))
        self.sizes = list(self._smaller)
        self._steps = {whole.batch_size: whole} | self._smaller  # the largest first

    def batches(self, images: np.ndarray) -> Iterator[Answers]:
        """Answers to uint8 [n, height, width, 3]: all at once in batches with no place empty, or else in whole ones."""
        if not self._smaller:
            yield from self._whole.batches(images)
            return
        done, answers = 0, []
        while done < len(images):
            size = next((size for size in self._steps if size <= len(images) - done), self.sizes[-1])
            answers.append(self._steps[size](images[done : done + size]))
            done += size
        probabilities, embeddings = (np.concatenate(arrays) for arrays in zip(*answers, strict=True))
        yield probabilities, embeddings


def _images(bundle: Bundle) -> np.ndarray:
    path = bundle.folder / contract.GOLDEN_FILE
    return (
        golden.read(path, bundle)[0] if path.is_file() else golden.made_images(golden.ROWS, bundle.height, bundle.width)
    )


def _equal(whole: Backend, sizes: Sequence[int], images: np.ndarray) -> Iterator[tuple[int, Backend]]:
    wanted = [values.tobytes() for values in whole(images)]
    for size in sizes:
        smaller = backends.start(whole.bundle, dataclasses.replace(whole.runtime, batch_size=size))
        if [values.tobytes() for values in smaller(images)] == wanted and smaller.batch_size == size:
            yield size, smaller
