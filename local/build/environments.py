"""Make the virtual environments from their locks: `python3.11 local/build/environments.py install airflow [--dev]`.

Run by the machine's own Python, so it is standard library only. Everything lands in the checkout's `.strandline/`. An
environment is installed again only when one of its locks has changed. Package indexes are the user's own: what uv or
pip is configured with.
"""

import argparse
import ast
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / ".strandline"
LOCKS = {
    "uv": ["local/uv.txt"],
    "airflow": ["docker/airflow/requirements.txt", "local/requirements.txt"],
    "vision": ["docker/vision/requirements.txt", "docker/vision/requirements-serve.txt"],
    "ray": ["local/bench/ray.txt"],
    "serving-peers": ["local/bench/serving_peers.txt"],
}
UV = HOME / "venvs" / "uv" / "bin"
DEV_LOCKS = {"airflow": ["docker/airflow/dev.txt"], "vision": ["docker/vision/dev.txt"]}
# Installed when images are built, not in a checkout.
IMAGE_LOCKS = [
    "docker/vision/requirements-cu112.txt",
    "docker/vision/requirements-cuda12.txt",
    "docker/engine-proxy/requirements.txt",
    "docker/build/sbom.txt",
]
CONSTRAINTS = {
    "docker/airflow/dev": ["docker/airflow/requirements.txt"],
    "docker/engine-proxy/requirements": ["docker/airflow/requirements.txt"],
    "docker/vision/dev": ["docker/vision/requirements.txt", "docker/vision/requirements-serve.txt"],
    "docker/vision/requirements-cu112": ["docker/vision/requirements.txt"],
    "docker/vision/requirements-cuda12": ["docker/vision/requirements.txt"],
    "docker/vision/requirements-serve": ["docker/vision/requirements.txt"],
    "local/requirements": ["docker/airflow/requirements.txt"],
}
OVERRIDES = {
    "docker/vision/dev": "docker/vision/overrides.txt",
    "docker/vision/requirements": "docker/vision/overrides.txt",
    "docker/vision/requirements-cu112": "docker/vision/overrides.txt",
    "docker/vision/requirements-serve": "docker/vision/overrides.txt",
    "local/bench/ray": "local/bench/ray-overrides.txt",
}
UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")


class SetupError(Exception):
    """The environments cannot be made; the message says what is missing."""


def ensure(name: str, dev: bool = False) -> None:
    """Bring an environment in line with its locks.

    Args:
        name: airflow, vision, ray, serving-peers or uv.
        dev: with what tests need; an environment that has it once keeps it.

    Raises:
        SetupError: a tool or the network is missing.
    """
    venv = HOME / "venvs" / name
    stamp = venv / "strandline.json"
    installed = json.loads(stamp.read_bytes()) if stamp.is_file() else {}
    locks = LOCKS[name] + (DEV_LOCKS.get(name, []) if dev or installed.get("dev") else [])
    wanted = {"python": sys.version, "locks": _digest(locks), "dev": len(locks) > len(LOCKS[name])}
    if installed == wanted and (venv / "bin" / "python").exists():
        return
    print(f"Installing the {name} environment ({', '.join(locks)}) ...", flush=True)
    if name == "uv":
        _install_uv(venv, locks)
    else:
        _install(venv, locks, fresh=installed.get("python") != sys.version)
    stamp.write_text(json.dumps(wanted))


def lock() -> None:
    """Compile every lock again from its `.in` file; pins that still fit stay as they are.

    Raises:
        SetupError: a tool or the network is missing, or the requirements contradict each other.
    """
    ensure("uv")
    paths = [path for paths in (*LOCKS.values(), *DEV_LOCKS.values(), IMAGE_LOCKS) for path in paths]
    for name in (path.removesuffix(".txt") for path in paths):
        constraint = [word for path in CONSTRAINTS.get(name, ()) for word in ("-c", path)]
        constraint += ["--override", OVERRIDES[name]] if name in OVERRIDES else []
        compile_ = ["uv", "pip", "compile", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"]
        print(f"Locking {name}.in ...", flush=True)
        command = [*compile_, f"{name}.in", *constraint, "-o", f"{name}.txt", "--quiet"]
        _run(command, uv_environment(), f"{name}.in could not be locked")


def _digest(locks: list[str]) -> str:
    return hashlib.sha256(b"".join((REPOSITORY / lock).read_bytes() for lock in locks)).hexdigest()


def _install_uv(venv: Path, locks: list[str]) -> None:
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], _own(), "python3.11 cannot make virtual environments")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir", "--require-hashes"]
    _run([*pip, "-r", *locks], _own(), "uv could not be installed")


def _install(venv: Path, locks: list[str], fresh: bool) -> None:
    ensure("uv")
    environment = uv_environment()
    if fresh or not (venv / "bin" / "python").exists():
        _run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], environment, f"no {venv}")
    python = str(venv / "bin" / "python")
    sync = ["uv", "pip", "sync", "--quiet", "--require-hashes", "--python", python]
    _run([*sync, *locks], environment, f"the {venv.name} environment could not be installed")


def _run(command: list[str], environment: dict[str, str], complaint: str) -> None:
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, stdout=sys.stderr)
    if done.returncode:
        raise SetupError(
            f"{complaint}: see the lines above. Is a package registry reachable? "
            "For a mirror, set UV_DEFAULT_INDEX or PIP_INDEX_URL."
        )


def _own() -> dict[str, str]:
    return {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": _temporary()}


def _temporary() -> str:
    (HOME / "tmp").mkdir(parents=True, exist_ok=True)
    return str(HOME / "tmp")


def uv_environment() -> dict[str, str]:
    """Our environment for uv: caches in the checkout, and pip's indexes if uv has no configuration of its own."""
    environment = {
        **os.environ,
        "PATH": f"{UV}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "UV_CACHE_DIR": str(HOME / "cache" / "uv"),
        "UV_PYTHON_DOWNLOADS": "never",
        "TMPDIR": _temporary(),
    }
    files = [Path("~/.config/uv/uv.toml").expanduser(), Path("/etc/uv/uv.toml")]
    if any(environment.get(variable) for variable in UV_INDEX_VARIABLES) or any(file.exists() for file in files):
        return environment
    pip = _pip_configuration()
    if "index-url" in pip:
        environment["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "extra-index-url" in pip:
        # As pip does: any index may hold the pinned version. The hashes make this safe.
        environment |= {"UV_INDEX": " ".join(pip["extra-index-url"].split()), "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if "cert" in pip:
        environment.setdefault("SSL_CERT_FILE", pip["cert"])
    return environment


def _pip_configuration() -> dict[str, str]:
    """pip's options from its files and variables, by bare name; those that count most come last in pip's own list."""
    python = str(UV / "python")
    listing = subprocess.run([python, "-m", "pip", "config", "list"], env=_own(), capture_output=True, text=True)
    pairs = [line.partition("=") for line in listing.stdout.splitlines()]
    ranked = sorted(pairs, key=lambda pair: (pair[0].startswith(":env:"), pair[0].startswith("install.")))
    return {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, _, value in ranked}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="make environments, or bring them in line with their locks")
    install.add_argument("names", nargs="+", choices=sorted(LOCKS))
    install.add_argument("--dev", action="store_true", help="with what tests need")
    commands.add_parser("lock", help="compile the locks again")
    arguments = parser.parse_args()
    try:
        _check_python()
        if arguments.command == "lock":
            lock()
        else:
            for name in arguments.names:
                ensure(name, arguments.dev)
    except SetupError as error:
        print(f"Setup stopped: {error}", file=sys.stderr)
        return 1
    return 0


def _check_python() -> None:
    if sys.version_info[:2] != (3, 11):
        raise SetupError(
            f"this is Python {sys.version.split()[0]}; name a Python 3.11: make PYTHON=/path/to/python3.11"
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(f"this Python lacks {module}: on Debian and Ubuntu, install python3.11-venv")


if __name__ == "__main__":
    sys.exit(main())
