"""The champion's graph in ONNX Runtime, with its preprocessing: what the servers beside ours compute."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image


class Network:
    def __init__(self, bundle: Path) -> None:
        self.classes: list[str] = json.loads((bundle / "classes.json").read_bytes())
        preprocessing = json.loads((bundle / "preprocessing.json").read_bytes())
        self._size = preprocessing["width"], preprocessing["height"]
        self._mean, self._std = (np.array(preprocessing[name], np.float32) for name in ("mean", "std"))
        self._session = ort.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, files: Sequence[bytes]) -> np.ndarray:
        """Probabilities float32 [n, classes] of encoded pictures."""
        batch = np.stack([self._pixels(file) for file in files])
        [probabilities] = self._session.run(["probabilities"], {self._input: batch})
        found: np.ndarray = probabilities
        return found

    def _pixels(self, file: bytes) -> np.ndarray:
        picture = Image.open(io.BytesIO(file)).convert("RGB").resize(self._size, Image.Resampling.BICUBIC)
        scaled = (np.asarray(picture, np.float32) / 255 - self._mean) / self._std
        return scaled.transpose(2, 0, 1)
