"""Refuses what code between steps must not do while it is checked: sockets, other processes, writes.

A guard against accidents, not against attackers: the code is the user's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SOCKETS = frozenset({"connect", "bind", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg"})
_PROCESSES = frozenset({"system", "exec", "fork", "forkpty", "posix_spawn", "spawn", "kill", "killpg", "startfile"})
_FILES = frozenset(
    {"chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate", "utime", "setxattr"}
)


class RefusedError(PermissionError):
    """What the code tried between steps is not done."""


class Sandbox:
    """The hook of a process; it cannot be taken out again, and does nothing outside of `closed`."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._closed = False
        sys.addaudithook(self._hook)

    @contextmanager
    def closed(self) -> Generator[None]:
        self.refused = []
        self._closed = True
        try:
            yield
        finally:
            self._closed = False

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if self._closed and (what := _harm(event, args)) is not None:
            self.refused.append(what)
            raise RefusedError(f"{what} between steps is refused while code is checked; put it into a step")


def _harm(event: str, args: tuple[object, ...]) -> str | None:
    if event == "open":
        return _opened(*args)
    module, _, name = event.partition(".")
    if module == "socket" and name in _SOCKETS:
        return f"using a socket ({event})"
    if event == "subprocess.Popen" or (module in ("os", "pty") and name in _PROCESSES):
        return f"starting or ending a process ({event})"
    if (module == "os" and name in _FILES) or module == "shutil" or event == "sqlite3.connect":
        return f"changing files ({event})"
    return None


def _opened(path: object, _mode: object, flags: object) -> str | None:
    if isinstance(flags, int) and flags & _WRITES and path != os.devnull:
        return f"writing to {path!s:.200}"
    return None
