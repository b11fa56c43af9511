"""What Prometheus may know. Names and labels are a promise to who draws them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from vision.serving.picture import Picture

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

REQUESTS = Counter(
    "strandline_requests", "Requests, by what they got", ["route", "consumer", "status"], registry=REGISTRY
)
LATENCY = Histogram(
    "strandline_request_seconds",
    "From a request's last byte to its answer",
    ["version", "consumer"],
    buckets=SECONDS,
    registry=REGISTRY,
)
PICTURES = Counter("strandline_pictures", "Pictures answered", ["version", "consumer"], registry=REGISTRY)
PREDICTIONS = Counter(
    "strandline_predictions", "Lines of pictures, those of a shadow too", ["role", "version"], registry=REGISTRY
)
SKIPPED = Counter(
    "strandline_skipped_shadows", "Pictures chosen that no shadow computed", ["reason"], registry=REGISTRY
)
REFUSED = Counter("strandline_refused_pictures", "Pictures refused, or failed on", ["reason"], registry=REGISTRY)
BATCH = Histogram("strandline_batch_images", "Images of a batch", buckets=SIZES, registry=REGISTRY)
WAITING = Gauge("strandline_waiting_pictures", "Pictures under way", registry=REGISTRY)
SPOOL_BYTES = Gauge("strandline_spool_bytes", "Of lines that are not loaded yet", registry=REGISTRY)
SPOOL_SEGMENTS = Gauge("strandline_spool_segments", "Files of lines that are not loaded yet", registry=REGISTRY)
SPOOL_LINES = Gauge("strandline_spool_lines", "Lines written by this process", registry=REGISTRY)
LEDGER_AGE = Gauge(
    "strandline_ledger_age_seconds", "Since the ledger last said who is answered by what", registry=REGISTRY
)
BROKEN = Gauge("strandline_deployment_broken", "1 while what the ledger wants cannot be served", registry=REGISTRY)
ROLLOUT_BROKEN = Gauge(
    "strandline_rollout_broken", "1 while the version of a rollout cannot be served", registry=REGISTRY
)
VERSIONS = Gauge("strandline_version", "1 for each version that is loaded", ["version", "role"], registry=REGISTRY)


@lru_cache(1024)
def child(metric: "MetricWrapperBase", *labels: str) -> "MetricWrapperBase":
    """As `labels`, which takes a lock each time."""
    return metric.labels(*labels)


def predicted(pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        child(PREDICTIONS, picture.role, picture.model.version).inc()  # type: ignore[attr-defined]


def recorded(pictures: Sequence[Picture]) -> None:
    predicted(pictures)
    for picture in pictures:
        child(PICTURES, picture.model.version, picture.consumer).inc()  # type: ignore[attr-defined]
        if reason := picture.reason or picture.failure:
            child(REFUSED, reason).inc()  # type: ignore[attr-defined]
