"""How much of a bare GluonCV loop's speed `classify` keeps; runs in the vision environment and prints JSON.

Three ways to classify the same images are timed in turn, several rounds each, in one process: `classify`'s own path
from shard to predictions file; a bare hybridized loop over arrays that lie ready in memory; and, for a few images, a
worker that builds its model again for every image.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--request", type=Path, required=True, help="a classify request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--single", type=int, default=10, help="images for the worker that builds its model each time")
    arguments = parser.parse_args()
    raw = json.loads(arguments.request.read_bytes())
    os.environ["OMP_NUM_THREADS"] = str(raw["runtime"]["threads"])  # before MXNet is imported
    print(json.dumps(measure(arguments.store, raw, arguments.rounds, arguments.single)))


def measure(store: Path, raw: dict[str, Any], rounds: int, single: int) -> dict[str, float]:
    """Median images/s of each way, and the medians of the ratios round by round."""
    import mxnet as mx
    import numpy as np

    import strandline_contract as contract
    from vision import shards
    from vision.backends.backend import normalise
    from vision.commands import classify
    from vision.models import bundles, networks
    from vision.models.guard import Guard

    request = contract.ClassifyRequest.from_dict(raw)
    bundle = bundles.load(store, request.bundle)
    shard = contract.verified(store, request.shard)
    guard = Guard(request.runtime)
    size = guard.start(bundle)["batch_size"]
    images = np.concatenate([images for _, images in shards.read_images(shard, bundle.resize_rule())])
    count = len(images) // size * size
    batches = [normalise(images[i : i + size], bundle.mean, bundle.std) for i in range(0, count, size)]

    def bare_net() -> Any:
        net = networks.build(bundle.network, bundle.classes)
        net.load_parameters(str(bundle.weights))
        net.hybridize(static_alloc=True, static_shape=True)
        return net

    net = bare_net()

    def bare() -> None:
        for batch in batches:
            net(mx.nd.array(batch)).asnumpy()

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            classify.write_predictions(shard, bundle, guard, Path(folder) / "predictions.parquet")

    def one_at_a_time() -> None:
        for batch in batches[:single]:
            bare_net()(mx.nd.array(batch[:1])).asnumpy()

    bare()
    with guard:
        timed = [(rate(ours, len(images)), rate(bare, count), rate(one_at_a_time, single)) for _ in range(rounds)]
    ours_rates, bare_rates, single_rates = zip(*timed, strict=True)
    return {
        "classify": statistics.median(ours_rates),
        "bare_loop": statistics.median(bare_rates),
        "model_per_image": statistics.median(single_rates),
        "of_bare_loop": statistics.median(o / b for o, b, _ in timed),
        "times_model_per_image": statistics.median(o / s for o, _, s in timed),
    }


def rate(work: Callable[[], None], count: int) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
