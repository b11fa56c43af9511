"""`python -m vision.serving --store STORE --folder FOLDER`: answers until it is told to end (SIGTERM); what is under
way then is answered still.
"""

import os
import signal
import sys

import uvicorn

import strandline_contract as contract
from vision.serving import settings
from vision.serving.application import Application
from vision.serving.connection import bounded

SWITCH_SECONDS = 0.0005  # that a thread may keep another one from what it waits for


def main(argv: list[str] | None = None) -> int:
    try:
        options = settings.parse(argv)
    except contract.ContractError as error:
        print(f"serving: {error}", file=sys.stderr)
        return contract.EXIT_BAD_REQUEST
    os.environ["OMP_NUM_THREADS"] = str(options.runtime.threads)
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # as `vision classify` computes
    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        Application(options),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=bounded(options.header_seconds),
        ws="none",
        proxy_headers=False,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        limit_concurrency=options.max_connections,
        timeout_graceful_shutdown=options.stop_seconds,
    )
    listening = config.bind_socket()
    listening.listen(config.backlog)  # who connects from now on is answered, if later
    print(f"serving: http://{options.host}:{listening.getsockname()[1]} as {options.server}", flush=True)
    # uvicorn hands the signals on when it has ended: they have had their effect.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(contract.EXIT_DONE))
    uvicorn.Server(config).run(sockets=[listening])  # which exits by itself if it cannot start
    return contract.EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
