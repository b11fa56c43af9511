"""What `make bench-serve` compares with: FastAPI and ONNX Runtime, as a day's work would have it. A file is the body;
no sandbox, no batches, no limits, no records. `BUNDLE=... uvicorn local.bench.peer_fastapi:app`
"""

import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request

from local.bench.peer_network import Network

app = FastAPI()
network = Network(Path(os.environ["BUNDLE"]))


@app.post("/classify")
async def classify(request: Request) -> dict[str, Any]:
    [probabilities] = network([await request.body()]).tolist()
    label = network.classes[probabilities.index(max(probabilities))]
    return {"label": label, "probabilities": dict(zip(network.classes, probabilities, strict=True))}
