"""What is asked of a serving process, by its command line."""

import argparse
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import strandline_contract as contract

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """`server`: the name under which it records; no other process may ever have had it.

    `max_waiting`: pictures under way at once; `max_held_bytes`: of requests under way. `kept_share`: of pictures, from
    0 to 1; `kept_bytes`: the size above which none is kept.
    """

    store: Path
    folder: Path
    host: str
    port: int
    server: str
    runtime: contract.Runtime
    limits: contract.Limits
    decoders: int
    max_request_bytes: int
    max_held_bytes: int
    max_pictures: int
    max_waiting: int
    max_connections: int
    header_seconds: float
    body_seconds: float
    stop_seconds: int
    kept_share: float
    kept_bytes: int


def parse(argv: list[str] | None = None) -> Settings:
    """
    Raises:
        contract.BadRequest: a runtime or limits that there are not.
    """
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m vision.serving", description="Classify pictures over HTTP.")
    add = parser.add_argument
    add("--store", type=Path, required=True, help="where bundles are")
    add("--folder", type=Path, required=True, help="the serving folder: deployment.json, spools, pictures")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8090, help="0: any that is free; the first line of output says which")
    add("--name", default=f"{platform.node()}-{os.urandom(4).hex()}", help="of this process; never used before")
    add("--backend", default="openvino", choices=["openvino", "onnxruntime"])
    add("--precision", default="f32", choices=["f32", "bf16"])
    add("--threads", type=int, default=max(1, cores - 1), help="of a network")
    add("--batch-size", type=int, help="images that `vision classify` computes at once, if it is told")
    add("--decoders", type=int, default=max(2, cores // 2), help="decoding processes")
    add("--limits", default="{}", help="what one picture may cost: fields of the contract's Limits, as JSON")
    add("--max-request-bytes", type=int, default=16 * MIB)
    add("--max-held-bytes", type=int, default=256 * MIB, help="of all requests under way")
    add("--max-pictures", type=int, default=256, help="in one request")
    add("--max-waiting", type=int, default=512, help="pictures under way")
    add("--max-connections", type=int, default=1024)
    add("--header-seconds", type=float, default=10.0, help="that a request's header may take")
    add("--body-seconds", type=float, default=30.0, help="that a request's body may take")
    add("--stop-seconds", type=int, default=30, help="that requests under way have when the process is to end")
    add("--kept-share", type=float, default=1.0, help="of the pictures, 0 to 1")
    add("--kept-bytes", type=int, default=16 * MIB, help="the largest picture kept")
    return _settings(parser.parse_args(argv))


def _settings(options: argparse.Namespace) -> Settings:
    values = vars(options)
    runtime = contract.Runtime(
        values.pop("backend"), values.pop("threads"), values.pop("batch_size"), values.pop("precision")
    )
    limits = contract.Limits.from_json(values.pop("limits").encode())
    server = contract.plain_name(values.pop("name"))
    return Settings(server=server, runtime=runtime, limits=limits, **values)
