"""The two processes of `make serve`: one answers over HTTP and holds no password, its agent has those of the ledger."""

import http.client
import json
import sys
import urllib.error
import urllib.request

from strandline.settings import REPOSITORY, Settings

SERVER, AGENT = "serving", "serving-agent"
VISION_PROJECT = REPOSITORY / "docker" / "vision"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
BACKENDS = ("openvino", "onnxruntime")  # MXNet is the reference, and answers nobody


def program(component: str, settings: Settings, environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Command and environment of one of them.

    Args:
        environment: of Airflow's processes.
    """
    if component == SERVER:
        return _command(settings), _surroundings(settings)
    kept = {name: value for name, value in environment.items() if not name.startswith("AIRFLOW")}
    return [sys.executable, "-m", "strandline.serving"], kept


def url(settings: Settings) -> str:
    """Where it answers, as this machine reaches it."""
    host = ANY_ADDRESS.get(settings.serving.host, settings.serving.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.serving.port}"


def is_ready(settings: Settings) -> bool:
    """Whether it can answer now."""
    try:
        with urllib.request.urlopen(f"{url(settings)}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def _command(settings: Settings) -> list[str]:
    config, vision = settings.serving, settings.vision
    backend, limits = vision.runtime().backend, json.dumps(settings.decoding.limits.to_dict())
    options = {
        "--store": settings.store,
        "--folder": settings.serving_folder,
        "--host": config.host,
        "--port": config.port,
        "--backend": backend if backend in BACKENDS else None,
        "--precision": vision.precision,
        "--threads": config.threads,
        "--batch-size": vision.batch_size,
        "--decoders": config.decoders,
        "--limits": limits,
        "--max-request-bytes": config.max_bytes,
        "--kept-bytes": config.max_bytes,
        "--kept-share": config.keep,
    }
    given = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    return [str(vision.python), "-m", "vision.serving", *given]


def _surroundings(settings: Settings) -> dict[str, str]:
    """Made from nothing, as that of a vision command."""
    user = settings.home / "user"
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(VISION_PROJECT),
        "LANG": "C.UTF-8",
        "HOME": str(user),
        "TMPDIR": str(settings.home / "tmp"),
        "PYTHONUNBUFFERED": "1",
    }
