"""The steps of async code that are blocked, each with the future that its task awaits."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from tidemill.core.handed import told_outside
from tidemill.core.journal import Blocked


class Blocks:
    """`can_go_on`: whether a blocked step no longer has to wait."""

    def __init__(self, can_go_on: Callable[[Blocked], bool]) -> None:
        self._can_go_on = can_go_on
        self._waiting: dict[str, tuple[Blocked, asyncio.Future[None]]] = {}
        self._timed: list[tuple[int, str]] = []  # when each can continue by itself
        self._news = False  # any of them may have been resolved
        self._outside = 0  # how many wait for an outsider

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def hopeful(self) -> bool:
        """Whether any of them waits for an outsider."""
        return self._outside > 0

    @property
    def next_time(self) -> int | None:
        """When the next can continue by itself."""
        return self._timed[0][0] if self._timed else None

    async def wait(self, blocked: Blocked) -> None:
        """Wait until the step can continue."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[blocked.key] = (blocked, future)
        self._outside += told_outside(blocked)
        self._news = True
        if blocked.until is not None:
            heapq.heappush(self._timed, (blocked.until, blocked.key))
        try:
            await future
        finally:
            del self._waiting[blocked.key]
            self._outside -= told_outside(blocked)

    def hear(self) -> None:
        self._news = True

    def resume(self) -> bool:
        """Resume the steps that are no longer blocked, the earliest first. False: there are none."""
        ready = self._due()
        if self._news:
            self._news = False
            ready += [each for each in self._waiting.values() if self._can_go_on(each[0])]
        resumed = False
        for _, future in ready:
            if not future.done():
                future.set_result(None)
                resumed = True
        return resumed

    def _due(self) -> list[tuple[Blocked, asyncio.Future[None]]]:
        due: list[tuple[Blocked, asyncio.Future[None]]] = []
        while self._timed:
            until, key = self._timed[0]
            waiting = self._waiting.get(key)
            if waiting is not None and waiting[0].until == until and not waiting[1].done():
                if not self._can_go_on(waiting[0]):
                    break
                due.append(waiting)
            heapq.heappop(self._timed)
        return due
