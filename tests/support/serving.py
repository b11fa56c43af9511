"""An asyncio server in a thread of this process."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager


@contextlib.contextmanager
def in_a_thread(server: Callable[[], AbstractAsyncContextManager[int]]) -> Iterator[int]:
    """Run a server, which yields its port, until the end of the block.

    Yields:
        The port.
    """
    loop, ports, ready, stopped = asyncio.new_event_loop(), [], threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server() as port:
            ports.append(port)
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(30)
        loop.close()
