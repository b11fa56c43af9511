"""Make a bundle of an ONNX file: `python -m vision.models.imported MODEL.onnx --classes FILE --preprocessing FILE ...`.

Nobody vouches for the file: it is opened once this process has bounded its own memory and time, and no code comes from
it. What it answers, ONNX Runtime says; the other backend has to agree, or it is said that it does not.
"""

import argparse
import dataclasses
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

import strandline_contract as contract
from vision import backends
from vision.backends.backend import normalise
from vision.models import bundles, golden, onnx_file, rewriting
from vision.models.own import Wanted, read_classes, read_wanted

NETWORK = "onnx"  # in the manifest: no network of GluonCV's
Runner = Literal["onnxruntime", "openvino"]
REFERENCE: Runner = "onnxruntime"
OTHER: Runner = "openvino"


def make_bundle(
    file: Path, classes: tuple[str, ...], wanted: Wanted, name: str, folder: Path, threads: int
) -> list[str]:
    """Seal the model of an ONNX file as a bundle; returns lines for people: what became of its graph.

    Raises:
        contract.BadInput: the file is no such model; the message says why and what to do.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "bundle"
        made.mkdir()
        bundles.write_settings(made, classes, wanted.of_bundle())
        lines = _write_graph(file, wanted, made)
        reference = _start(bundles.read(made, "to be sealed", NETWORK), REFERENCE, threads)
        _check_rows(reference)
        golden.write(reference)
        lines.append(_agreement(reference.bundle, OTHER, threads))
        bundles.seal(made, name, NETWORK)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return lines


def _write_graph(file: Path, wanted: Wanted, folder: Path) -> list[str]:
    model = onnx_file.read(file)
    bundle = bundles.read(folder, "to be sealed", NETWORK)
    images = golden.made_images(golden.ROWS, bundle.height, bundle.width)
    source = {"file": file.name, "sha256": contract.sha256_file(file), "opset": onnx_file.opset(model)}
    given = normalise(images, bundle.mean, bundle.std)
    done = rewriting.rewrite(model, wanted.channel_order == "bgr", len(bundle.classes), wanted.output, given)
    contract.write_whole(bundle.graph, done.model.SerializeToString(deterministic=True))
    found = {"output": done.output, "scores": done.scores, "embedding": done.embedding, "features": done.features}
    contract.write_json(folder / contract.SOURCE_FILE, source | found)
    softmax = ", which a softmax follows" if done.scores == "logits" else ""
    return [
        f"Its output {done.output!r} is {done.scores} of {len(bundle.classes)} classes{softmax}.",
        f"The embedding is {done.embedding}: {done.features} numbers.",
    ]


def _start(bundle: bundles.Bundle, backend: Runner, threads: int) -> backends.Backend:
    return backends.start(bundle, contract.Runtime(backend, threads=threads, batch_size=golden.ROWS))


def _check_rows(backend: backends.Backend) -> None:
    """
    Raises:
        contract.BadInput: an image's answer depends on what it is beside, or on chance.
    """
    bundle = backend.bundle
    images = golden.made_images(golden.ROWS, bundle.height, bundle.width)
    turned, _ = backend(images[::-1])
    straight, _ = backend(images)
    alone, _ = backends.start(bundle, dataclasses.replace(backend.runtime, batch_size=1))(images[:2])
    difference = max(np.abs(turned[::-1] - straight).max(), np.abs(alone - straight[:2]).max())
    if difference > contract.TOLERANCES["f32"]:
        raise contract.BadInput(
            f"the graph answers an image differently beside others, or twice: by {difference:.2g}. Export it for"
            " inference (PyTorch: model.eval()), with a free first dimension"
        )


def _agreement(bundle: bundles.Bundle, backend: Runner, threads: int) -> str:
    """Whether another backend says the same, as a sentence."""
    tolerance = contract.TOLERANCES["f32"]
    images, expected = golden.read(bundle.folder / contract.GOLDEN_FILE, bundle)
    try:
        found, _ = _start(bundle, backend, threads)(images)
        difference = float(np.abs(found - expected).max())
        why = f"its probabilities are {difference:.2g} off, and rounding explains {tolerance:g}"
    except (contract.BadInput, RuntimeError) as error:
        difference, why = float("inf"), f"it cannot run the graph: {' '.join(str(error).split())[-500:]}"
    if difference <= tolerance:
        return f"{REFERENCE} and {backend} agree: their probabilities differ by {difference:.1g} at the most."
    if operators := onnx_file.classical(onnx.load_model_from_string(bundles.read_graph(bundle))):
        why = f"it has no {' nor '.join(operators)} of ai.onnx.ml"
    return (
        f"Only {REFERENCE} can run it: set STRANDLINE_BACKEND={REFERENCE} before it is used. {backend} cannot: {why}."
    )


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bound this process, before it opens what nobody vouches for."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 2 * bundles.MAX_GRAPH_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def main() -> int:
    parser = argparse.ArgumentParser(prog="vision.models.imported", description=__doc__)
    parser.add_argument("model", type=Path, help="the ONNX file")
    parser.add_argument("--classes", type=Path, required=True, help="a class a line, in the order of its outputs")
    parser.add_argument("--preprocessing", type=Path, required=True, help="JSON: what it wants of its images")
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, default=8 * 2**30, help="bytes that this process may take")
    parser.add_argument("--seconds", type=int, default=1800, help="of a processor, that it may take")
    arguments = parser.parse_args()
    _limit(arguments.memory, arguments.seconds)
    try:
        classes, wanted = read_classes(arguments.classes), read_wanted(arguments.preprocessing)
        lines = make_bundle(arguments.model, classes, wanted, arguments.name, arguments.out, threads=arguments.threads)
    except contract.ContractError as error:
        print(error, file=sys.stderr)
        return 1
    except MemoryError:
        print(f"{arguments.model} needs more memory than {arguments.memory:,} bytes", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
