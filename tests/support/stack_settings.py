"""The settings of a stack of its own, in a folder and on ports that nothing else has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.stack.processes import free_port
from strandline import settings


def stack_settings(home: Path, environment: Mapping[str, str] | None = None, **values: Any) -> settings.Settings:
    """Of this home; `values` by the names of their variables, before those of `environment`."""
    own = {"home": home, "landing": home / "landing", "labels": home / "labels"}
    own |= {name: free_port() for name in ("api_port", "postgres_port", "serve_port")} | values
    variables = {f"{settings.PREFIX}{name.upper()}": str(value) for name, value in own.items()}
    return settings.load({**(environment or {}), **variables})
