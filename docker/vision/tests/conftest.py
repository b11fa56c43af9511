"""A landing zone, and `vision pack` run over it as the process that it is in production."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
import pytest

import strandline_contract as contract
from vision import shards

PROJECT = Path(__file__).resolve().parents[1]


@dataclass
class Packed:
    shard: Path
    result: contract.Result
    outcomes: list[dict]
    images: list[dict]

    @property
    def by_name(self) -> dict[bytes, dict]:
        return {row["name"]: row for row in self.outcomes}

    def pixels(self, name: bytes) -> bytes:
        return next(i["pixels"] for i in self.images if i["image_id"] == self.by_name[name]["image_id"])


@dataclass
class Drop:
    """Files of one landing zone; `listed` is what the manifest will say of them, in this order."""

    folder: Path
    listed: list[tuple[bytes, str]] = field(default_factory=list)

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    def path(self, name: bytes) -> Path:
        return self.landing / os.fsdecode(name)

    def add(self, name: bytes, content: bytes) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes(content)
        self.list(name)

    def list(self, name: bytes) -> None:
        found = self.path(name).lstat()
        self.listed.append((name, f"{found.st_size}-{found.st_mtime_ns}"))

    def prepare(
        self,
        workers: int = 2,
        height: int = 32,
        width: int = 32,
        rule: contract.ResizeRule | None = None,
        root: Literal["landing", "store", "fetched"] = "landing",
        **limits,
    ) -> Path:
        """The request file of a fresh attempt; `rule` stands in for height and width."""
        self.landing.mkdir(parents=True, exist_ok=True)
        store = self.folder / "store"
        store.mkdir(exist_ok=True)
        out = store / f"attempt-{len(list(store.iterdir())) + 1}"
        out.mkdir()
        manifest = shards.TableWriter(out / contract.MANIFEST_FILE, contract.MANIFEST_COLUMNS)
        names, versions = [name for name, _ in self.listed], [version for _, version in self.listed]
        manifest.write({"entry": list(range(len(names))), "name": names, "version": versions})
        manifest.close()
        path = f"{out.name}/{contract.MANIFEST_FILE}"
        reference = contract.FileRef(path, contract.sha256_file(out / contract.MANIFEST_FILE))
        request = contract.PackRequest(
            shard_id="s",
            manifest=reference,
            limits=contract.Limits(**limits),
            workers=workers,
            **vars(rule or contract.ResizeRule(height, width)),
            root=root,
        )
        contract.write_json(out / contract.REQUEST_FILE, request.to_dict())
        return out / contract.REQUEST_FILE

    @contextmanager
    def packing(self, request: Path, **options) -> Iterator[subprocess.Popen]:
        environment = os.environ | {
            "STRANDLINE_LANDING": str(self.landing),
            "STRANDLINE_STORE": str(self.folder / "store"),
            "PYTHONPATH": str(PROJECT),
        }
        command = [sys.executable, "-m", "vision", "pack", "--request", str(request)]
        process = subprocess.Popen(command, env=environment, cwd=PROJECT, stderr=subprocess.PIPE, text=True, **options)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def pack(self, **settings) -> Packed:
        request = self.prepare(**settings)
        with self.packing(request) as process:
            _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        return self.packed(request.parent)

    def packed(self, out: Path) -> Packed:
        """What an attempt wrote, once every promise that holds for all of them was checked."""
        result = contract.read_result(out, "pack")
        outcomes = shards.read_table(out / contract.OUTCOMES_FILE, contract.OUTCOME_COLUMNS).to_pylist()
        images = shards.read_table(out / contract.SHARD_FILE, contract.SHARD_COLUMNS).to_pylist()
        shown = shards.read_table(out / contract.PREVIEWS_FILE, contract.PREVIEW_COLUMNS).to_pylist()
        assert [row["entry"] for row in outcomes] == list(range(len(self.listed)))
        assert pq.read_schema(out / contract.SHARD_FILE).names == [name for name, _ in contract.SHARD_COLUMNS]
        for row, (name, _) in zip(outcomes, self.listed, strict=True):
            row["name"] = name
            assert (row["status"] == "decoded") == (row["reason"] is None) == (row["brightness"] is not None)
            assert (row["dhash"] is None) == (row["brightness"] is None)
            assert row["detail"] is None or row["detail"].isprintable()
        decoded = [row["image_id"] for row in outcomes if row["status"] == "decoded"]
        assert [image["image_id"] for image in images] == list(dict.fromkeys(decoded))
        assert result.counts["entries"] == len(outcomes)
        assert result.counts["images"] == len(images)
        assert sum(result.counts[s] for s in ("decoded", "quarantined", "rejected", "vanished")) == len(outcomes)
        for preview in shown:
            row = outcomes[preview.pop("entry")]
            row["preview"] = preview
            assert row["status"] == "quarantined"
            assert len(preview["pixels"]) == preview["width"] * preview["height"] * 3
        return Packed(out / contract.SHARD_FILE, result, outcomes, images)


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)
