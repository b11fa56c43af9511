"""Pages as a browser gets them, without a server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from strandline.pages import rooms

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202e\x1b"


def render(template: str, found: rooms.Facts, path: str = "/") -> str:
    scope = {"type": "http", "method": "GET", "headers": [], "root_path": "/strandline", "path": f"/strandline{path}"}
    return bytes(rooms.render(Request(scope), template, found).body).decode()


def downloaded(answer: StreamingResponse) -> list[str | bytes | memoryview]:
    """The parts of a download. In a thread of its own: where a browser is open, an event loop runs in this one."""

    async def collect() -> list[str | bytes | memoryview]:
        return [part async for part in answer.body_iterator]

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, collect()).result()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.harmful: list[tuple[str, Any]] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "script":
            self.scripts.append(attributes.get("src"))
        if any(name.startswith("on") for name in attributes) or attributes.get("src") == "x":
            self.harmful.append((tag, attributes))


def is_harmless(html: str) -> bool:
    """Whether nothing of HOSTILE has become markup, and no control character is left."""
    tags = _Tags()
    tags.feed(html)
    return not tags.harmful and tags.scripts == ["/strandline/static/pages.js"] and not {"\u202e", "\x1b"} & {*html}
