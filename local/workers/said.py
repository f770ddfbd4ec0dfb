"""Sends the log lines of one execution to the server: bounded, with a count of the dropped lines."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from tidemill.limits import LOG_EXECUTION
from tidemill.run_logs import LogLine


class Said:
    """`send` sends a line. Branches may log at the same time."""

    def __init__(self, send: Callable[[LogLine], object]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._count = 0
        self._last: LogLine | None = None

    def __call__(self, line: LogLine) -> None:
        with self._lock:
            self._count += 1
            self._last = line
            if self._count <= LOG_EXECUTION:
                self._send(line)

    def over(self) -> None:
        """The execution has ended."""
        more = self._count - LOG_EXECUTION
        if more > 0 and self._last is not None:
            text = f"{more:,} more lines were not kept: one execution may log {LOG_EXECUTION:,}"
            last = self._last
            self._send(
                msgspec.structs.replace(last, level="warning", message=text, step=None, mark=f"{last.mark} more")
            )
