"""What went wrong, as RFC 9457 has it: `application/problem+json`, with a stable reason code."""

import http
import math
from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
# Those that are not the decoder's, which `strandline_contract.reasons` explains.
STATUS_OF = {
    "BAD_REQUEST": 400,
    "TOKEN_MISSING": 401,
    "TOKEN_UNKNOWN": 401,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "BODY_TOO_SLOW": 408,
    "BODY_TOO_LARGE": 413,
    "TOO_MANY_PICTURES": 413,
    "CONTENT_ENCODING": 415,
    "PICTURE_REFUSED": 422,
    "RATE_LIMITED": 429,
    "FAILED": 500,
    "BUSY": 503,
    "NOT_READY": 503,
    "BUNDLE_MISSING": 503,
    "NETWORK_DOWN": 503,
    "NOT_RECORDED": 503,
}


class Problem(Exception):
    """A request, or one of its pictures, that gets no answer.

    Args:
        reason: a key of STATUS_OF, or a code of the decoder or of the network, for which the status is 422.
        retry_after: seconds after which another try may do.
        members: whatever else a reader can use.
    """

    def __init__(self, reason: str, detail: str, retry_after: float | None = None, **members: Any) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail, self.retry_after, self.members = reason, detail, retry_after, members
        self.status = STATUS_OF.get(reason, 422)

    def to_dict(self) -> dict[str, Any]:
        """`error` is where clients of the Open Inference Protocol look."""
        return {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "reason": self.reason,
            "detail": self.detail,
            "error": f"{self.reason}: {self.detail}",
        } | self.members

    def response(self) -> Response:
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Response(orjson.dumps(self.to_dict()), self.status, headers, MEDIA_TYPE)
