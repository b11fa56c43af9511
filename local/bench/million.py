"""Whether a large drop closes its books in the same memory as a small one: `make bench-million`.

One drop of a million small files, no two alike, goes through the DAG once. What it took, and how much memory each part
of the stack had at the most, is a table, and `.strandline/bench-million.json`. With several numbers of images, their
drops go through one after the other.
"""

import argparse
import contextlib
import dataclasses
import datetime
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import strandline_contract as contract
from local.bench.bench import DAG, Bench, machine, say
from local.bench.memory import Watch
from local.stack import databases
from local.stack.api import Api
from local.stack.stack import COMPONENTS
from strandline import ledger, settings

MILLION = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[MILLION], help="images of each drop, growing")
    arguments = parser.parse_args()
    os.environ["STRANDLINE_PERIOD"] = "day"  # so that no scheduled run comes between
    million = Million(settings.load())
    report = million.measure(arguments.images)
    path = million.cache / "bench-million.json"
    contract.write_json(path, report)
    print(table(report))
    print(f"\nAll figures: {path}")
    return 0


class Million(Bench):
    def measure(self, sizes: Sequence[int]) -> dict[str, Any]:
        with self.stack, contextlib.closing(self.stack.api()) as api:
            api.wait_quiet(DAG)  # a scheduled run would take the drops up as late files
            for number, size in enumerate(sizes):
                self.distinct(size, number)
            drops = {str(size): self.watched(api, size, number) for number, size in enumerate(sizes)}
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return {"machine": machine(self.config), "at": at, "drops": drops}

    def watched(self, api: Api, size: int, number: int) -> dict[str, Any]:
        """A run over a drop: seconds, memory, and the numbers with which its books closed."""
        with Watch(self.roots) as watch:
            run = self.ingest(api, size, number)
        tasks = {row["id"]: row["task_id"] for row in api.task_instances(DAG, run["run_id"])}
        with ledger.connect("ingest", self.stack.settings.database_url) as connection:
            (closing,) = ledger.fetch(connection, "select_closing", {"run_id": run["run_id"]})
        counts = dict(closing)
        if counts["ingested"] != size or counts["classified"] != size:
            raise SystemExit(f"{size:,} files landed, none like another, and the books closed with {counts}")
        say(f"  the books closed: {counts}")
        memory = {part: dataclasses.asdict(peak) for part, peak in watch.peaks(tasks).items()}
        return {"seconds": run["seconds"], "task_seconds": run["tasks"], "counts": counts, "memory": memory}

    def roots(self) -> Iterable[int]:
        """The processes below which all others of the stack are."""
        found = [process.pid for name in COMPONENTS if (process := self.stack.running(name))]
        postgres = databases.process_id(self.config)
        return found if postgres is None else [*found, postgres]


def table(report: dict[str, Any]) -> str:
    """What a person reads: seconds and memory, a column a drop."""
    drops = report["drops"]
    lines = [f"{'images':<36}" + "".join(f"{int(size):>12,}" for size in drops)]
    lines.append(f"{'seconds':<36}" + "".join(f"{drop['seconds']:>12,.1f}" for drop in drops.values()))
    lines.append(f"{'images/s':<36}" + "".join(f"{int(n) / drop['seconds']:>12,.0f}" for n, drop in drops.items()))
    for task in next(iter(drops.values()))["task_seconds"]:
        lines.append(f"{task:<36}" + "".join(f"{drop['task_seconds'].get(task, 0):>12,.1f}" for drop in drops.values()))
    lines += ["", "peak memory (RSS) of the largest process of each part, MiB"]
    for part in sorted({part for drop in drops.values() for part in drop["memory"]}):
        found = (drop["memory"].get(part, {}).get("memory", 0) / 2**20 for drop in drops.values())
        lines.append(f"{part:<36}" + "".join(f"{memory:>12,.0f}" for memory in found))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
