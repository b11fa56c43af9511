"""`python -m vision COMMAND --request request.json`: one attempt; its outputs lie beside the request."""

import argparse
import dataclasses
import importlib
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

import strandline_contract as contract
from vision.paths import Paths

BEGAN = time.time()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision", description=__doc__)
    parser.add_argument("command", choices=sorted(contract.REQUESTS))
    parser.add_argument("--request", type=Path, required=True, help="the request file; outputs are written beside it")
    arguments = parser.parse_args(argv)
    try:
        request = contract.read_request(arguments.command, arguments.request)
        paths = Paths.from_environment(out=arguments.request.resolve().parent)
        if limit := os.environ.get(contract.FILE_BYTES):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        computing = getattr(request, "runtime", None) or getattr(request, "reference", request)
        if threads := getattr(computing, "threads", None):
            os.environ["OMP_NUM_THREADS"] = str(threads)  # read once, when MXNet is imported
        # Cards from Ampere on would round what they multiply to 10 bits: answers would depend on the card.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        if isinstance(request, contract.TrainRequest) and request.device == "cpu":
            # MXNet's threaded engine lays weights out in an order that a race decides, and rounding follows it.
            os.environ["MXNET_ENGINE_TYPE"] = "NaiveEngine"
        # Imported late: `pack` must never share a process with gluoncv.
        command = importlib.import_module(f"vision.commands.{arguments.command}")
        result = command.run(request, dataclasses.replace(paths, startup=_startup()))
    except contract.BadRequest as error:
        return _fail(contract.EXIT_BAD_REQUEST, error)
    except contract.BadInput as error:
        return _fail(contract.EXIT_BAD_INPUT, error)
    except (BlockingIOError, InterruptedError, TimeoutError) as error:
        return _fail(contract.EXIT_TEMPORARY, error)
    except Exception as error:  # noqa: BLE001 - whatever failed, the caller gets its exit code
        traceback.print_exc()
        return _fail(contract.EXIT_FAILED, error)
    print(json.dumps({"counts": result.counts, "seconds": result.seconds}), file=sys.stderr)
    return contract.EXIT_DONE


def _startup() -> dict[str, float]:
    """Seconds until this process began (a container's start) and from then on until its libraries were imported."""
    submitted = float(os.environ.get("STRANDLINE_SUBMITTED_AT", BEGAN))
    return {"spawn": max(0.0, BEGAN - submitted), "import": time.time() - BEGAN}


def _fail(code: int, error: Exception) -> int:
    print(f"vision: {type(error).__name__}: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
