"""Run a challenger beside the champion in the real runner: does it load and answer, and how fast are both?"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import strandline_contract as contract
from vision import backends
from vision.models import bundles, golden
from vision.paths import Paths

FEWEST_ROUNDS = 20
SECONDS = 60.0  # after which no further round begins


def run(request: contract.InfraValidateRequest, paths: Paths) -> contract.Result:
    """Write infra_validation.json. A challenger that does not work is an answer; a champion that does not is an error.

    Raises:
        contract.BadInput: the champion's bundle is not what the request says.
    """
    started = time.perf_counter()
    champion = _Runner.load(request.champion, request, paths.store)
    champion.seconds()  # to be as warm as the challenger
    try:
        challenger = _Runner.load(request.challenger, request, paths.store)
        challenger.check()
    except (contract.ContractError, ValueError, KeyError, RuntimeError, OSError) as error:
        challenger, detail = None, str(error) or type(error).__name__
    loaded = time.perf_counter()
    rounds = list(_rounds(champion, challenger, request.rounds)) if challenger else []
    versions = champion.backend.versions
    report = contract.InfraValidationReport(
        loaded=challenger is not None,
        detail="" if challenger else detail,
        champion_seconds=tuple(seconds for seconds, _ in rounds),
        challenger_seconds=tuple(seconds for _, seconds in rounds),
        device=request.runtime.device,
        versions=versions,
    )
    contract.write_json(paths.out / contract.INFRA_VALIDATION_FILE, report.to_dict())
    return contract.write_result(
        paths.out,
        "infra_validate",
        [contract.INFRA_VALIDATION_FILE],
        counts={"images": len(champion.images), "rounds": len(rounds)},
        seconds=paths.startup | {"load": loaded - started, "measure": time.perf_counter() - loaded},
        versions=versions | {"model": request.challenger.version},
        device=request.runtime.device,
    )


@dataclass(frozen=True)
class _Runner:
    """A bundle's network, and the made images that it is timed on: a batch, in the size that it takes."""

    backend: backends.Backend
    images: np.ndarray

    @classmethod
    def load(cls, ref: contract.BundleRef, request: contract.InfraValidateRequest, store: Path) -> "_Runner":
        bundle = bundles.load(store, ref)
        backend = backends.start(bundle, request.runtime)
        golden.check(backend)
        return cls(backend, golden.made_images(backend.batch_size, bundle.height, bundle.width))

    def check(self) -> None:
        """
        Raises:
            ValueError: what it answers are no probabilities.
        """
        probabilities, _ = self.backend(self.images)
        if not np.isfinite(probabilities).all():
            raise ValueError("its probabilities are no numbers")

    def seconds(self) -> float:
        """For one image."""
        started = time.perf_counter()
        self.backend(self.images)
        return (time.perf_counter() - started) / len(self.images)


def _rounds(champion: _Runner, challenger: _Runner, most: int) -> Iterator[tuple[float, float]]:
    """So many rounds; fewer if they take long, as those of a large network on few cores do."""
    started = time.perf_counter()
    for number in range(most):
        if number >= FEWEST_ROUNDS and time.perf_counter() - started > SECONDS:
            return
        yield _round(champion, challenger, number)


def _round(champion: _Runner, challenger: _Runner, number: int) -> tuple[float, float]:
    """Who is first alternates: what slows this host for a moment, or heats it, slows both."""
    if number % 2:
        second = challenger.seconds()
        return champion.seconds(), second
    return champion.seconds(), challenger.seconds()
