"""The reference: GluonCV's own network, computed by MXNet."""

from typing import Any

import mxnet as mx
import numpy as np

import strandline_contract as contract
from vision.backends.backend import Answers, Backend, normalise
from vision.models import bundles, networks


class MXNet(Backend):
    devices = ("cpu", "gpu")

    _net: Any = None

    def _load(self) -> None:
        bundle, runtime = self.bundle, self.runtime
        self._net = None  # what it takes of memory is free for the next one
        if not bundle.weights.is_file():
            raise contract.BadInput(
                f"{bundle.folder} has no {contract.WEIGHTS_FILE}, which MXNet needs: set STRANDLINE_BACKEND to openvino"
                " or onnxruntime"
            )
        self._context = networks.context(runtime.device, runtime.threads)
        net = networks.build(bundle.network, bundle.classes)
        networks.load_weights(net, bundle, self._context)
        self._net = mx.gluon.SymbolBlock(
            networks.with_embedding(net), mx.sym.var("data", dtype="float32"), params=net.collect_params()
        )
        self._net.hybridize(static_alloc=True, static_shape=True)

    @property
    def libraries(self) -> dict[str, str]:
        return bundles.installed("gluoncv", "numpy") | {"mxnet": mx.__version__}

    def _submit(self, images: np.ndarray) -> Any:
        batch = normalise(images, self.bundle.mean, self.bundle.std)
        return self._net(mx.nd.array(batch, ctx=self._context))  # computed while Python goes on

    def _answers(self, submitted: Any) -> Answers:
        probabilities, embeddings = (array.asnumpy() for array in submitted)
        return probabilities, embeddings


BACKEND = MXNet
