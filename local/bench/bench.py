"""How fast it is: `make bench`. One table, and `.strandline/bench.json`; every ratio is of two figures of one run.

A stack of its own, on free ports, ingests drops of real images through Airflow; then each phase runs again alone, as
the same command on the same files. Nothing else should run meanwhile.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import strandline_contract as contract
from local.stack import databases
from local.stack.api import Api
from local.stack.processes import free_port
from local.stack.stack import Stack
from strandline import periods, settings

DAG = "ingest_images"
SIZES = (1_000, 10_000, 50_000)
FIRST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DEEP = "cifar_resnet110_v1"
FLAT = 1.25  # memory is called flat when six times the images take at most this much more
TARGETS = {
    "classify / bare GluonCV loop": 0.95,
    "classify / a model built for every image": 80.0,
    "pack, images/s": 4_000.0,
    "load, rows/s": 50_000.0,
    f"whole DAG / classify alone, {DEEP}": 0.8,
    "whole DAG / classify alone, champion": 0.5,
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of one command: wall-clock seconds, and the peak memory of its largest process in bytes."""

    seconds: float
    memory: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="images of each drop, growing")
    arguments = parser.parse_args()
    bench = Bench(settings.load())
    report = bench.run(arguments.images)
    path = bench.config.home.parent / "bench.json"
    contract.write_json(path, report)
    print(table(report))
    print(f"\nAll figures: {path}")
    return 0


class Bench:
    def __init__(self, base: settings.Settings) -> None:
        home = base.home / "bench"
        shutil.rmtree(home, ignore_errors=True)
        self.cache = base.home
        self.config = dataclasses.replace(
            base,
            home=home,
            landing=home / "landing",
            labels=dataclasses.replace(base.labels, folder=home / "labels"),
            ingest=dataclasses.replace(base.ingest, stable_seconds=0.0),
            local=dataclasses.replace(base.local, api_port=free_port(), postgres_port=free_port()),
        )
        self.stack = Stack(self.config, say=say)
        self.alone = 0
        self.period = periods.get()

    def run(self, sizes: Sequence[int]) -> dict[str, Any]:
        report: dict[str, Any] = {"machine": machine(self.config), "targets": TARGETS, "phases": {}}
        with self.stack, contextlib.closing(self.stack.api()) as api:
            runs = []
            for number, size in enumerate(sizes):
                api.wait_quiet(DAG)  # a scheduled run would take the drop up as late files
                self.drop(size, number)
                runs.append(self.ingest(api, size, number))
            for size, run in zip(sizes, runs, strict=True):
                report["phases"][str(size)] = self.phases(size, run)
            report["classify"] = self.model(runs[-1])
            report["deep"] = self.deep(api, sizes[-1], len(sizes) - 1, runs[-1])
        report["ratios"] = ratios(report, sizes)
        return report

    def start(self, number: int) -> datetime.datetime:
        """Of the period that drop `number` is of."""
        return FIRST + number * self.period.length

    def drop(self, size: int, number: int) -> None:
        period = self.period.write(self.start(number))
        self.dropping("local.demo.drop", "--count", str(size), "--period", period)

    def distinct(self, size: int, number: int) -> None:
        """Drop so many small files that no other drop has, no two alike."""
        say(f"Dropping {size:,} files ...")
        drop = ["--count", str(size), "--period", self.period.write(self.start(number)), "--seed", str(number)]
        self.dropping("local.bench.distinct", *drop)

    def dropping(self, program: str, *arguments: str) -> None:
        environment = os.environ | {"STRANDLINE_HOME": str(self.cache), "STRANDLINE_LANDING": str(self.config.landing)}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (settings.REPOSITORY, settings.REPOSITORY / "plugins")))
        subprocess.run([self.config.vision.python, "-m", program, *arguments], env=environment, check=True)

    def ingest(self, api: Api, size: int, number: int, **conf: Any) -> dict[str, Any]:
        """One run through Airflow, from trigger to closed books; its id and seconds, as a whole and by task."""
        say(f"Ingesting {size:,} images ...")
        start = self.start(number)
        started = time.perf_counter()
        run_id = api.trigger(DAG, (start, start + self.period.length), conf)
        state = api.wait(DAG, run_id, timeout=3600)
        seconds = time.perf_counter() - started
        if state != "success":
            raise SystemExit(f"run {run_id} ended as {state}: its logs are in {self.config.home / 'airflow' / 'logs'}")
        row = api.run(DAG, run_id)
        whole = (_time(row["end_date"]) - _time(row["queued_at"])).total_seconds()
        say(f"  {size / whole:,.0f} images/s")
        return {"run_id": run_id, "start": start, "seconds": whole, "polled": seconds, "tasks": _tasks(api, run_id)}

    def phases(self, size: int, run: dict[str, Any]) -> dict[str, Any]:
        """Images/s and peak memory of each phase alone, and of the whole DAG."""
        say(f"Each phase alone, {size:,} images ...")
        folder = self.config.run_folder(run["run_id"])
        pack = self.commands(folder, "pack", workers=self.config.vision.cores)
        classify = self.commands(folder, "classify", runtime=self.config.vision.runtime().to_dict())
        load, rows = self.load(run["run_id"], size, run["start"])
        measured = {"pack": pack, "classify": classify, "load": load}
        return {
            "images_per_second": {name: size / m.seconds for name, m in measured.items()}
            | {"whole_dag": size / run["seconds"]},
            "loaded_rows_per_second": rows / load.seconds,
            "memory": {name: m.memory for name, m in measured.items()},
            "dag_seconds": run["seconds"],
            "task_seconds": run["tasks"],
        }

    def commands(self, run_folder: Path, command: str, **changes: Any) -> Measured:
        """The run's requests again, one after the other, each with all cores."""
        done = [
            self.vision(command, json.loads(request.read_bytes()) | changes)
            for request in sorted((run_folder / command).glob(f"*/*/{contract.REQUEST_FILE}"))
        ]
        return Measured(sum(m.seconds for m in done), max(m.memory for m in done))

    def vision(self, command: str, request: dict[str, Any], folder: Path | None = None) -> Measured:
        from strandline.operators.process import vision_environment

        self.alone += 1
        folder = folder or self.config.store / "alone" / f"{self.alone:03d}-{command}"
        folder.mkdir(parents=True)
        contract.write_json(folder / contract.REQUEST_FILE, request)
        arguments = ["-m", "vision", command, "--request", str(folder / contract.REQUEST_FILE)]
        return _measure([str(self.config.vision.python), *arguments], vision_environment(self.config, folder))

    def load(self, run_id: str, size: int, start: datetime.datetime) -> tuple[Measured, int]:
        """The run's results into a fresh ledger, and the rows this added; the time is that of `predictions.load`."""
        url = databases.another(self.stack.settings, f"load_{size}")
        environment = self.stack.environment() | {"STRANDLINE_DATABASE_URL": url}
        report = self.config.home / "load.json"
        command = [sys.executable, "-m", "local.bench.load", run_id, start.isoformat(), str(report)]
        measured = _measure(command, environment)
        loaded = json.loads(report.read_bytes())
        return Measured(loaded["seconds"], measured.memory), loaded["rows"]

    def model(self, run: dict[str, Any]) -> dict[str, float]:
        """`classify` against a bare loop, on the first 10,000 rows of a shard of the largest drop."""
        say("classify against a bare GluonCV loop ...")
        requests = sorted((self.config.run_folder(run["run_id"]) / "classify").glob(f"*/*/{contract.REQUEST_FILE}"))
        request = self.config.home / "model-request.json"
        alone = {"runtime": self.config.vision.runtime().to_dict()}
        contract.write_json(request, json.loads(requests[0].read_bytes()) | alone)
        return self.bench_model(request)

    def bench_model(self, request: Path) -> dict[str, float]:
        from strandline.operators.process import VISION_PROJECT, vision_environment

        environment = vision_environment(self.config, self.config.home)
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (VISION_PROJECT, settings.REPOSITORY)))
        command = [str(self.config.vision.python), "-m", "local.bench.model", "--store", str(self.config.store)]
        done = subprocess.run(
            [*command, "--request", str(request)], env=environment, stdout=subprocess.PIPE, check=True
        )
        measured: dict[str, float] = json.loads(done.stdout)
        return measured

    def deep(self, api: Api, size: int, number: int, champion_run: dict[str, Any]) -> dict[str, Any]:
        """The largest drop again with a deep network, whose weights are as good as random: only its speed counts."""
        say(f"A bundle of {DEEP} ...")
        version = self.deep_bundle(champion_run)
        run = self.ingest(api, size, number, model_version=version)
        folder = self.config.run_folder(run["run_id"])
        alone = self.commands(folder, "classify", runtime=self.config.vision.runtime().to_dict())
        return {"classify": size / alone.seconds, "whole_dag": size / run["seconds"], "task_seconds": run["tasks"]}

    def deep_bundle(self, champion_run: dict[str, Any]) -> str:
        """A few steps of training give it batch statistics: fresh ones let values grow beyond all bounds."""
        pack = sorted((self.config.run_folder(champion_run["run_id"]) / "pack").glob(f"*/*/{contract.SHARD_FILE}"))[0]
        labels = self.config.store / "alone" / "labels.parquet"
        champion = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
        classes = json.loads((champion / contract.CLASSES_FILE).read_bytes())
        preprocessing = json.loads((champion / contract.PREPROCESSING_FILE).read_bytes())
        _write_labels(pack, labels, classes, count=512)
        request = {"name": DEEP, "network": DEEP, "classes": classes, "epochs": 1, "batch_size": 16, "peak_lr": 0.01}
        request |= preprocessing | {"shards": [self.ref(pack)], "labels": self.ref(labels), "low_share": 0.0}
        folder = self.config.store / "alone" / "deep"
        self.vision("train", request | {"threads": self.config.vision.cores}, folder)
        return self.register(folder / contract.BUNDLE_FOLDER)

    def register(self, bundle: Path) -> str:
        code = "import sys, pathlib; from strandline.models import registry; "
        code += "print(registry.register(pathlib.Path(sys.argv[1]), 'make bench'))"
        command = [sys.executable, "-c", code, str(bundle)]
        done = subprocess.run(command, env=self.stack.environment(), stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def ref(self, path: Path) -> dict[str, str]:
        return {"path": str(path.relative_to(self.config.store)), "sha256": contract.sha256_file(path)}


def ratios(report: dict[str, Any], sizes: Sequence[int]) -> dict[str, float]:
    phases = report["phases"][str(sizes[-1])]
    largest = phases["images_per_second"]
    deep = report["deep"]
    return {
        "classify / bare GluonCV loop": report["classify"]["of_bare_loop"],
        "classify / a model built for every image": report["classify"]["times_model_per_image"],
        "pack, images/s": largest["pack"],
        "load, rows/s": phases["loaded_rows_per_second"],
        f"whole DAG / classify alone, {DEEP}": deep["whole_dag"] / deep["classify"],
        "whole DAG / classify alone, champion": largest["whole_dag"] / largest["classify"],
    }


def table(report: dict[str, Any]) -> str:
    """What a person reads: rates and memory by size, then each ratio beside its target."""
    phases = report["phases"]
    names = ("pack", "classify", "load", "whole_dag")
    lines = [f"{'images/s':<44}" + "".join(f"{int(size):>12,}" for size in phases)]
    lines += [
        f"{name.replace('_', ' '):<44}"
        + "".join(f"{phases[size]['images_per_second'][name]:>12,.0f}" for size in phases)
        for name in names
    ]
    lines += ["", f"{'peak memory, MiB':<44}"]
    lines += [
        f"{name:<44}" + "".join(f"{phases[size]['memory'][name] / 2**20:>12,.0f}" for size in phases)
        for name in names[:3]
    ]
    lines += ["", f"{'':<44}{'measured':>12}{'target':>12}"]
    for name, value in report["ratios"].items():
        met = "" if value >= TARGETS[name] else "  missed"
        lines.append(f"{name:<44}{value:>12,.2f}{TARGETS[name]:>12,.2f}{met}")
    for name, growth in memory_growth(phases).items():
        met = "" if growth <= FLAT else "  missed"
        lines.append(f"{'memory of ' + name + ', largest / next':<44}{growth:>12,.2f}{FLAT:>12,.2f}{met}")
    return "\n".join(lines)


def memory_growth(phases: dict[str, Any]) -> dict[str, float]:
    """Peak memory at the largest size over that at the one before it, by phase."""
    if len(phases) < 2:
        return {}
    before, largest = list(phases.values())[-2:]
    return {name: largest["memory"][name] / before["memory"][name] for name in largest["memory"]}


def _measure(command: list[str], environment: dict[str, str]) -> Measured:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return Measured(time.perf_counter() - started, usage.ru_maxrss * 1024)


def _tasks(api: Api, run_id: str) -> dict[str, float]:
    """Seconds from the first start to the last end of each task's instances."""
    spans: dict[str, list[float]] = {}
    for row in api.task_instances(DAG, run_id):
        if row["start_date"] and row["end_date"]:
            span = spans.setdefault(row["task_id"], [])
            span += [_time(row["start_date"]).timestamp(), _time(row["end_date"]).timestamp()]
    return {task: round(max(span) - min(span), 2) for task, span in spans.items()}


def _write_labels(shard: Path, path: Path, classes: Sequence[str], count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = pq.read_table(shard, columns=["image_id"])["image_id"].to_pylist()[:count]
    labels = [classes[number % len(classes)] for number in range(len(ids))]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image_id": ids, "label": labels}), path)


def machine(config: settings.Settings) -> dict[str, Any]:
    return {
        "cores": config.vision.cores,
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
    }


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
