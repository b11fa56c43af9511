"""What `make bench-serve` compares with: a runtime for MLServer, as its documentation has them."""

import os
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from local.bench.peer_network import Network


class Runtime(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        self._network = Network(Path(os.environ["BUNDLE"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        files = Base64Codec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("probabilities", self._network(files))
        return InferenceResponse(model_name=self.name, outputs=[output])
