"""ONNX Runtime computes a bundle's graph on CPUs, and by CUDA on NVIDIA's cards from Turing on."""

from typing import Any

import numpy as np
import onnxruntime as ort

import strandline_contract as contract
from vision.backends.backend import Answers, Backend, check_graph, normalise
from vision.models import bundles

OUTPUTS = ["probabilities", "embedding"]
# TF32 would round what is multiplied to 10 bits; and the fastest kernel of a moment is not the same one every time.
CUDA = ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})


class ONNXRuntime(Backend):
    devices = ("cpu", "gpu")

    _session: Any = None

    def _load(self) -> None:
        bundle, runtime = self.bundle, self.runtime
        self._session = None  # its arena is free for the next one
        provider: Any = CUDA if runtime.device == "gpu" else "CPUExecutionProvider"
        name = provider if isinstance(provider, str) else provider[0]
        if name not in ort.get_available_providers():
            raise RuntimeError(f"the request asks for a GPU and this environment's ONNX Runtime has no {name}")
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = runtime.threads, 1
        options.log_severity_level = 3
        try:
            # By bytes, so that a graph can name no other file to be read.
            self._session = ort.InferenceSession(bundles.read_graph(bundle), options, providers=[provider])
        except Exception as error:
            raise contract.BadInput(f"{bundle.graph} is no graph that ONNX Runtime can run: {error}") from error
        if (found := self._session.get_providers()[0]) != name:
            raise RuntimeError(f"the request asks for a GPU and ONNX Runtime could only start {found}")
        check_graph(
            bundle,
            [node.shape for node in self._session.get_inputs()],
            {node.name: node.shape for node in self._session.get_outputs()},
        )
        self._input = self._session.get_inputs()[0].name

    @property
    def libraries(self) -> dict[str, str]:
        name = "onnxruntime-gpu" if self.runtime.device == "gpu" else "onnxruntime"
        return bundles.installed(name, "numpy")

    def _submit(self, images: np.ndarray) -> Any:
        batch = normalise(images, self.bundle.mean, self.bundle.std)
        return self._session.run(OUTPUTS, {self._input: batch})

    def _answers(self, submitted: Any) -> Answers:
        probabilities, embeddings = submitted
        return probabilities, embeddings


BACKEND = ONNXRuntime
