"""What this host computes with."""

import platform
import subprocess
from pathlib import Path

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
VECTORS = ("amx_tile", "avx512_vnni", "avx512f", "avx2", "avx", "sse4_1")  # the widest first, as Linux calls them
PATIENCE = 60  # seconds for nvidia-smi; a card that is stuck answers never


def cards() -> list[str]:
    """A line a card, as nvidia-smi prints it: name, driver, memory.

    Raises:
        RuntimeError: nvidia-smi is missing, fails, or lists none.
    """
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError as error:
        raise RuntimeError(
            "the request asks for a GPU and there is no nvidia-smi: NVIDIA's container toolkit puts it into a container"
            " that is given a GPU, the driver onto a host"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"nvidia-smi did not answer in {PATIENCE} s: look at the host's driver (dmesg)") from error
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        said = " ".join((done.stdout + done.stderr).split()) or "nothing"
        raise RuntimeError(f"nvidia-smi ended with {done.returncode} and said: {said}; fix the host's driver")
    return lines


def processor() -> str:
    """The processor and its widest vectors: by these, its libraries choose how they compute, and so how they round."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    flags = facts.get("flags", "").split()
    widest = next((flag for flag in VECTORS if flag in flags), None)
    return facts.get("model name", platform.machine()) + (f" ({widest})" if widest else "")
