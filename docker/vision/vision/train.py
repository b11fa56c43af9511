"""Train a network from scratch; the same request on the same machine gives the same weights.

One-cycle learning rate after Smith, "Super-Convergence" (2018): linear warm-up, then linearly to zero. The early
epochs see small random crops after Touvron et al., "Fixing the train-test resolution discrepancy" (2019).
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from vision import bundles, contract, networks, shards
from vision.paths import Paths


def run(request: contract.TrainRequest, paths: Paths) -> contract.Result:
    """Write the bundle of the trained network; a checkpoint after each epoch lets a later attempt go on."""
    started = time.perf_counter()
    ids, images, names = shards.labelled_images(
        paths.store, request.shards, request.labels, request.height, request.width
    )
    labels = _indices(names, request.classes)
    loaded = time.perf_counter()
    trainer = _Trainer.start(request, dataset := data_set_hash(ids, names))
    checkpoint = paths.out / contract.CHECKPOINT_FILE
    done = trainer.restore(_checkpoint(request, paths), paths.out)
    progress = Progress(request.epochs, len(images))
    for epoch in range(done, request.epochs):
        loss, accuracy = trainer.epoch(epoch, images, labels, progress)
        trainer.save(checkpoint, epoch + 1)
        # Each epoch starts as a resumed one does, so both compute the same: MXNet changes the layout of used weights.
        trainer.restore(checkpoint, paths.out)
        progress.epoch_done(epoch, loss, accuracy)
    folder = paths.out / contract.BUNDLE_FOLDER
    version = bundles.write_trained(folder, trainer.net, request, len(images), dataset)
    checkpoint.unlink(missing_ok=True)
    return contract.write_result(
        paths.out,
        "train",
        [f"{contract.BUNDLE_FOLDER}/{file.name}" for file in sorted(folder.iterdir())],
        counts={"images": len(images), "epochs": request.epochs},
        seconds={"load": loaded - started, "train": time.perf_counter() - loaded},
        versions=bundles.runtime_versions() | {"bundle": version},
        device=request.device,
    )


def data_set_hash(ids: list[str], labels: list[str]) -> str:
    """SHA-256 over the image ids and labels in the order of the ids: the data set, however it is cut into shards."""
    return hashlib.sha256("".join(f"{i} {label}\n" for i, label in zip(ids, labels, strict=True)).encode()).hexdigest()


def learning_rate(request: contract.TrainRequest, fraction: float) -> float:
    """Of the fraction of all steps done, 0..1."""
    if fraction < request.warmup:
        return request.peak_lr * fraction / request.warmup
    return request.peak_lr * (1 - fraction) / (1 - request.warmup)


def augment(images: np.ndarray, side: int, padding: int, random: np.random.Generator) -> np.ndarray:
    """Each image its own crop of side x side out of its reflection-padded self, and its own flip.

    uint8 [n, h, w, 3] to uint8 [n, side, side, 3].
    """
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")
    count, height, width, _ = padded.shape
    top = random.integers(0, height - side + 1, count)
    left = random.integers(0, width - side + 1, count)
    columns = np.arange(side)[None, :] + left[:, None]
    columns = np.where((random.random(count) < 0.5)[:, None], columns[:, ::-1], columns)
    rows = np.arange(side)[None, :] + top[:, None]
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


class Progress:
    """One line an epoch and, on a terminal, one that moves."""

    def __init__(self, epochs: int, images: int) -> None:
        self._epochs, self._images = epochs, images
        self._started = time.perf_counter()
        self._seen = 0

    def step(self, epoch: int, images: int) -> None:
        self._seen += images
        if sys.stderr.isatty():
            rate = self._seen / (time.perf_counter() - self._started)
            done = self._seen % self._images / self._images
            print(f"\repoch {epoch + 1}/{self._epochs} {done:4.0%} {rate:.0f} images/s", end="", file=sys.stderr)

    def epoch_done(self, epoch: int, loss: float, accuracy: float) -> None:
        elapsed = time.perf_counter() - self._started
        end = "\r" if sys.stderr.isatty() else ""
        print(
            f"{end}epoch {epoch + 1}/{self._epochs}: loss {loss:.4f}, training accuracy {accuracy:.2%}, "
            f"{self._seen / elapsed:.0f} images/s, {elapsed / 60:.1f} min",
            file=sys.stderr,
            flush=True,
        )


@dataclass
class _Trainer:
    request: contract.TrainRequest
    identity: str
    net: gluon.HybridBlock
    optimizer: gluon.Trainer
    context: mx.Context

    @classmethod
    def start(cls, request: contract.TrainRequest, dataset: str) -> "_Trainer":
        context = networks.context(request.device, request.threads)
        mx.random.seed(request.seed)
        np.random.seed(request.seed)  # MXNet's CPU initialisers draw from numpy's global state
        net = networks.build(request.network, request.classes)
        net.initialize(mx.init.MSRAPrelu("out", 0), ctx=context)
        net(mx.nd.zeros((1, 3, request.height, request.width), ctx=context))
        net.hybridize(static_alloc=True, static_shape=True)
        for parameter in net.collect_params(".*(gamma|beta|bias)$").values():
            parameter.wd_mult = 0.0
        settings = {"learning_rate": 0.0, "momentum": request.momentum, "wd": request.weight_decay}
        return cls(
            request, _identity(request, dataset), net, gluon.Trainer(net.collect_params(), "nag", settings), context
        )

    def epoch(self, epoch: int, images: np.ndarray, labels: np.ndarray, progress: Progress) -> tuple[float, float]:
        """Mean loss and accuracy over the augmented images of one epoch; a last partial batch is left out."""
        request = self.request
        random = np.random.default_rng((request.seed, epoch))
        order = random.permutation(len(images))
        size = min(request.batch_size, len(images))
        low = epoch < request.low_share * request.epochs
        side = request.low_side if low else request.height
        steps = len(images) // size
        loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
        loss_sum, right = 0.0, 0
        for step in range(steps):
            chosen = order[step * size : (step + 1) * size]
            batch = augment(images[chosen], side, 0 if low else request.padding, random)
            data = mx.nd.array(networks.normalise(batch, request.mean, request.std), ctx=self.context)
            target = mx.nd.array(labels[chosen], ctx=self.context)
            self.optimizer.set_learning_rate(learning_rate(request, (epoch + (step + 1) / steps) / request.epochs))
            with autograd.record():
                output = self.net(data)
                loss = loss_of(output, target)
            loss.backward()
            self.optimizer.step(size)
            loss_sum += float(loss.sum().asscalar())
            right += int((output.argmax(axis=1) == target).sum().asscalar())
            progress.step(epoch, size)
        if not np.isfinite(loss_sum):
            raise RuntimeError(f"the loss of epoch {epoch + 1} is not finite; lower peak_lr ({request.peak_lr})")
        return loss_sum / (steps * size), right / (steps * size)

    def save(self, path: Path, epochs: int) -> None:
        """Parameters, momentum and the number of epochs done: all that the next epoch depends on."""
        arrays = {f"parameter:{i}": p.data().asnumpy() for i, p in enumerate(self.net.collect_params().values())}
        with tempfile.NamedTemporaryFile(dir=path.parent) as states:
            self.optimizer.save_states(states.name)
            momentum = np.fromfile(states.name, np.uint8)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, epochs=epochs, request=self.identity, momentum=momentum, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)

    def restore(self, path: Path | None, scratch: Path) -> int:
        """The number of epochs that need not be run again."""
        if path is None:
            return 0
        with np.load(path) as saved:
            if str(saved["request"]) != self.identity:
                raise contract.BadRequest(f"{path} is the checkpoint of another training request")
            for i, parameter in enumerate(self.net.collect_params().values()):
                parameter.set_data(mx.nd.array(saved[f"parameter:{i}"], ctx=self.context))
            with tempfile.NamedTemporaryFile(dir=scratch) as states:
                saved["momentum"].tofile(states.name)
                self.optimizer.load_states(states.name)
            return int(saved["epochs"])


def _identity(request: contract.TrainRequest, dataset: str) -> str:
    """All that decides the weights."""
    settings = request.to_dict() | {"data_set": dataset}
    return json.dumps({k: v for k, v in settings.items() if k not in bundles.WHERE}, sort_keys=True)


def _checkpoint(request: contract.TrainRequest, paths: Paths) -> Path | None:
    folders = [paths.out] + ([contract.store_path(paths.store, request.resume)] if request.resume else [])
    return next((f / contract.CHECKPOINT_FILE for f in folders if (f / contract.CHECKPOINT_FILE).is_file()), None)


def _indices(names: list[str], classes: tuple[str, ...]) -> np.ndarray:
    index = {name: i for i, name in enumerate(classes)}
    if unknown := sorted(set(names) - set(classes)):
        raise contract.BadRequest(f"the labels have classes that the request does not: {', '.join(unknown)}")
    return np.array([index[name] for name in names], np.float32)
