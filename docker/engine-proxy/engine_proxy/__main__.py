"""`python -m engine_proxy`: listen on port 2375 for workers of this deployment, as docker-compose.yml sets it up."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from aiohttp import web

from engine_proxy.policy import Policy
from engine_proxy.server import Filter

SOCKET, STORE, PORT = Path("/var/run/docker.sock"), Path("/store"), 2375


def from_environment() -> Policy:
    """
    Raises:
        ValueError: a variable says nothing that can be meant.
        KeyError: a variable is missing.
    """
    images = (os.environ.get(f"STRANDLINE_{name}_IMAGE", "") for name in ("VISION", "GPU"))
    return Policy(
        images=tuple(image for image in images if image),
        landing=os.environ["STRANDLINE_LANDING_ON_HOST"],
        store=os.environ["STRANDLINE_STORE_ON_HOST"],
        user=os.environ["STRANDLINE_TASK_USER"],
        memory=int(os.environ["STRANDLINE_TASK_MEMORY_BYTES"]),
        cores=int(os.environ["STRANDLINE_CORES"]),
        gpus=int(os.environ.get("STRANDLINE_GPUS") or 1) if os.environ.get("STRANDLINE_GPU_IMAGE") else 0,
        deployment=os.environ["STRANDLINE_DEPLOYMENT"],
    )


async def serve(chosen: Policy) -> None:
    # A client that has gone takes its request to the engine with it: nothing waits for a container that nobody awaits.
    runner = web.AppRunner(Filter(chosen, SOCKET, STORE).application(), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=PORT, backlog=64).start()
    logging.info("listening; images: %s", ", ".join(chosen.images) or "none is set, so nothing can be started")
    await asyncio.Event().wait()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    try:
        chosen = from_environment()
    except (ValueError, KeyError) as error:
        print(f"The filter's settings: {error}", file=sys.stderr)
        return 2
    asyncio.run(serve(chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
