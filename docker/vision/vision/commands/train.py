"""Train a network, from scratch or from the weights of a bundle; the same request on the same machine gives the same
weights, unless its time runs out.

One-cycle learning rate after Smith, "Super-Convergence" (2018): linear warm-up, then linearly to zero, over the epochs
that the time allows (Li et al., "Budgeted Training", 2020). Low-resolution epochs see small random crops after Touvron
et al., "Fixing the train-test resolution discrepancy" (2019). Blended weights keep what the first ones knew: Wortsman
et al., "Robust fine-tuning of zero-shot models" (2022).
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

import strandline_contract as contract
from vision import shards
from vision.backends.backend import normalise
from vision.models import bundles, corruptions, curves, networks, trained
from vision.models.history import TrainingHistory
from vision.paths import Paths

Batch = tuple[np.ndarray, np.ndarray]  # which images [n], and what the network sees of them, float32 [n, 3, side, side]

VALIDATION = 2**31  # the random stream of the split; those of epochs are numbered from 0


def run(request: contract.TrainRequest, paths: Paths) -> contract.Result:
    """Write the bundle of the trained network and its learning curves; a checkpoint after each epoch lets a later
    attempt go on.
    """
    started = time.perf_counter()
    parent = _parent(request, paths.store)
    rule = request.preprocessing().resize_rule()
    ids, images, names = shards.labelled_images(paths.store, request.shards, request.labels, rule)
    labels = _indices(names, request.classes)
    learnt, checked = split(len(ids), request)
    loaded = time.perf_counter()
    trainer = _Trainer.start(request, parent, dataset := data_set_hash(ids, names))
    checkpoint = paths.out / contract.CHECKPOINT_FILE
    trainer.restore(_checkpoint(request, paths), paths.out)
    history = trainer.history
    progress = Progress(len(learnt))
    while not history.over(request):
        began = time.perf_counter()
        row = trainer.epoch(images[learnt], labels[learnt], progress)
        row |= trainer.examine(images[checked], labels[checked]) if len(checked) else {}
        history.add(row | {"seconds": time.perf_counter() - began}, request.seconds)
        if history.best == history.done:
            trainer.keep()
        trainer.save(checkpoint)
        # Each epoch starts as a resumed one does, so both compute the same: MXNet changes the layout of used weights.
        trainer.restore(checkpoint, paths.out)
        progress.epoch_done(history)
    trainer.finish()
    folder = paths.out / contract.BUNDLE_FOLDER
    version = trained.write_trained(
        folder,
        trainer.net,
        request,
        data_set={"images": len(learnt), "validation_images": len(checked), "data_set": dataset},
        done={"epochs_done": history.done, "best_epoch": history.best, "versions": networks.versions()},
    )
    contract.write_json(paths.out / contract.CURVES_FILE, history.rows)
    (paths.out / contract.CURVES_PLOT).write_text(curves.plot(history.rows, history.best), encoding="utf-8")
    files = [f"{contract.BUNDLE_FOLDER}/{file.name}" for file in sorted(folder.iterdir())]
    result = contract.write_result(
        paths.out,
        "train",
        [*files, contract.CURVES_FILE, contract.CURVES_PLOT],
        counts={"images": len(learnt), "validation_images": len(checked), "epochs": history.done, "best": history.best},
        seconds={"load": loaded - started, "train": history.seconds},
        versions=networks.versions() | {"bundle": version},
        device=request.device,
    )
    checkpoint.unlink(missing_ok=True)
    return result


def split(count: int, request: contract.TrainRequest) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` images are learnt from, and which are held back for validation.

    Raises:
        contract.BadRequest: one of the two has none.
    """
    held_back = round(request.validation_share * count)
    order = np.random.default_rng((request.seed, VALIDATION)).permutation(count)
    if not held_back and (request.validation_share or request.patience is not None):
        raise contract.BadRequest(f"of {count} images, a validation_share of {request.validation_share} is none")
    if held_back >= count:
        raise contract.BadRequest(f"a validation_share of {request.validation_share} leaves nothing to learn from")
    return np.sort(order[held_back:]), np.sort(order[:held_back])


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
    count, (height, width) = len(images), padded.shape[1:3]
    top = random.integers(0, height - side + 1, count)
    left = random.integers(0, width - side + 1, count)
    columns = np.arange(side)[None, :] + left[:, None]
    columns = np.where((random.random(count) < 0.5)[:, None], columns[:, ::-1], columns)
    rows = np.arange(side)[None, :] + top[:, None]
    cropped: np.ndarray = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped


def batches(images: np.ndarray, request: contract.TrainRequest, epoch: int, low: bool) -> Iterator[Batch]:
    """An epoch's, by its random stream; what would be a partial batch is left out."""
    random = np.random.default_rng((request.seed, epoch))
    order = random.permutation(len(images))
    size = min(request.batch_size, len(images))
    side, padding = (request.low_side, 0) if low else (request.height, request.padding)
    for start in range(0, len(images) - size + 1, size):
        chosen = order[start : start + size]
        batch = images[chosen]
        if request.corruption:
            batch = corruptions.corrupt(batch, request.corruption, random)
        yield chosen, normalise(augment(batch, side, padding, random), request.mean, request.std)


def _ahead(coming: Iterator[Batch]) -> Iterator[Batch]:
    """Each batch while the next one is made, in another thread."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, coming, None)
        while (batch := future.result()) is not None:
            future = pool.submit(next, coming, None)
            yield batch


class Progress:
    """One line an epoch and, on a terminal, one that moves."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._started = time.perf_counter()
        self._seen = 0

    def step(self, epoch: int, epochs: int, images: int) -> None:
        self._seen += images
        if sys.stderr.isatty():
            rate = self._seen / (time.perf_counter() - self._started)
            done = self._seen % self._images / self._images
            print(f"\repoch {epoch + 1}/{epochs} {done:4.0%} {rate:.0f} images/s", end="", file=sys.stderr)

    def epoch_done(self, history: TrainingHistory) -> None:
        elapsed = time.perf_counter() - self._started
        end = "\r" if sys.stderr.isatty() else ""
        row = history.rows[-1]
        validation = f", validation {row['validation_accuracy']:.2%}" if "validation_loss" in row else ""
        print(
            f"{end}epoch {history.done}/{history.epochs}: loss {row['loss']:.4f},"
            f" training accuracy {row['accuracy']:.2%}{validation},"
            f" {self._seen / elapsed:.0f} images/s, {elapsed / 60:.1f} min",
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
    history: TrainingHistory
    origin: list[np.ndarray]  # weights that it starts from
    best: list[np.ndarray] = field(default_factory=list)  # weights, if a validation decides which are kept

    @classmethod
    def start(cls, request: contract.TrainRequest, parent: bundles.Bundle | None, dataset: str) -> "_Trainer":
        context = networks.context(request.device, request.threads)
        mx.random.seed(request.seed)
        np.random.seed(request.seed)  # MXNet's CPU initialisers draw from numpy's global state
        net = networks.build(request.network, request.classes)
        net.initialize(mx.init.MSRAPrelu("out", 0), ctx=context)
        net(mx.nd.zeros((1, 3, request.height, request.width), ctx=context))
        if parent:
            networks.load_weights(net, parent, context)
        net.hybridize(static_alloc=True, static_shape=True)
        for parameter in net.collect_params(".*(gamma|beta|bias)$").values():
            parameter.wd_mult = 0.0
        settings = {"learning_rate": 0.0, "momentum": request.momentum, "wd": request.weight_decay}
        optimizer = gluon.Trainer(net.collect_params(), "nag", settings)
        origin = [parameter.data().asnumpy() for parameter in net.collect_params().values()]
        return cls(
            request, _identity(request, dataset), net, optimizer, context, TrainingHistory(request.epochs), origin
        )

    @property
    def parameters(self) -> list[gluon.Parameter]:
        return list(self.net.collect_params().values())

    def epoch(self, images: np.ndarray, labels: np.ndarray, progress: Progress) -> dict[str, float]:
        """Mean loss and accuracy over the augmented images of one epoch; a last partial batch is left out."""
        request, epoch, epochs = self.request, self.history.done, self.history.epochs
        size = min(request.batch_size, len(images))
        steps = len(images) // size
        loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
        loss_sum, right, rates = 0.0, 0, []
        low = epoch < request.low_share * epochs
        for step, (chosen, batch) in enumerate(_ahead(batches(images, request, epoch, low))):
            data = mx.nd.array(batch, ctx=self.context)
            target = mx.nd.array(labels[chosen], ctx=self.context)
            rates.append(learning_rate(request, (epoch + (step + 1) / steps) / epochs))
            self.optimizer.set_learning_rate(rates[-1])
            with autograd.record():
                output = self.net(data)
                loss = loss_of(output, target)
            loss.backward()
            self.optimizer.step(size)
            loss_sum += float(loss.sum().asscalar())
            right += int((output.argmax(axis=1) == target).sum().asscalar())
            progress.step(epoch, epochs, size)
        if not np.isfinite(loss_sum):
            raise RuntimeError(f"the loss of epoch {epoch + 1} is not finite; lower peak_lr ({request.peak_lr})")
        count = steps * size
        return {"loss": loss_sum / count, "accuracy": right / count, "lr": float(np.mean(rates))}

    def examine(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Mean loss and accuracy over images as they are, batch by batch of the size that is trained with."""
        size = min(self.request.batch_size, len(images))
        loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
        losses, right = [], 0
        for start in range(0, len(images), size):
            chosen = np.arange(start, start + size) % len(images)  # the last batch is filled up, for one shape is fast
            count = min(size, len(images) - start)
            batch = normalise(images[chosen], self.request.mean, self.request.std)
            output = self.net(mx.nd.array(batch, ctx=self.context))
            target = mx.nd.array(labels[chosen], ctx=self.context)
            losses.append(loss_of(output, target).asnumpy()[:count])
            right += int((output.argmax(axis=1) == target).asnumpy()[:count].sum())
        return {"validation_loss": float(np.concatenate(losses).mean()), "validation_accuracy": right / len(images)}

    def keep(self) -> None:
        """Remember the weights as the best so far, if it is a validation that says so."""
        if self.request.validation_share:
            self.best = [parameter.data().asnumpy() for parameter in self.parameters]

    def finish(self) -> None:
        """Take the best weights, or as much of them as the request says."""
        learnt = self.best or [parameter.data().asnumpy() for parameter in self.parameters]
        share = np.float32(self.request.weight_interpolation)
        for parameter, first, last in zip(self.parameters, self.origin, learnt, strict=True):
            parameter.set_data(mx.nd.array(first * (1 - share) + last * share if share < 1 else last, ctx=self.context))

    def save(self, path: Path) -> None:
        """Parameters, momentum, the best parameters and the history: all that the next epoch depends on."""
        arrays = {f"parameter:{i}": parameter.data().asnumpy() for i, parameter in enumerate(self.parameters)}
        arrays |= {f"best:{i}": array for i, array in enumerate(self.best)}
        with tempfile.NamedTemporaryFile(dir=path.parent) as states:
            self.optimizer.save_states(states.name)
            momentum = np.fromfile(states.name, np.uint8)
        history = json.dumps({"epochs": self.history.epochs, "rows": self.history.rows})
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, history=history, request=self.identity, momentum=momentum, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)

    def restore(self, path: Path | None, scratch: Path) -> None:
        """Be as it was when the checkpoint was saved, if there is one."""
        if path is None:
            return
        with np.load(path) as saved:
            if str(saved["request"]) != self.identity:
                raise contract.BadRequest(f"{path} is the checkpoint of another training request")
            for i, parameter in enumerate(self.parameters):
                parameter.set_data(mx.nd.array(saved[f"parameter:{i}"], ctx=self.context))
            self.best = [saved[f"best:{i}"] for i in range(len(self.parameters)) if f"best:{i}" in saved]
            with tempfile.NamedTemporaryFile(dir=scratch) as states:
                saved["momentum"].tofile(states.name)
                self.optimizer.load_states(states.name)
            history = json.loads(str(saved["history"]))
            self.history.epochs, self.history.rows = history["epochs"], history["rows"]


def _parent(request: contract.TrainRequest, store: Path) -> bundles.Bundle | None:
    """The bundle whose weights the training starts from, if it is to start from any."""
    if not 0 < request.weight_interpolation <= 1 or (request.weight_interpolation < 1 and request.start is None):
        raise contract.BadRequest(
            "weight_interpolation must be above 0 and at most 1, and 1 if there is no bundle to start from"
        )
    if request.start is None:
        return None
    parent = bundles.load(store, request.start)
    if not parent.weights.is_file():
        raise contract.BadRequest(f"the bundle to start from has no {contract.WEIGHTS_FILE}: it was imported")
    if (parent.network, parent.classes) != (request.network, request.classes):
        raise contract.BadRequest(
            f"the bundle to start from is a {parent.network} of the classes {', '.join(parent.classes)}; asked for is a"
            f" {request.network} of {', '.join(request.classes)}"
        )
    return parent


def _identity(request: contract.TrainRequest, dataset: str) -> str:
    """All that decides the weights."""
    return json.dumps(trained.parameters(request) | {"data_set": dataset}, sort_keys=True)


def _checkpoint(request: contract.TrainRequest, paths: Paths) -> Path | None:
    folders = [paths.out] + ([contract.store_path(paths.store, request.resume)] if request.resume else [])
    return next((f / contract.CHECKPOINT_FILE for f in folders if (f / contract.CHECKPOINT_FILE).is_file()), None)


def _indices(names: list[str], classes: tuple[str, ...]) -> np.ndarray:
    index = {name: i for i, name in enumerate(classes)}
    if unknown := sorted(set(names) - set(classes)):
        raise contract.BadRequest(f"the labels have classes that the request does not: {', '.join(unknown)}")
    return np.array([index[name] for name in names], np.float32)
