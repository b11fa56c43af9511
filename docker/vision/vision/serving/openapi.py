"""What may be asked, for programs (OpenAPI) and, from the same, for people."""

import html
from collections.abc import Sequence
from typing import Any

from vision.serving.settings import Settings

VERSION = "1"
KEY = "Strandline-Key"  # a header


def document(settings: Settings) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "strandline-serve", "version": VERSION, "description": _description(settings)},
        "paths": _paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Result": _RESULT, "Problem": _PROBLEM},
        },
        "security": [{"token": []}, {}],
    }


def page(document: dict[str, Any]) -> str:
    """A page without scripts."""
    rows = "".join(
        f"<tr><td><code>{method.upper()} {html.escape(path)}</code><td>{html.escape(operation['summary'])}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    info = document["info"]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'><link rel=icon href='data:,'>"
        f"<title>{info['title']}</title><link rel=stylesheet href=page.css><main><h1>{info['title']}</h1>"
        f"<p>{html.escape(info['description'])}<table>{rows}</table>"
        "<p><a href=openapi.json>openapi.json</a> says the same to programs. <a href='./'>Try a picture.</a></main>"
    )


def _description(settings: Settings) -> str:
    return (
        f"Classifies pictures ({', '.join(settings.limits.formats)}) by the champion, or by the version that a consumer"
        f" is pinned to. A request may have {settings.max_request_bytes:,} bytes and {settings.max_pictures} pictures."
        " Errors are RFC 9457 problems with a reason code; 429 and 503 say by Retry-After when to come back."
    )


_RESULT = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "confidence": {"type": "number"},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "model_version": {"type": "string"},
        "prediction_id": {"type": "string", "format": "uuid"},
        "image_id": {"type": "string", "description": "SHA-256 of the file"},
        "format": {"type": "string"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "reason": {"type": "string", "description": "a stable code"},
        "detail": {"type": "string"},
    },
}
_FILE = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"schema": {"type": "object", "properties": {"file": {"type": "array", "items": _FILE["schema"]}}}}
_FEEDBACK = {
    "schema": {
        "type": "object",
        "required": ["prediction_id", "label"],
        "properties": {"prediction_id": {"type": "string", "format": "uuid"}, "label": {"type": "string"}},
    }
}


_KEY = {
    "name": KEY,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Whom you ask for, as a user's id: while versions are compared, the same one answers the same key",
}


def _paths() -> dict[str, Any]:
    model = "/v2/models/{name}"
    version = model + "/versions/{version}"
    infer = "Open Inference Protocol: `image` BYTES [n] (files) or UINT8 [n, height, width, 3]"
    anything: dict[str, Any] = {"application/json": {}, "application/octet-stream": {}}
    return {
        "/classify": {
            "post": _operation(
                "A file as the body, or several in multipart/form-data",
                _result(),
                {"image/*": _FILE, "application/octet-stream": _FILE, "multipart/form-data": _FILES},
                headers=[_KEY],
            )
        },
        "/feedback": {
            "post": _operation("The true label of a picture answered", None, {"application/json": _FEEDBACK}, "202")
        },
        f"{model}/infer": {"post": _operation(infer, None, anything, names=["name"], headers=[_KEY])},
        f"{version}/infer": {"post": _operation(infer, None, anything, names=["name", "version"], headers=[_KEY])},
        model: {"get": _operation("Inputs, outputs and versions", names=["name"])},
        version: {"get": _operation("Inputs, outputs and versions", names=["name", "version"])},
        f"{model}/ready": {"get": _operation("Whether it answers", names=["name"])},
        f"{version}/ready": {"get": _operation("Whether it answers", names=["name", "version"])},
        "/v2": {"get": _operation("The service, and its extensions of the protocol")},
        "/v2/health/live": {"get": _operation("Whether the process lives")},
        "/v2/health/ready": {"get": _operation("Whether a version answers; which, and what is wrong")},
        "/metrics": {"get": _operation("For Prometheus")},
        "/openapi.json": {"get": _operation("This")},
    }


def _operation(
    summary: str,
    result: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    success: str = "200",
    names: Sequence[str] = (),
    headers: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    problem = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    answered: dict[str, Any] = {"description": "Answered"} | ({"content": result} if result else {})
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {success: answered, "default": {"description": "A problem"} | problem},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    if names or headers:
        operation["parameters"] = [*map(_parameter, names), *headers]
    return operation


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _result() -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/Result"}
    several = {"type": "object", "properties": {"results": {"type": "array", "items": one}}}
    return {"application/json": {"schema": {"oneOf": [one, several]}}}
