"""Runs whose images have the embeddings that a test wants."""

from collections.abc import Collection, Mapping, Sequence

import ledger_rows as seeding
from ledger_rows import File, Run, digest

from strandline import ledger
from strandline.ingest import load as predictions


def load(
    run_id: str,
    version: str,
    files: Sequence[File],
    embeddings: Mapping[str, Sequence[float]],
    failing: Collection[str] = (),
) -> None:
    """Load a run and close its books; `embeddings` are by content, and so are the images that fail."""
    run = Run(run_id, version, files)
    run.record()
    run.write_outcomes()
    vectors = {digest(content): list(map(float, vector)) for content, vector in embeddings.items()}
    attempts = []
    for shard_id, packed in run.shards().items():
        rows = seeding.predictions(seeding.image_ids(packed), {digest(content) for content in failing})
        predicted = [row if row.get("failure") else row | {"embedding": vectors[row["image_id"]]} for row in rows]
        attempts.append(seeding.write_attempt(run, shard_id, predicted))
    predictions.load(run_id, attempts)
    ledger.close_run(run_id)
