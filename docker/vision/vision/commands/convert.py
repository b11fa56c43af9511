"""Make a bundle of the second format of one of the first: the same weights, and the network as a graph beside them."""

import shutil
import time

import strandline_contract as contract
from vision.models import bundles, networks, trained
from vision.paths import Paths


def run(request: contract.ConvertRequest, paths: Paths) -> contract.Result:
    """Write the new bundle. All that the old one says of its training and its measurements, the new one says as well.

    Raises:
        contract.BadInput: the bundle is not what the request says, or has no weights of GluonCV's.
        contract.BadRequest: a part of its network has no translation to ONNX.
    """
    started = time.perf_counter()
    bundle = bundles.load(paths.store, request.bundle)
    if not bundle.weights.is_file():
        raise contract.BadInput(f"{bundle.folder} has no {contract.WEIGHTS_FILE} that could be converted")
    name = contract.verify_bundle(bundle.folder).name
    folder = paths.out / contract.BUNDLE_FOLDER
    shutil.copytree(bundle.folder, folder)
    net = networks.build(bundle.network, bundle.classes)
    networks.load_weights(net, bundle, networks.context("cpu", request.threads))
    trained.write_network(folder, net, bundle.network, request.threads)
    contract.write_json(folder / contract.CONVERTED_FILE, {"version": bundle.version})
    version = bundles.seal(folder, name, bundle.network)
    return contract.write_result(
        paths.out,
        "convert",
        [f"{contract.BUNDLE_FOLDER}/{file.name}" for file in sorted(folder.iterdir())],
        counts={"files": len(list(folder.iterdir()))},
        seconds={"convert": time.perf_counter() - started},
        versions=bundles.installed("onnx", "onnxruntime") | networks.versions() | {"bundle": version},
    )
