"""A connection whose header is bounded in time and bytes: uvicorn bounds neither."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 64 * 2**10
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def bounded(header_seconds: float) -> type[HttpToolsProtocol]:
    """The class for uvicorn's `http`."""

    class Connection(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _header_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_header()

        def connection_lost(self, exc: Exception | None) -> None:
            self._have_header()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._timer is not None:
                self._header_bytes += len(data)
                if self._header_bytes > HEADER_BYTES:
                    self._refuse(_TOO_LARGE)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._await_header()

        def on_headers_complete(self) -> None:
            self._have_header()
            super().on_headers_complete()

        def _await_header(self) -> None:
            if self._timer is None:
                self._header_bytes = 0
                self._timer = self.loop.call_later(header_seconds, self._refuse, _TOO_SLOW)

        def _have_header(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _refuse(self, answer: bytes) -> None:
            self._have_header()
            if not self.transport.is_closing():
                self.transport.write(answer)
                self.transport.close()

    return Connection
