"""What flow control remembers: places and their lines, throttles, rates, idempotency keys, and windows that gather.

A place is a row, and so is a position in a line; the index of a line is its order, so that the first of a hundred
thousand is found as fast as the first of ten. One process writes, so every call here is one step for everybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.core.flow import rate, throttle
from tidemill.model import Place
from tidemill.ports import Holder, Usage, Waiting, Window

if TYPE_CHECKING:
    from tidemill_local.store.database import Database

_FORGET = 1_000  # rows of the past deleted at a time


class SqliteFlow:
    """The port `FlowStore`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Places.

    def take(self, place: Place, run_id: str, token: int, until: int, now: int, waited: bool) -> bool:
        held = self._db.row("SELECT token FROM place WHERE key = ? AND run_id = ?", (place.key, run_id))
        if held is not None:
            if held[0] > token:
                return False
        elif not self._room(place, now):
            return False
        self._hold(place, run_id, token, until)
        if waited:
            self._leave_line(place.key, run_id)
        return True

    def park(self, place: Place, waiting: Waiting, now: int) -> None:
        self._db.write(
            "INSERT INTO line (key, rank, run_id, function_id, token, label, since) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (run_id, key) DO UPDATE SET token = excluded.token",
            (place.key, waiting.rank, waiting.run_id, waiting.function_id, waiting.token, place.label, now),
        )

    def pass_on(
        self, place: Place, run_id: str, upto: int | None, until: int, now: int, limit: Callable[[str], int]
    ) -> list[tuple[str, str]]:
        if upto is None:
            self._db.write("DELETE FROM place WHERE key = ? AND run_id = ?", (place.key, run_id))
            self._leave_line(place.key, run_id)
        else:
            sql = "DELETE FROM place WHERE key = ? AND run_id = ? AND token <= ?"
            self._db.write(sql, (place.key, run_id, upto))
        if place.counts == "steps":
            self._lapse(place.key, now)
        granted: list[tuple[str, str]] = []
        used = self._used(place.key)
        while (first := self._first(place.key)) is not None:
            n, next_run, function_id, token, label = first
            most = limit(function_id)
            if used >= most:
                break
            self._db.write("DELETE FROM line WHERE n = ?", (n,))
            self._hold(Place(place.key, most, place.counts, label), next_run, token, until)
            granted.append((next_run, function_id))
            used += 1
        return granted

    def holders(self, key: str) -> list[Holder]:
        return [Holder(*row) for row in self._db.rows("SELECT run_id, token, until FROM place WHERE key = ?", (key,))]

    def _room(self, place: Place, now: int) -> bool:
        if self._used(place.key) < place.limit:
            return True
        return place.counts == "steps" and self._lapse(place.key, now) and self._used(place.key) < place.limit

    def _lapse(self, key: str, now: int) -> bool:
        """Free the places of holders that nothing is heard of; whether there was one."""
        return self._db.write("DELETE FROM place WHERE key = ? AND until <= ?", (key, now)).rowcount > 0

    def _used(self, key: str) -> int:
        row = self._db.row("SELECT count(*) FROM place WHERE key = ?", (key,))
        return int(row[0]) if row is not None else 0

    def _hold(self, place: Place, run_id: str, token: int, until: int) -> None:
        self._db.write(
            "INSERT INTO place VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key, run_id) DO UPDATE SET token = excluded.token, until = excluded.until",
            (place.key, run_id, token, until, place.label),
        )

    def _first(self, key: str) -> tuple[int, str, str, int, str] | None:
        sql = "SELECT n, run_id, function_id, token, label FROM line WHERE key = ? ORDER BY rank, n LIMIT 1"
        found = self._db.row(sql, (key,))
        return None if found is None else (found[0], found[1], found[2], found[3], found[4])

    def _leave_line(self, key: str, run_id: str) -> None:
        self._db.write("DELETE FROM line WHERE run_id = ? AND key = ?", (run_id, key))

    # Starts.

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        row = self._db.row("SELECT spent FROM throttle WHERE key = ?", (key,))
        _, spent = throttle.slot(row[0] if row is not None else 0, now, limit, period, 1)
        self._db.write("INSERT OR REPLACE INTO throttle VALUES (?, ?)", (key, spent))
        return spent

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        if self._db.row("SELECT 1 FROM rate WHERE key = ? AND run_id = ?", (key, run_id)) is not None:
            return True
        since = now - period
        rows = self._db.rows("SELECT at FROM rate WHERE key = ? AND at > ? LIMIT ?", (key, since, limit))
        if not rate.admits([row[0] for row in rows], now, limit, period):
            return False
        self._db.write("DELETE FROM rate WHERE key = ? AND at <= ?", (key, since))
        self._db.write("INSERT INTO rate VALUES (?, ?, ?)", (key, now, run_id))
        return True

    def first(self, key: str, run_id: str, now: int, until: int) -> str:
        row = self._db.row("SELECT run_id, until FROM idempotency WHERE key = ?", (key,))
        if row is not None and (row[0] == run_id or row[1] > now):
            return str(row[0])
        sql = "DELETE FROM idempotency WHERE n IN (SELECT n FROM idempotency WHERE until <= ? LIMIT ?)"
        self._db.write(sql, (now, _FORGET))
        self._db.write("INSERT INTO idempotency (key, run_id, until) VALUES (?, ?, ?)", (key, run_id, until))
        return run_id

    def forget(self, key: str, run_id: str) -> None:
        self._db.write("DELETE FROM idempotency WHERE key = ? AND run_id = ?", (key, run_id))

    # Windows.

    def window(self, key: str) -> Window | None:
        row = self._db.row("SELECT run_id, seq, count, since FROM gathering WHERE key = ?", (key,))
        return Window(*row) if row is not None else None

    def move_window(self, key: str, was: Window | None, window: Window) -> bool:
        found = self.window(key)
        if found not in (was, window):
            return False
        values = (key, window.run_id, window.seq, window.count, window.since)
        self._db.write("INSERT OR REPLACE INTO gathering VALUES (?, ?, ?, ?, ?)", values)
        return True

    # Views.

    def usage(self, family: str, top: int) -> list[Usage]:
        within = "key >= ? AND key < ?"
        bounds = (f"{family}/", f"{family}0")  # "0" comes after "/"
        keys = f"""
            SELECT max(label), sum(used), sum(waiting), min(oldest) FROM (
                SELECT key, label, 1 AS used, 0 AS waiting, NULL AS oldest FROM place WHERE {within}
                UNION ALL SELECT key, label, 0, 1, since FROM line WHERE {within}
            )
        """  # noqa: S608  (constants)
        total = self._db.row(keys, (*bounds, *bounds))
        if total is None or total[1] is None:
            return [Usage("", 0, 0)]
        rows = self._db.rows(f"{keys} GROUP BY key ORDER BY 3 DESC, 2 DESC, 4, 1 LIMIT ?", (*bounds, *bounds, top))
        return [Usage("", *total[1:]), *(Usage(*row) for row in rows)]
