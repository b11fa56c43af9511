"""How fast the whole job is beside Ray Data: `make bench-peer`. One table, and `.strandline/bench-peer.json`.

Both take the same drops of files, no two alike, to the labels of the same model in the same library, in turn:
Strandline from the trigger of its DAG to closed books, Ray Data from the first read to the last Parquet file. Neither's
servers run while the other is measured, and neither's start counts. Nothing else should run meanwhile.

They do not do the same. Ray Data reads, decodes, classifies and writes; a file that does not decode ends it. Strandline
also lists and hashes every file, decodes it in a process that may die of it, measures it, has Great Expectations look
at all rows, and loads outcomes, images and predictions into a ledger that proves that nothing was lost.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import strandline_contract as contract
from local.bench.bench import DAG, Bench, machine, say
from local.stack.api import Api
from strandline import settings

SIZES = (10_000, 50_000)
ROUNDS = 3
WARM = 2_000  # files that both get first: fewer would tell nothing of how large a shard should be
LAYOUTS = tuple(f"{layout}x{batch}" for layout in ("1x1", "1x2", "2x1") for batch in (64, 256, 1024))
CHAMPION = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
RAY = settings.REPOSITORY / ".strandline" / "venvs" / "ray" / "bin" / "python"
TARGETS = {10_000: 1.5, 50_000: 2.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="images of each drop, growing")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--layouts", nargs="+", default=LAYOUTS, help="of Ray's: the fastest at the first drop is taken"
    )
    arguments = parser.parse_args()
    os.environ["STRANDLINE_PERIOD"] = "day"  # so that no scheduled run comes between
    peer = Peer(settings.load())
    report = peer.compare(arguments.images, arguments.rounds, arguments.layouts)
    path = peer.cache / "bench-peer.json"
    contract.write_json(path, report)
    print(table(report))
    print(f"\nAll figures: {path}")
    return 0


class Peer(Bench):
    """Drops are numbered, and so are their hours: the first is the one to warm up with."""

    def compare(self, sizes: Sequence[int], rounds: int, layouts: Sequence[str]) -> dict[str, Any]:
        layout = ""
        tried: dict[str, float] = {}
        seconds: dict[str, dict[str, list[float]]] = {str(size): {"strandline": [], "ray": []} for size in sizes}
        tasks = {}
        for one in range(rounds):
            numbers = {1 + one * len(sizes) + place: size for place, size in enumerate(sizes)}
            with self.stack, contextlib.closing(self.stack.api()) as api:
                api.wait_quiet(DAG)  # a scheduled run would take the drops up as late files
                self.warm(api)
                for number, size in numbers.items():
                    self.distinct(size, number)
                for number, size in numbers.items():
                    run = self.ingest(api, size, number)
                    seconds[str(size)]["strandline"].append(run["seconds"])
                    tasks[str(size)] = run["tasks"]
            if not layout:
                layout, tried = self.fastest(min(numbers), layouts)
            for number, size in numbers.items():
                (done,) = self.ray(number, [layout])
                if done["rows"] != size:
                    raise SystemExit(f"Ray Data wrote {done['rows']} rows for {size} files")
                say(f"  Ray Data: {size / done['seconds']:,.0f} images/s")
                seconds[str(size)]["ray"].append(done["seconds"])
        return {
            "machine": machine(self.config),
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "backend": self.config.vision.runtime().to_dict(),
            "layout": layout,
            "layouts": tried,
            "seconds": seconds,
            "task_seconds": tasks,
            "airflow": importlib.metadata.version("apache-airflow-core"),
        }

    def warm(self, api: Api) -> None:
        """A run over a few files, of which the first are new."""
        self.distinct(WARM, 0)
        self.ingest(api, WARM, 0)

    def fastest(self, number: int, layouts: Sequence[str]) -> tuple[str, dict[str, float]]:
        """Of these layouts of Ray's job the fastest at a drop; and the seconds of each."""
        say("Ray Data in several layouts ...")
        tried = {done["layout"]: done["seconds"] for done in self.ray(number, layouts)}
        return min(tried, key=tried.__getitem__), tried

    def ray(self, number: int, layouts: Sequence[str]) -> list[dict[str, Any]]:
        """Seconds and rows of Ray's job on a drop, in each of these layouts."""
        out = self.config.home / "ray"
        environment = {"PATH": os.defpath, "HOME": str(out), "RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "true"}
        command = [RAY, Path(__file__).with_name("peer_ray.py"), "--files", self.folder(number)]
        command += ["--warm", self.folder(0), "--bundle", CHAMPION, "--out", out / "predictions"]
        out.mkdir(exist_ok=True)
        done = subprocess.run(
            [*map(str, command), "--cores", str(self.config.vision.cores), "--layouts", *layouts],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def folder(self, number: int) -> Path:
        return self.config.landing_folder / self.start(number).strftime(self.period.path_format)


def table(report: dict[str, Any]) -> str:
    """What a person reads: medians and their ratio, each beside its target."""
    seconds = report["seconds"]
    medians = {size: {who: statistics.median(found) for who, found in both.items()} for size, both in seconds.items()}
    lines = [f"{'images/s, medians':<32}" + "".join(f"{int(size):>12,}" for size in medians)]
    for who, name in (("strandline", "Strandline, whole DAG"), ("ray", f"Ray Data, {report['layout']}")):
        lines.append(f"{name:<32}" + "".join(f"{int(size) / both[who]:>12,.0f}" for size, both in medians.items()))
    ratios = {size: both["ray"] / both["strandline"] for size, both in medians.items()}
    lines.append(f"{'ratio':<32}" + "".join(f"{ratio:>12.2f}" for ratio in ratios.values()))
    targets = (TARGETS.get(int(size)) for size in ratios)
    lines.append(f"{'target':<32}" + "".join(f"{target or '':>12}" for target in targets))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
