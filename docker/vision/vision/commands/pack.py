"""Decode the files that a manifest lists: one outcome row for every entry, one shard row for every distinct image, and
a small picture of what was refused.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import features

import strandline_contract as contract
from strandline_contract.reasons import DECODED
from vision import shards
from vision.decoding.files import File
from vision.decoding.sandbox import Preview, Sandbox
from vision.paths import Paths

OUTPUTS = (contract.SHARD_FILE, contract.OUTCOMES_FILE, contract.PREVIEWS_FILE)
GROUP_ROWS = 4096
GROUP_BYTES = 16 * 2**20


def run(request: contract.PackRequest, paths: Paths) -> contract.Result:
    """Write the shard, the outcomes and the previews, all in the manifest's order; the same files give the same bytes.

    Raises:
        contract.BadInput: the manifest is not what the request says.
        OSError: the outputs cannot be written.
        RuntimeError: no decoding process can be started, or the rows do not add up.
    """
    started = time.perf_counter()
    manifest = shards.read_table(contract.verified(paths.store, request.manifest), contract.MANIFEST_COLUMNS)
    verified = time.perf_counter()
    with (
        Sandbox(paths.root(request.root), request) as sandbox,
        _OutputWriter(paths.out, request.resize_rule()) as writer,
    ):
        listed = zip(_rows(manifest), _files(manifest, request.root == "fetched"), strict=True)
        for answer in sandbox.answers(_files(manifest, request.root == "fetched")):
            pixels = iter(answer.pixels)
            for outcome in answer.outcomes:
                (entry, *_), file = next(listed)
                if outcome["reason"] is None:
                    writer.add(entry, outcome, next(pixels))
                else:
                    writer.add(entry, outcome, None, sandbox.preview(file, outcome["reason"]))
        writer.flush()
    if writer.counts["entries"] != manifest.num_rows:
        raise RuntimeError(f"{manifest.num_rows} entries are listed, {writer.counts['entries']} have an outcome")
    return contract.write_result(
        paths.out,
        "pack",
        OUTPUTS,
        counts=writer.counts,
        seconds=paths.startup | {"verify": verified - started, "decode": time.perf_counter() - verified},
        versions=_versions(),
    )


def _rows(manifest: pa.Table) -> Iterator[tuple[int, bytes, str]]:
    """Entry, name, version tag; as Python objects only a few at a time."""
    for batch in manifest.to_batches(max_chunksize=GROUP_ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _files(manifest: pa.Table, fetched: bool) -> Iterator[File]:
    for entry, name, version in _rows(manifest):
        extension = "." + name.rpartition(b".")[2].lower().decode("ascii", "replace")
        yield File(b"%d" % entry if fetched else name, version, extension)


class _OutputWriter:
    """The outputs, written in groups of rows as they come, so that memory stays flat."""

    def __init__(self, out: Path, rule: contract.ResizeRule) -> None:
        with contextlib.ExitStack() as opening:
            self._shard, self._outcomes, self._shown = (
                opening.enter_context(shards.TableWriter(out / name, columns, metadata))
                for name, columns, metadata in (
                    (contract.SHARD_FILE, contract.SHARD_COLUMNS, shards.resize_metadata(rule)),
                    (contract.OUTCOMES_FILE, contract.OUTCOME_COLUMNS, None),
                    (contract.PREVIEWS_FILE, contract.PREVIEW_COLUMNS, None),
                )
            )
            self._files = opening.pop_all()
        self._out = out
        self._images: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self._previews: list[dict[str, Any]] = []
        self._pixel_bytes = 0
        self._seen: set[bytes] = set()
        self._statuses: Counter[str] = Counter()

    def __enter__(self) -> "_OutputWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        """All of them have their names then, or none has: a disk may be full before the last one is written."""
        try:
            self._files.__exit__(*error)
        except BaseException:
            for name in OUTPUTS:
                (self._out / name).unlink(missing_ok=True)
            raise

    @property
    def counts(self) -> dict[str, int]:
        statuses = {status: self._statuses[status] for status in (DECODED, "quarantined", "rejected", "vanished")}
        return {"entries": self._outcomes.rows, "images": self._shard.rows} | statuses

    def add(self, entry: int, outcome: dict[str, Any], pixels: bytes | None, preview: Preview | None = None) -> None:
        self._statuses[outcome["status"]] += 1
        self._rows.append(outcome | {"entry": entry})
        if preview is not None:
            self._previews.append(preview._asdict() | {"entry": entry})
        if pixels is not None and (digest := bytes.fromhex(outcome["image_id"])) not in self._seen:
            self._seen.add(digest)
            self._images.append(outcome | {"pixels": pixels})
            self._pixel_bytes += len(pixels)
        if len(self._rows) == GROUP_ROWS or self._pixel_bytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held back; has to come last."""
        for writer, rows, columns in (
            (self._shard, self._images, contract.SHARD_COLUMNS),
            (self._outcomes, self._rows, contract.OUTCOME_COLUMNS),
            (self._shown, self._previews, contract.PREVIEW_COLUMNS),
        ):
            if rows:
                writer.write({name: [row[name] for row in rows] for name, _ in columns})
                rows.clear()
        self._pixel_bytes = 0


def _versions() -> dict[str, str]:
    """Of what decides the pixels."""
    libraries = {name: features.version(name) or "none" for name in ("libjpeg_turbo", "webp", "libtiff", "zlib")}
    return {name: installed_version(name) for name in ("pillow", "numpy", "pyarrow")} | libraries
