"""The store of runs' log lines: the latest lines of each run, and the number of dropped ones.

A line is filed under its run's number and a number of its own, which counts up: the first that is kept says how many
were dropped. A line that a replay says again has the mark that it had, and is there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidemill.limits import LOG_BYTES, LOG_LINES
from tidemill.model import Head
from tidemill.run_logs import Cursor, LogLine, LogPage

if TYPE_CHECKING:
    from tidemill_local.store.database import Database

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(LogLine).decode
_WEIGHED = 64  # lines after which the bytes of a run's lines are checked again

_KEEP = """
INSERT INTO log (n, number, mark, data)
SELECT n, coalesce((SELECT max(number) + 1 FROM log WHERE log.n = run.n), 0), ?, ? FROM run WHERE run_id = ?
ON CONFLICT DO NOTHING RETURNING n, number
"""
_OVER = """
SELECT number FROM (
    SELECT number, sum(length(data)) OVER (ORDER BY number DESC) AS bytes FROM log WHERE n = ?
) WHERE bytes > ? ORDER BY number DESC LIMIT 1
"""


class SqliteLogs:
    """The port `Logs`, and the store of lines."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def keep(self, line: LogLine) -> None:
        """Store a line of an existing run, once; drop its oldest lines if there is no more room."""
        found = self._db.write(_KEEP, (line.mark, _pack(line), line.run_id)).fetchone()
        if found is None:
            return
        n, number = found
        if number >= LOG_LINES:
            self._drop(n, number - LOG_LINES)
        if number % _WEIGHED == _WEIGHED - 1:
            over = self._db.row(_OVER, (n, LOG_BYTES))
            if over is not None:
                self._drop(n, over[0])

    def _drop(self, n: int, last: int) -> None:
        self._db.write("DELETE FROM log WHERE n = ? AND number <= ?", (n, last))

    def page(self, head: Head, limit: int, cursor: Cursor | None) -> LogPage:
        begin = cursor[0] if cursor is not None else 0
        sql = (
            "SELECT number, data FROM log WHERE n = (SELECT n FROM run WHERE run_id = ?) AND number >= ? "
            "ORDER BY number LIMIT ?"
        )
        rows = self._db.rows(sql, (head.run_id, begin, limit + 1))
        dropped = rows[0][0] - begin if rows else 0
        room = limit - bool(dropped)
        lines = [_unpack(data) for _, data in rows[:room]]
        following = (rows[room][0], "") if len(rows) > room else None
        return LogPage(lines, following, dropped)
