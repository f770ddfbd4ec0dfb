"""Detects changes of the user's code. A notification of the operating system is only a reason to check the files.

On Linux inotify is asked directly: its descriptor joins the loop, and costs nothing while nothing changes. (watchfiles
needs a thread that wakes up 30 times a second, and 10 MB.) Elsewhere watchfiles does it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable
from pathlib import Path

from tidemill_local.load import sources

_QUIET = 0.05  # seconds without notifications that end a change: editors write in several steps
_ENDINGS = (".py", ".function.json")

Stop = Callable[[], None]


class Watcher:
    """Calls `changed` on the loop when a source file in the watched folders has changed."""

    def __init__(self, loop: AbstractEventLoop, changed: Callable[[], None], extra: Iterable[Path] = ()) -> None:
        """`extra`: other files that count as source (the environment file, pyproject.toml)."""
        self._loop = loop
        self._changed = changed
        self._extra = frozenset(str(path) for path in extra)
        self._folders: frozenset[str] = frozenset()
        self._places: frozenset[str] = frozenset()
        self._spots: frozenset[str] = frozenset()
        self._seen: dict[str, int] = {}
        self._stop: Stop | None = None
        self._quiet: TimerHandle | None = None

    @property
    def watching(self) -> bool:
        return self._stop is not None

    def watch(self, folders: Iterable[str], since: int, places: Iterable[str] = (), spots: Iterable[str] = ()) -> None:
        """Watch these folders (not their subfolders) instead of all others.

        `since`: when the current code was read, in nanoseconds since the epoch; newer files have changed.
        `places`: folders of which every file counts, whatever its name and however deep; or such a file.
        `spots`: folders in which only the set of files counts, not their content: a log may be written there.
        """
        self._places = frozenset(os.path.realpath(place) for place in places)
        self._spots = frozenset(os.path.realpath(spot) for spot in spots)
        deep = self._places | self._spots
        inner = [folder for place in deep for folder in sources.beneath(place)[0] or [os.path.dirname(place)]]
        wanted = frozenset(os.path.realpath(folder) for folder in [*folders, *inner])
        if wanted != self._folders:
            self.stop()
            self._folders = wanted
            self._stop = _START(self._loop, wanted, self._news)
        self._seen = self._look()
        if any(time > since for time in self._seen.values()):
            self._loop.call_soon(self._changed)

    def stop(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None
        self._folders = frozenset()

    def _news(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(_QUIET, self._compare)

    def _compare(self) -> None:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._changed()

    def _look(self) -> dict[str, int]:
        """The source files and when they were written, in nanoseconds since the epoch."""
        seen: dict[str, int] = {}
        for folder in self._folders:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.endswith(_ENDINGS) or entry.path in self._extra:
                            seen[entry.path] = entry.stat().st_mtime_ns
            except OSError:
                continue  # the folder, or a file in it, was just deleted
        for spot in self._spots:
            for found in sources.beneath(spot):
                seen.update((path, seen.get(path, 0)) for path in found)
        for place in self._places:
            inner, files = sources.beneath(place)
            seen.update(dict.fromkeys(inner, 0))  # only their existence: a folder's time changes with its files
            for file in files:
                with contextlib.suppress(OSError):
                    seen[file] = os.stat(file).st_mtime_ns
        return seen


def _inotify(loop: AbstractEventLoop, folders: Iterable[str], news: Callable[[], None]) -> Stop:
    import ctypes

    interest = 0x8 | 0x40 | 0x80 | 0x100 | 0x200  # written and closed, moved from, moved to, created, deleted
    libc = ctypes.CDLL(None)
    fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    for folder in folders:
        libc.inotify_add_watch(fd, os.fsencode(folder), interest)

    def read() -> None:
        os.read(fd, 65_536)
        news()

    def stop() -> None:
        loop.remove_reader(fd)
        os.close(fd)

    loop.add_reader(fd, read)
    return stop


def _watchfiles(loop: AbstractEventLoop, folders: Iterable[str], news: Callable[[], None]) -> Stop:
    stopped = threading.Event()

    def run() -> None:
        if sys.platform != "linux":  # there it is not installed, and type checkers do not look for it
            from watchfiles import watch

            for _ in watch(*folders, watch_filter=None, stop_event=stopped, recursive=False, raise_interrupt=False):
                loop.call_soon_threadsafe(news)

    threading.Thread(target=run, name="watch", daemon=True).start()
    return stopped.set


_START = {"linux": _inotify}.get(sys.platform, _watchfiles)
