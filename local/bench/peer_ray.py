"""The same job as a user of Ray Data writes it: files are read, decoded, classified, and written as Parquet.

Runs in the environment `ray`, which has nothing of ours. Ray's own start is not counted, nor are its first tasks: a few
files go through the whole pipeline before.
"""

import argparse
import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import ray
from openvino.preprocess import PrePostProcessor
from PIL import Image, ImageOps

Batch = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, required=True, help="the folder of the drop")
    parser.add_argument("--warm", type=Path, required=True, help="a folder of a few files")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument(
        "--layouts", nargs="+", required=True, help="ACTORSxTHREADSxBATCH: processes, threads of each, images at once"
    )
    arguments = parser.parse_args()
    ray.init(num_cpus=arguments.cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    for layout in arguments.layouts:
        sizes = [int(size) for size in layout.split("x")]
        run(arguments.warm, arguments.bundle, arguments.out, *sizes)
        started = time.perf_counter()
        run(arguments.files, arguments.bundle, arguments.out, *sizes)
        seconds = time.perf_counter() - started
        rows = ray.data.read_parquet(str(arguments.out)).count()
        print(json.dumps({"layout": layout, "seconds": seconds, "rows": rows}), flush=True)


def run(files: Path, bundle: Path, out: Path, actors: int, threads: int, batch: int) -> None:
    """Classify a folder."""
    shutil.rmtree(out, ignore_errors=True)
    side = json.loads((bundle / "preprocessing.json").read_bytes())["height"]
    (
        ray.data.read_binary_files(str(files), include_paths=True)
        .map_batches(decode, fn_kwargs={"side": side})
        .map_batches(
            Classifier,
            fn_constructor_args=(bundle, threads, batch),
            batch_size=batch,
            num_cpus=1 / actors,  # of two cores, one is left to what reads and decodes
            compute=ray.data.ActorPoolStrategy(size=actors),
        )
        .write_parquet(str(out))
    )


def decode(batch: Batch, side: int) -> Batch:
    """The largest centred square of each image, at the model's size."""
    images = [
        np.asarray(ImageOps.fit(Image.open(io.BytesIO(data)).convert("RGB"), (side, side), Image.Resampling.BICUBIC))
        for data in batch["bytes"]
    ]
    return {"path": batch["path"], "pixels": np.stack(images)}


class Classifier:
    """The bundle's graph, compiled once a process for batches of one size."""

    def __init__(self, bundle: Path, threads: int, batch: int) -> None:
        self._classes = np.array(json.loads((bundle / "classes.json").read_bytes()))
        wanted = json.loads((bundle / "preprocessing.json").read_bytes())
        core = ov.Core()
        model = core.read_model(bundle / "model.onnx")
        model.reshape([batch, 3, wanted["height"], wanted["width"]])
        steps = PrePostProcessor(model)
        pixels = steps.input()
        pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        pixels.model().set_layout(ov.Layout("NCHW"))
        mean, std = ([255 * value for value in wanted[name]] for name in ("mean", "std"))
        pixels.preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._request = core.compile_model(steps.build(), "CPU", options).create_infer_request()
        self._batch = batch

    def __call__(self, batch: Batch) -> Batch:
        pixels = batch["pixels"]
        missing = self._batch - len(pixels)
        if missing:
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
        self._request.infer({0: pixels})
        found = np.array(self._request.get_tensor("probabilities").data)[: len(batch["path"])]
        best = found.argmax(axis=1)
        confidence = found[np.arange(len(best)), best]
        return {"path": batch["path"], "label": self._classes[best], "confidence": confidence, "probabilities": found}


if __name__ == "__main__":
    main()
