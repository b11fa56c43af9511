"""Messages as JSON objects: what is unknown, missing or of another kind is refused by name."""

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any, Literal, Self


class ContractError(Exception):
    """
    ContractError
    ├── BadRequest   the request is malformed: exit 64
    ├── BadInput     an input file does not match its hash: exit 65
    └── NoResult     an attempt has no result that agrees with its files
    """


class BadRequest(ContractError):
    pass


class BadInput(ContractError):
    pass


class NoResult(ContractError):
    pass


@dataclasses.dataclass(frozen=True)
class Message:
    """A flat JSON object; unknown, missing and mistyped fields are refused by name."""

    @classmethod
    def from_dict(cls, raw: object) -> Self:
        if not isinstance(raw, dict):
            raise BadRequest(f"{cls.__name__} must be a JSON object, not {type(raw).__name__}")
        hints = _hints(typing.cast(Any, cls))
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(raw) - set(fields)):
            raise BadRequest(f"{cls.__name__} has no field {', '.join(map(str, unknown))}")
        required = {
            name
            for name, field in fields.items()
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        if missing := sorted(required - set(raw)):
            raise BadRequest(f"{cls.__name__} lacks {', '.join(missing)}")
        return cls(**{name: _parse(hints[name], value, f"{cls.__name__}.{name}") for name, value in raw.items()})

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """
        Raises:
            BadRequest: it is not JSON, or no message of this kind.
        """
        return cls.from_dict(parse_json(raw))

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object has it: lists for tuples, so that whatever carries it hands on the same."""
        value: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return value


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text: of numbers only finite ones, of texts only what every reader and the ledger can hold.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        written.encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"no JSON that can be read: {str(error)[:200]}") from error
    if "\\u0000" in written:
        raise BadRequest("no JSON that can be read: it has the character NUL")
    return value


@functools.cache
def _hints(kind: type[Message]) -> dict[str, Any]:
    """Looked up once: of a line of a spool it would take longer than all the rest."""
    return typing.get_type_hints(kind)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _parse(kind: Any, value: object, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _parse(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise BadRequest(f"{where} must be one of {', '.join(map(str, arguments))}, not {value!r}")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {str(key): _parse(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Message):
        try:
            return value if isinstance(value, kind) else kind.from_dict(value)
        except BadRequest as error:
            raise BadRequest(f"{where}: {error}") from error
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise BadRequest(f"{where} must be {getattr(kind, '__name__', kind)}, not {type(value).__name__}")
