"""What waits for a thread: it takes as many as there are, up to a number, so that batches grow with the load."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, items: Iterable[T]) -> bool:
        """Whether somebody will take them: not once it is closed."""
        with self._changed:
            if not self._closed:
                self._items.extend(items)
                self._changed.notify()
            return not self._closed

    def close(self) -> None:
        """Who takes gets what is left, and then nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, most: int, among: int = 1) -> list[T]:
        """The next ones, once there are any: one's part of them, if so many share; none once it is closed."""
        with self._changed:
            while not self._items:
                if self._closed:
                    return []
                self._changed.wait()
            count = min(most, -(-len(self._items) // among))
            taken = [self._items.popleft() for _ in range(count)]
            if self._items:
                self._changed.notify()
            return taken
