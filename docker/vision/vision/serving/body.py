"""Reads what comes with a request, within limits of bytes and of time; nothing is decoded here."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from vision.serving.problems import Problem
from vision.serving.settings import Settings

DISCARD_SECONDS = 5.0  # for what is left of a request that was refused


class Bodies:
    """`held`: bytes of all requests that are under way."""

    def __init__(self, settings: Settings) -> None:
        self._most, self._in_all = settings.max_request_bytes, settings.max_held_bytes
        self._seconds, self._files = settings.body_seconds, settings.max_pictures
        self.held = 0

    async def read(self, request: Request) -> bytes:
        """All of it. Its bytes are held until `release`.

        Raises:
            Problem: it is too large, too slow, packed, or there is no room for it now.
        """
        headers = request.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem("CONTENT_ENCODING", "packed bodies are not read: send it as it is")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(request)
            request.state.is_read = True
            return body
        except TimeoutError:
            raise Problem("BODY_TOO_SLOW", f"the body took longer than {self._seconds:g} s") from None

    async def discard(self, request: Request) -> bool:
        """Read on, so that a caller who still sends gets to its answer; whether that was all, within limits."""
        if request.state.is_read:
            return True
        if "expect" in request.headers:  # it waits for a word before it sends
            return False
        left = self._most
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(min(self._seconds, DISCARD_SECONDS)):
                async for chunk in request.stream():
                    left -= len(chunk)
                    if left < 0:
                        return False
                return True
        return False

    def release(self, body: bytes) -> None:
        self.held -= len(body)

    async def files(self, request: Request, body: bytes) -> list[tuple[str, bytes]]:
        """Names and contents of the files of a multipart body.

        Raises:
            Problem: it is malformed, has no file or too many.
        """
        parser = MultiPartParser(request.headers, _once(body), max_files=self._files, max_fields=self._files)
        parser.spool_max_size = self._most  # it is in memory already
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError) as error:
            raise Problem("BAD_REQUEST", f"the multipart body cannot be read: {error}") from error
        uploads = [(one.filename or "", one) for _, one in form.multi_items() if isinstance(one, UploadFile)]
        files = [(name, await upload.read()) for name, upload in uploads]
        await form.close()
        if not files:
            raise Problem("BAD_REQUEST", "the multipart body has no file: curl -F file=@picture.jpg")
        return files

    async def _read(self, request: Request) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                self.held += len(chunk)
                if size > self._most:
                    raise self._too_large()
                if self.held > self._in_all:
                    raise Problem("BUSY", "too many bytes are under way", 1)
        except BaseException:
            self.held -= size
            raise
        return b"".join(chunks)

    def _too_large(self) -> Problem:
        return Problem("BODY_TOO_LARGE", f"a request may have {self._most:,} bytes")


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
