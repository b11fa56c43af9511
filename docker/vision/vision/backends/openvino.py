"""OpenVINO computes a bundle's graph on CPUs, pixels to probabilities: it scales them itself."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

import strandline_contract as contract
from vision.backends.backend import Answers, Backend, check_graph
from vision.models import bundles

CAPABILITY = {"f32": "FP32", "bf16": "BF16"}
UNDER_WAY = 2  # batches; a stream each


class OpenVINO(Backend):
    precisions = ("f32", "bf16")

    _requests: Iterator[Any] = iter(())

    def _load(self) -> None:
        runtime = self.runtime
        self._requests = iter(())  # what they take of memory is free for the next ones
        core = ov.Core()
        if CAPABILITY[runtime.precision] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeError(f"the request asks for {runtime.precision}, which this processor does not compute in")
        compiled = core.compile_model(
            self._model(core),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": runtime.precision,
                "INFERENCE_NUM_THREADS": runtime.threads,
                "NUM_STREAMS": min(UNDER_WAY, runtime.threads),
                "ENABLE_CPU_PINNING": False,  # which cores a task has is the system's to say
            },
        )
        self._requests = itertools.cycle([compiled.create_infer_request() for _ in range(UNDER_WAY)])

    def _model(self, core: ov.Core) -> ov.Model:
        bundle = self.bundle
        try:
            # By bytes, so that a graph can name no other file to be read.
            model = core.read_model(model=bundles.read_graph(bundle), weights=b"")
        except RuntimeError as error:
            raise contract.BadInput(f"{bundle.graph} is no ONNX graph that OpenVINO can read: {error}") from error
        inputs, outputs = ([_sizes(port.partial_shape) for port in ports] for ports in (model.inputs, model.outputs))
        names = [port.get_any_name() for port in model.outputs]
        check_graph(bundle, inputs, dict(zip(names, outputs, strict=True)))
        model.reshape([self.batch_size, 3, bundle.height, bundle.width])
        steps = PrePostProcessor(model)
        pixels = steps.input()
        pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        pixels.model().set_layout(ov.Layout("NCHW"))
        mean, std = ([255 * value for value in values] for values in (bundle.mean, bundle.std))
        pixels.preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
        return steps.build()

    @property
    def libraries(self) -> dict[str, str]:
        return bundles.installed("openvino", "numpy")

    def _submit(self, images: np.ndarray) -> Any:
        request = next(self._requests)
        request.start_async({0: np.ascontiguousarray(images)})
        return request

    def _answers(self, submitted: Any) -> Answers:
        submitted.wait()
        probabilities, embeddings = (
            np.array(submitted.get_tensor(name).data) for name in ("probabilities", "embedding")
        )
        return probabilities, embeddings


def _sizes(shape: ov.PartialShape) -> list[Any]:
    return [size.get_length() if size.is_static else "n" for size in shape]


BACKEND = OpenVINO
