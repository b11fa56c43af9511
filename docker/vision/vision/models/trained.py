"""The bundle of a network of GluonCV's: its weights, the same network as a graph, and what it answers."""

from pathlib import Path
from typing import Any

import strandline_contract as contract
from vision import backends
from vision.models import bundles, export, golden

WHERE = ("shards", "labels", "resume", "threads", "shard_id")  # of a training: where its data lay, how fast it was


def parameters(request: contract.TrainRequest) -> dict[str, Any]:
    """What a training was asked for, wherever its files lie; a bundle to start from goes by its version."""
    asked = {key: value for key, value in request.to_dict().items() if key not in WHERE}
    return asked | {"start": request.start.version if request.start else None}


def write_trained(
    folder: Path, net: Any, request: contract.TrainRequest, data_set: dict[str, Any], done: dict[str, Any]
) -> str:
    """The bundle of a network just trained, not yet measured; returns its version.

    Args:
        data_set: what it was trained on, and `done`: how far and by which versions of libraries, for `training.json`.
    """
    folder.mkdir(exist_ok=True)
    bundles.write_settings(folder, request.classes, request.preprocessing())
    contract.write_json(folder / contract.TRAINING_FILE, parameters(request) | data_set | done)
    write_network(folder, net, request.network, request.threads)
    return bundles.seal(folder, request.name, request.network)


def write_network(folder: Path, net: Any, network: str, threads: int) -> None:
    """Write weights, graph and golden images beside the classes and the preprocessing that the folder has.

    Raises:
        contract.BadRequest: a part of the network has no translation to ONNX.
        contract.BadInput: its probabilities are no numbers.
    """
    net.save_parameters(str(folder / contract.WEIGHTS_FILE))
    bundle = bundles.read(folder, "unsealed", network)
    export.write(net, bundle.height, bundle.width, bundle.graph)
    golden.write(backends.start(bundle, contract.Runtime("mxnet", threads=threads, batch_size=golden.ROWS)))
