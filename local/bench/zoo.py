"""Which of GluonCV's image classifiers work here: `make zoo`; runs in the vision environment.

Each network gets weights by a seed, becomes a bundle, and is run by every backend that a CPU has, in a process of its
own. What came of it is a line of `.strandline/zoo.jsonl`: a network that has one is not measured again unless it is
named. docs/zoo.md is written once all have one.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from local.bench import zoo_page
from strandline import settings

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import numpy as np

    from vision.backends import Backend

FORK = multiprocessing.get_context("fork")
RUNTIMES: tuple[tuple[Literal["openvino", "onnxruntime", "mxnet"], Literal["f32", "bf16"]], ...] = (
    ("mxnet", "f32"),  # the reference
    ("openvino", "f32"),
    ("openvino", "bf16"),
    ("onnxruntime", "f32"),
)
BATCH = 4
SECONDS = 0.5  # that a rate is measured, at least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="measured again; otherwise all that have no line")
    parser.add_argument("--results", type=Path, default=settings.get().home / "zoo.jsonl")
    parser.add_argument("--page", type=Path, default=settings.REPOSITORY / "docs/zoo.md")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for a network")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(settings.get().vision.cores)  # before MXNet is imported
    import onnxruntime  # noqa: F401  # with what follows, all that a process needs
    import openvino  # noqa: F401

    from vision.models import export, networks  # noqa: F401

    names, lines = networks.classifiers(), read(arguments.results)
    if unknown := sorted(set(arguments.names) - set(names)):
        sys.exit(f"GluonCV has no image classifier {', '.join(unknown)}")
    missing = arguments.names or [name for name in names if name not in lines]
    for number, name in enumerate(missing, 1):
        line = in_process(name, arguments.timeout) | {"load": os.getloadavg()[0]}
        with arguments.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        lines[name] = line
        print(f"{number}/{len(missing)} {name}: {zoo_page.outcome(line)}")
    if lines.keys() >= set(names):
        cores = settings.get().vision.cores
        zoo_page.write(arguments.page, [lines[name] for name in names], BATCH, f"{cores} cores of {processor()}", cores)
    else:
        print(f"{len(lines)} of {len(names)} have been measured; `make zoo` measures the others and writes the page")


def processor() -> str:
    """Its name, and what it computes in, as OpenVINO has it."""
    import openvino as ov

    core = ov.Core()
    able = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")) & {"BF16", "FP16", "INT8"}
    return f"{core.get_property('CPU', 'FULL_DEVICE_NAME').strip()} ({', '.join(sorted(able)) or 'FP32 alone'})"


def read(path: Path) -> dict[str, Any]:
    """The last line of each network, by its name."""
    text = path.read_text() if path.exists() else ""
    return {line["name"]: line for line in map(json.loads, text.splitlines())}


def in_process(name: str, timeout: float) -> dict[str, Any]:
    """A network's line; that of one which ends its process or takes too long says so.

    The process is forked, for importing all libraries takes longer than a small network.
    """
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_send, args=(name, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of what it sends
    try:
        if not receiver.poll(timeout):
            return {"name": name, "reason": f"it took longer than {timeout:.0f} s"}
        line: dict[str, Any] = receiver.recv()
        return line
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return {"name": name, "reason": "the system killed its process, as it does when memory runs out"}
        return {"name": name, "reason": f"its process ended with code {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def _send(name: str, sender: "Connection") -> None:
    Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this is the process to end
    try:
        sender.send(measure(name))
    except Exception as error:  # noqa: BLE001  # one network's fault is one line
        sender.send({"name": name, "reason": f"{type(error).__name__}: {error}"})


def measure(name: str) -> dict[str, Any]:
    """From the network's name to what every backend makes of it."""
    import numpy as np

    import strandline_contract as contract
    from vision import backends
    from vision.backends.backend import normalise
    from vision.models import bundles, export, golden, networks, pretrained, seeded

    wanted = pretrained.preprocessing(name)
    side = wanted.height
    classes = tuple(str(number) for number in range(10 if name.startswith("cifar_") else 1000))
    images = golden.made_images(2 * BATCH, side, side)
    cores = settings.get().vision.cores
    try:
        net = networks.build(name, classes)
        seeded.initialise(net, normalise(images[:BATCH], wanted.mean, wanted.std))
    except contract.BadRequest as error:
        return {"name": name, "side": side, "reason": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        bundles.write_settings(Path(folder), classes, wanted)
        bundle = bundles.read(Path(folder), "unsealed", name)
        net.save_parameters(str(bundle.weights))
        try:
            export.write(net, side, side, bundle.graph)
        except contract.BadRequest as error:
            return {"name": name, "side": side, "reason": str(error)}
        parameters = sum(int(np.prod(one.shape)) for one in net.collect_params().values())
        del net
        answers: dict[str, Any] = {}
        reference = None
        for backend, precision in RUNTIMES:
            runtime = contract.Runtime(backend, threads=cores, batch_size=BATCH, precision=precision)
            try:
                started = backends.start(bundle, runtime)
                found = started(images[:BATCH])
                reference = reference or found
                answers[f"{backend} {precision}"] = differences(reference, found) | {"rate": rate(started, images)}
            except (contract.BadInput, contract.BadRequest, RuntimeError) as error:
                answers[f"{backend} {precision}"] = {"reason": str(error).splitlines()[0]}
    assert reference is not None
    return {
        "name": name,
        "side": side,
        "parameters": parameters,
        "embedding": reference[1].shape[1],
        "backends": answers,
    }


def differences(reference: "tuple[np.ndarray, np.ndarray]", found: "tuple[np.ndarray, np.ndarray]") -> dict[str, Any]:
    """Between probabilities [n, classes], how many labels are equal, and between embeddings [n, features] as a share of
    the largest value.
    """
    import numpy as np

    (probabilities, embeddings), (others, other_embeddings) = reference, found
    return {
        "probability": float(np.abs(others - probabilities).max()),
        "labels": int((others.argmax(axis=1) == probabilities.argmax(axis=1)).sum()),
        "embedding": float(np.abs(other_embeddings - embeddings).max() / np.abs(embeddings).max()),
    }


def rate(backend: "Backend", images: "np.ndarray") -> float:
    """Images per second."""
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        backend(images)
        count += len(images)
    return count / seconds


if __name__ == "__main__":
    main()
