"""The store of log lines for a Mill on moto, which does not support CloudWatch's filters."""

from __future__ import annotations

from tidemill.limits import LOG_LINES
from tidemill.model import Head
from tidemill.run_logs import Cursor, LogLine, LogPage


class KeptLogs:
    def __init__(self) -> None:
        self._lines: dict[str, dict[str, LogLine]] = {}  # by run and mark
        self._dropped: dict[str, int] = {}

    def keep(self, line: LogLine) -> None:
        lines = self._lines.setdefault(line.run_id, {})
        lines.setdefault(line.mark, line)
        if len(lines) > LOG_LINES:
            del lines[next(iter(lines))]
            self._dropped[line.run_id] = self._dropped.get(line.run_id, 0) + 1

    def page(self, head: Head, limit: int, cursor: Cursor | None) -> LogPage:
        dropped = self._dropped.get(head.run_id, 0)
        begin = max(cursor[0] if cursor is not None else 0, dropped)
        lines = list(self._lines.get(head.run_id, {}).values())[begin - dropped :]
        said = dropped if cursor is None else 0
        room = limit - bool(said)
        following = (begin + room, "") if len(lines) > room else None
        return LogPage(lines[:room], following, said)
