"""Pages in Airflow's UI: a web application of the API server, for who is signed in there.

What the pages show is made elsewhere: reports by their packages, whose tasks write them into the store.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


class Pages:
    """The application, which is imported at its first request: Airflow loads its plugins in each of its processes."""

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        from strandline.pages.application import application

        await application(scope, receive, send)
