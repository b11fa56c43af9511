"""The Open Inference Protocol, version 2, with its binary tensor data: what a request asks, how it is answered.

One input, `image`: BYTES [n], files as they are (in JSON in base64), or UINT8 [n, height, width, 3], pixels of the
model's size. Outputs: `probabilities` FP32 [n, classes], `label` BYTES [n], `prediction_id` BYTES [n].
"""

import base64
import binascii
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

import strandline_contract as contract
from vision.serving.problems import Problem

HEADER_LENGTH = "inference-header-content-length"
BINARY = "application/octet-stream"
INPUT = "image"
OUTPUTS = ("probabilities", "label", "prediction_id")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Asked:
    """`images`: files, or pixels of `shape` [height, width, 3] each. `outputs`: which, and whether as raw bytes."""

    id: str | None
    images: list[bytes]
    shape: tuple[int, ...] | None
    outputs: dict[str, bool]


def parse(body: bytes, header_length: str | None, most: int) -> Asked:
    """
    Args:
        header_length: bytes of JSON, before raw tensors; None if all of it is JSON.
        most: images.

    Raises:
        Problem: it is no such request.
    """
    if header_length is not None and not (header_length.isdecimal() and int(header_length) <= len(body)):
        raise _bad(f"{HEADER_LENGTH} is {header_length}, of a body of {len(body)} bytes")
    length = int(header_length) if header_length is not None else len(body)
    try:
        asked = orjson.loads(body[:length])
        [tensor] = [tensor for tensor in asked["inputs"] if tensor["name"] == INPUT]
        if len(asked["inputs"]) != 1:
            raise _bad(f"there is one input, {INPUT}")
        images, shape = _images(tensor, body[length:], most)
        identity = asked.get("id")
        return Asked(None if identity is None else str(identity), images, shape, _outputs(asked))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(f"this is no request of the Open Inference Protocol with an input {INPUT}: {error!r}") from error


def _outputs(asked: dict[str, Any]) -> dict[str, bool]:
    binary = bool(asked.get("parameters", {}).get("binary_data_output", False))
    wanted = asked.get("outputs") or [{"name": name} for name in OUTPUTS]
    outputs = {one["name"]: bool(one.get("parameters", {}).get("binary_data", binary)) for one in wanted}
    if unknown := outputs.keys() - set(OUTPUTS):
        raise _bad(f"there is no output {', '.join(sorted(map(str, unknown)))}")
    return outputs


def _images(tensor: dict[str, Any], raw: bytes, most: int) -> tuple[list[bytes], tuple[int, ...] | None]:
    shape = tensor["shape"]
    if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
        raise _bad(f"the shape of {INPUT} is {shape}")
    if shape[0] > most:
        raise Problem("TOO_MANY_PICTURES", f"a request may have {most} pictures, not {shape[0]}")
    size = tensor.get("parameters", {}).get("binary_data_size")
    if size is not None and size != len(raw):
        raise _bad(f"binary_data_size is {size}, and {len(raw)} bytes follow")
    if tensor["datatype"] == "BYTES" and math.prod(shape) == shape[0]:
        files = _strings(raw) if size is not None else [_file(text) for text in tensor["data"]]
        if len(files) != shape[0]:
            raise _bad(f"{INPUT} has {len(files)} files, and its shape says {shape[0]}")
        return files, None
    if tensor["datatype"] == "UINT8" and len(shape) == 4:
        pixels = raw if size is not None else np.array(tensor["data"], np.uint8).tobytes()
        return _split(pixels, shape), tuple(shape[1:])
    raise _bad(f"{INPUT} is BYTES [n] or UINT8 [n, height, width, 3], not {tensor['datatype']} {shape}")


def _split(pixels: bytes, shape: list[int]) -> list[bytes]:
    one = math.prod(shape[1:])
    if len(pixels) != one * shape[0]:
        raise _bad(f"{INPUT} has {len(pixels)} bytes, and its shape {shape} {one * shape[0]}")
    return [pixels[start : start + one] for start in range(0, len(pixels), one)]


def _strings(raw: bytes) -> list[bytes]:
    """Each with its length before it."""
    found, start = [], 0
    while start < len(raw):
        if start + _LENGTH.size > len(raw):
            raise _bad("the raw tensor ends within a length")
        (size,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size
        if start + size > len(raw):
            raise _bad("the raw tensor ends within a file")
        found.append(raw[start : start + size])
        start += size
    return found


def _file(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _bad(f"files in JSON are in base64, and this is not: {error}") from error


def response(asked: Asked, name: str, version: str, records: list[contract.ServedPrediction]) -> Response:
    """The answers to its images, in order, each of which has a label."""
    tensors, raw = [], []
    for output, binary in asked.outputs.items():
        tensor, content = _tensor(output, binary, records)
        tensors.append(tensor)
        raw.append(content)
    said: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": tensors}
    if asked.id is not None:
        said["id"] = asked.id
    header = orjson.dumps(said)
    if not any(asked.outputs.values()):
        return Response(header, media_type="application/json")
    return Response(b"".join([header, *raw]), headers={HEADER_LENGTH: str(len(header))}, media_type=BINARY)


def _tensor(name: str, binary: bool, records: list[contract.ServedPrediction]) -> tuple[dict[str, Any], bytes]:
    """A tensor as JSON has it, and its content if that is raw."""
    kind = "FP32" if name == "probabilities" else "BYTES"
    if kind == "FP32":
        values: list[Any] = [probability for record in records for probability in record.probabilities or ()]
        shape = [len(records), len(values) // len(records)]
    else:
        values, shape = [getattr(record, name) for record in records], [len(records)]
    tensor = {"name": name, "datatype": kind, "shape": shape}
    if not binary:
        return tensor | {"data": values}, b""
    content = np.array(values, "<f4").tobytes() if kind == "FP32" else b"".join(map(_string, values))
    return tensor | {"parameters": {"binary_data_size": len(content)}}, content


def _string(text: str) -> bytes:
    content = text.encode()
    return _LENGTH.pack(len(content)) + content


def metadata(name: str, versions: list[str], classes: int) -> dict[str, Any]:
    """What is said of a model."""
    return {
        "name": name,
        "versions": versions,
        "platform": "strandline",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
        ],
    }


def _bad(detail: str) -> Problem:
    return Problem("BAD_REQUEST", detail)
