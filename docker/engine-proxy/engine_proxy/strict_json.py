"""JSON that has one meaning: the engine, which ignores the case of keys, reads it as this does."""

import json
from typing import Any


class Ambiguous(ValueError):
    """A text is not JSON, or another reader could read it otherwise."""


def loads(text: bytes) -> Any:
    """
    Raises:
        Ambiguous: it is not UTF-8 or not JSON, has a number that JSON has not, or an object has a key twice, upper and
            lower case being the same.
    """
    try:
        return json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Ambiguous(f"the body is not JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key.casefold() in seen:
            raise Ambiguous(f"the key {key!r} is there twice")
        seen.add(key.casefold())
    return dict(pairs)


def _constant(name: str) -> Any:
    raise Ambiguous(f"{name} is no number of JSON")
