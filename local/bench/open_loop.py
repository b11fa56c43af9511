"""Open-loop load: a request is due every 1 / rate seconds, whatever became of the ones before, and its latency counts
from when it was due: a server that falls behind cannot hide it by being asked less.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PATIENCE = 20.0  # seconds for the last answers
PAUSE = 0.0005  # seconds between looks at the clock, at the least


@dataclass(frozen=True)
class Measured:
    """`rate`: asked for, a second; `answered`: a second, until the last answer. Latencies in ms."""

    rate: float
    answered: float
    failed: int
    p50: float
    p95: float
    p99: float


class _Connection(asyncio.Protocol):
    """One request at a time; knows as much of HTTP as the answers have."""

    def __init__(self) -> None:
        self._said = b""
        self.done: Callable[[_Connection, bool], None]
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._said += data
        header, found, body = self._said.partition(b"\r\n\r\n")
        length = header.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if found and len(body) >= int(length):
            answered = self._said.startswith(b"HTTP/1.1 200")
            self._said = b""
            self.done(self, answered)


class Load:
    def __init__(self, port: int, path: str, media_type: str, bodies: Sequence[bytes]) -> None:
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: "
        self._port = port
        self._requests = [b"%s%d\r\n\r\n%s" % (head.encode(), len(body), body) for body in bodies]

    async def run(self, rate: float, seconds: float, connections: int) -> Measured:
        """
        Raises:
            OSError: the server is not there.
        """
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(_Connection, "127.0.0.1", self._port) for _ in range(connections)]
        self._free = [connection for _, connection in opened]
        self._due: deque[tuple[int, float]] = deque()
        self._latencies: list[float] = []
        self._failed, self._left = 0, round(rate * seconds)
        self._over = loop.create_future()
        began = time.perf_counter()
        await self._send_all(began, rate, self._left)
        await asyncio.wait([self._over], timeout=PATIENCE)
        ended = time.perf_counter()
        for transport, _ in opened:
            transport.abort()
        return self._measured(rate, ended - began)

    async def _send_all(self, began: float, rate: float, count: int) -> None:
        sent = 0
        while sent < count:
            while sent < count and began + sent / rate <= time.perf_counter():
                self._due.append((sent, began + sent / rate))
                self._send_due()
                sent += 1
            await asyncio.sleep(max(PAUSE, began + sent / rate - time.perf_counter()))

    def _send_due(self) -> None:
        while self._due and self._free:
            number, due = self._due.popleft()
            connection = self._free.pop()
            connection.done = lambda it, answered, due=due: self._done(it, answered, due)  # type: ignore[misc]
            connection.transport.write(self._requests[number % len(self._requests)])

    def _done(self, connection: _Connection, answered: bool, due: float) -> None:
        self._latencies.append(1000 * (time.perf_counter() - due))
        self._failed += not answered
        self._left -= 1
        self._free.append(connection)
        self._send_due()
        if not self._left and not self._over.done():
            self._over.set_result(None)

    def _measured(self, rate: float, elapsed: float) -> Measured:
        unanswered = [1000 * PATIENCE] * self._left
        latencies = sorted(self._latencies + unanswered)
        p50, p95, p99 = (latencies[min(len(latencies) - 1, int(part * len(latencies)))] for part in (0.5, 0.95, 0.99))
        return Measured(rate, len(self._latencies) / elapsed, self._failed + self._left, p50, p95, p99)
