"""Make the virtual environments from their locks: `python3.11 embedded/environments.py airflow [--dev]`.

Run by the machine's own Python, so it is standard library only. Everything lands in the checkout's `.strandline/`. An
environment is installed again only when one of its locks has changed. Package indexes are the user's own: what uv or
pip is configured with.
"""

import argparse
import ast
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
HOME = REPOSITORY / ".strandline"
LOCKS = {
    "uv": ["embedded/uv.txt"],
    "airflow": ["docker/airflow/requirements.txt", "embedded/requirements.txt"],
    "vision": ["docker/vision/requirements.txt"],
}
DEV_LOCKS = {"airflow": ["docker/airflow/dev.txt"], "vision": ["docker/vision/dev.txt"]}
UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")


class SetupError(Exception):
    """The environments cannot be made; the message says what is missing."""


def ensure(name: str, dev: bool = False) -> None:
    """Bring an environment in line with its locks.

    Args:
        name: airflow, vision or uv.
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
    (_install_uv if name == "uv" else _install)(venv, [REPOSITORY / lock for lock in locks])
    stamp.write_text(json.dumps(wanted))


def _digest(locks: list[str]) -> str:
    return hashlib.sha256(b"".join((REPOSITORY / lock).read_bytes() for lock in locks)).hexdigest()


def _install_uv(venv: Path, locks: list[Path]) -> None:
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], _own(), "python3.11 cannot make virtual environments")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir", "--require-hashes"]
    _run([*pip, "-r", *map(str, locks)], _own(), "uv could not be installed")


def _install(venv: Path, locks: list[Path]) -> None:
    ensure("uv")
    uv = str(HOME / "venvs" / "uv" / "bin" / "uv")
    environment = uv_environment()
    if not (venv / "bin" / "python").exists():
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], environment, f"no {venv}")
    python = str(venv / "bin" / "python")
    sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python]
    _run([*sync, *map(str, locks)], environment, f"the {venv.name} environment could not be installed")


def _run(command: list[str], environment: dict[str, str], complaint: str) -> None:
    done = subprocess.run(command, env=environment, stdout=sys.stderr)
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
    """Our environment for uv: caches in the checkout, and pip's indexes where uv has no configuration of its own."""
    environment = {
        **os.environ,
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
    python = str(HOME / "venvs" / "uv" / "bin" / "python")
    listing = subprocess.run([python, "-m", "pip", "config", "list"], env=_own(), capture_output=True, text=True)
    pairs = [line.partition("=") for line in listing.stdout.splitlines()]
    ranked = sorted(pairs, key=lambda pair: (pair[0].startswith(":env:"), pair[0].startswith("install.")))
    return {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, _, value in ranked}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="+", choices=sorted(LOCKS))
    parser.add_argument("--dev", action="store_true", help="with what tests need")
    arguments = parser.parse_args()
    try:
        if sys.version_info[:2] != (3, 11):
            raise SetupError(
                f"this is Python {sys.version.split()[0]}; name a Python 3.11: make PYTHON=/path/to/python"
            )
        _check_ensurepip()
        for name in arguments.names:
            ensure(name, arguments.dev)
    except SetupError as error:
        print(f"Setup stopped: {error}", file=sys.stderr)
        return 1
    return 0


def _check_ensurepip() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(f"python3.11 lacks {error.name}: on Debian and Ubuntu, install python3.11-venv") from error


if __name__ == "__main__":
    sys.exit(main())
