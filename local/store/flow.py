"""The flow store on SQLite: places and their lines, throttles, rate limits, idempotency keys, collecting windows.

A place is a row, and so is a position in a line; the index of a line is its order, so that the first of a hundred
thousand is found as fast as the first of ten. One process writes, so every call here is atomic, and holders are
cached; a rollback clears the caches.
"""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tidemill.core.flow import rate, throttle
from tidemill.core.flow.throttle import Limit, Turn
from tidemill.model import Place
from tidemill.ports import Grant, Hold, Leaver, Usage, Waiting, Window

if TYPE_CHECKING:
    from tidemill_local.store.database import Database

_REMEMBERED = 10_000  # keys
_AHEAD = 64  # of each line
_pack = msgspec.msgpack.Encoder().encode
_starts = msgspec.msgpack.Decoder(throttle.Starts).decode
_FORGET = 1_000  # rows of the past deleted at a time


class _Waiting(NamedTuple):
    """A position in a line, compared by the first two fields."""

    rank: int
    n: int
    run_id: str
    function_id: str
    token: int
    label: str


class _Line:
    """The first rows of a line, in order; `whole`: there are no others."""

    __slots__ = ("first", "whole")

    def __init__(self, first: Sequence[_Waiting]) -> None:
        self.first = deque(first)
        self.whole = len(first) < _AHEAD

    def add(self, waiting: _Waiting) -> None:
        if self.first and waiting < self.first[-1]:
            self.first.insert(bisect(self.first, waiting), waiting)
        elif self.whole and len(self.first) < 2 * _AHEAD:
            self.first.append(waiting)
        else:
            self.whole = False


class SqliteFlow:
    """The port `FlowStore`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._pools: dict[str, dict[str, Hold]] = {}  # by key, by run
        # Leases that are longer than the stored ones, by key and run: a new server has no claims.
        self._longer: dict[tuple[str, str], Hold] = {}
        self._lines: dict[str, _Line] = {}  # by key
        self._n = 0  # the last number given out in a line; 0: not known

    # Places.

    def take(self, place: Place, hold: Hold, now: int, *, known: bool) -> bool:  # noqa: ARG002
        run_id, token, until = hold.run_id, hold.token, hold.until
        held = self._held(place.key)
        mine = held.get(run_id)
        if mine is not None:
            if mine.token > token:
                return False
        elif self._first(place.key) is not None or (
            len(held) >= place.limit and not (self._lapse(place, now) and len(held) < place.limit)
        ):
            return False
        if mine is None:
            sql = "INSERT INTO place VALUES (?, ?, ?, ?, ?)"
            self._db.write(sql, (place.key, run_id, token, until, place.label))
        elif mine.token == token and until < mine.until:  # another executor tried to make the same claim
            return True
        elif mine.token == token and until > mine.until:  # under the same claim: only the lease is longer
            self._longer[place.key, run_id] = hold
        elif (mine.token, mine.until) != (token, until):
            self._longer.pop((place.key, run_id), None)
            sql = "UPDATE place SET token = ?, until = ? WHERE key = ? AND run_id = ?"
            self._db.write(sql, (token, until, place.key, run_id))
        held[run_id] = hold
        return True

    def park(self, place: Place, waiting: Waiting, grant: Grant) -> list[tuple[str, str]]:
        line = self._line(place.key)
        if line.whole and all(each.run_id != waiting.run_id for each in line.first):
            known = False
        else:
            sql = "UPDATE line SET token = ? WHERE key = ? AND rank = ? AND run_id = ?"
            values = (waiting.token, place.key, waiting.rank, waiting.run_id)
            known = self._db.write(sql, values).rowcount > 0
        if known:
            del self._lines[place.key]
        else:
            each = _Waiting(
                waiting.rank, self._number(), waiting.run_id, waiting.function_id, waiting.token, place.label
            )
            self._db.write("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (place.key, *each, grant.now))
            line.add(each)
        return self._serve(place, None, grant)

    def pass_on(self, place: Place, leaver: Leaver, grant: Grant) -> list[tuple[str, str]]:
        held = self._held(place.key)
        mine = held.get(leaver.run_id)
        if leaver.rank is not None and mine is None:
            self._leave_line(place.key, leaver.rank, leaver.run_id)
        free = mine is not None and (leaver.upto is None or mine.token <= leaver.upto)
        return self._serve(place, leaver.run_id if free else None, grant)

    def _serve(self, place: Place, leaver: str | None, grant: Grant) -> list[tuple[str, str]]:
        """Give the free places to the first in line, that of `leaver` first."""
        held = self._held(place.key)
        self._lapse(place, grant.now)
        if leaver not in held:
            leaver = None
        granted: list[tuple[str, str]] = []
        while (first := self._first(place.key)) is not None:  # terminates: each turn removes one from the line
            if len(held) - (leaver is not None) >= grant.limit(first.function_id):
                break
            self._give(place, first, grant.until, held, leaver)
            granted.append((first.run_id, first.function_id))
            leaver = None
        if leaver is not None:
            del held[leaver]
            self._longer.pop((place.key, leaver), None)
            self._db.write("DELETE FROM place WHERE key = ? AND run_id = ?", (place.key, leaver))
        return granted

    def holders(self, key: str) -> list[Hold]:
        return list(self._held(key).values())

    def lines(self, family: str) -> list[tuple[str, str]]:
        sql = "SELECT key, max(label) FROM line WHERE key >= ? AND key < ? GROUP BY key"
        return self._db.rows(sql, (f"{family}/", f"{family}0"))  # "0" comes after "/"

    def families(self) -> list[str]:
        """The limits (the common prefix of their keys) that have runs in line."""
        found: list[str] = []
        sql = "SELECT key FROM line WHERE key >= ? ORDER BY key LIMIT 1"
        while (row := self._db.row(sql, (f"{found[-1]}0" if found else "",))) is not None:  # each is a later one
            found.append(row[0].partition("/")[0])
        return found

    def ahead(self, key: str, run_id: str, rank: int) -> int | None:
        sql = "SELECT min(n) FROM line WHERE key = ? AND rank = ? AND run_id = ?"
        row = self._db.row(sql, (key, rank, run_id))
        if row is None or row[0] is None:
            return None
        ((count,),) = self._db.rows(
            "SELECT count(*) FROM line WHERE key = ? AND (rank, n) < (?, ?)", (key, rank, row[0])
        )
        return int(count)

    def in_line(self, key: str) -> Iterator[tuple[str, str]]:
        after = (-(2**62), -1)
        sql = (
            "SELECT run_id, function_id, rank, n FROM line "
            "WHERE key = ? AND (rank, n) > (?, ?) ORDER BY rank, n LIMIT ?"
        )
        while rows := self._db.rows(sql, (key, *after, _AHEAD)):  # terminates: each page begins after the one before
            yield from [(row[0], row[1]) for row in rows]
            after = (rows[-1][2], rows[-1][3])

    def forget_all(self) -> None:
        """After a rollback: clear the caches."""
        self._pools.clear()
        self._lines.clear()
        self._n = 0

    def _give(self, place: Place, to: _Waiting, until: int, held: dict[str, Hold], of: str | None) -> None:
        """Give the place of the run `of`, or a free one, to the first in line."""
        self._db.write("DELETE FROM line WHERE key = ? AND rank = ? AND n = ?", (place.key, to.rank, to.n))
        self._lines[place.key].first.popleft()
        values = (to.run_id, to.token, until, to.label)
        if of is not None and to.run_id not in held:
            sql = "UPDATE place SET run_id = ?, token = ?, until = ?, label = ? WHERE key = ? AND run_id = ?"
            self._db.write(sql, (*values, place.key, of))
            del held[of]
            self._longer.pop((place.key, of), None)
        else:
            sql = "INSERT OR REPLACE INTO place (run_id, token, until, label, key) VALUES (?, ?, ?, ?, ?)"
            self._db.write(sql, (*values, place.key))
        self._longer.pop((place.key, to.run_id), None)
        held[to.run_id] = Hold(to.run_id, to.token, until)

    def _held(self, key: str) -> dict[str, Hold]:
        """The holders of a key's places: read once, then cached."""
        held = self._pools.get(key)
        if held is None:
            if len(self._pools) >= _REMEMBERED:
                self._pools.clear()
            rows = self._db.rows("SELECT run_id, token, until FROM place WHERE key = ?", (key,))
            held = self._pools[key] = {row[0]: self._lasting(key, Hold(*row)) for row in rows}
        return held

    def _lasting(self, key: str, stored: Hold) -> Hold:
        longer = self._longer.get((key, stored.run_id))
        return longer if longer is not None and longer.token == stored.token else stored

    def _lapse(self, place: Place, now: int) -> bool:
        """Free places that count steps and whose holders' leases have expired; return whether there was one."""
        held = self._held(place.key)
        lapsed = [h.run_id for h in held.values() if h.until <= now] if place.counts == "steps" else []
        for run_id in lapsed:
            del held[run_id]
            self._longer.pop((place.key, run_id), None)
            self._db.write("DELETE FROM place WHERE key = ? AND run_id = ?", (place.key, run_id))
        return bool(lapsed)

    def _first(self, key: str) -> _Waiting | None:
        line = self._line(key)
        if not line.first and not line.whole:
            del self._lines[key]
            line = self._line(key)
        return line.first[0] if line.first else None

    def _line(self, key: str) -> _Line:
        """The line of a key: its first rows are read once and cached, then the next."""
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= _REMEMBERED:
                self._lines.clear()
            sql = "SELECT rank, n, run_id, function_id, token, label FROM line WHERE key = ? ORDER BY rank, n LIMIT ?"
            found = self._db.rows(sql, (key, _AHEAD))
            line = self._lines[key] = _Line([_Waiting(*row) for row in found])
        return line

    def _number(self) -> int:
        """The next number in a line: among equal ranks the first to come is first."""
        if self._n == 0:
            row = self._db.row("SELECT max(n) FROM line")
            self._n = row[0] if row is not None and row[0] is not None else 0
        self._n += 1
        return self._n

    def _leave_line(self, key: str, rank: int, run_id: str) -> None:
        line = self._line(key)
        if line.first or not line.whole:
            self._db.write("DELETE FROM line WHERE key = ? AND rank = ? AND run_id = ?", (key, rank, run_id))
            del self._lines[key]

    # Starts.

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        row = self._db.row("SELECT spent FROM throttle WHERE key = ?", (key,))
        _, spent = throttle.slot(row[0] if row is not None else 0, now, limit, period, 1)
        self._db.write("INSERT OR REPLACE INTO throttle VALUES (?, ?)", (key, spent))
        return spent

    def begin(self, key: str, run_id: str, turn: Turn, now: int, limit: Limit) -> Turn | None:
        row = self._db.row("SELECT data FROM started WHERE key = ?", (key,))
        starts = _starts(row[0]) if row is not None else throttle.Starts()
        later, after = throttle.begin(starts, run_id, turn, now, limit)
        if after != starts:
            self._db.write("INSERT OR REPLACE INTO started VALUES (?, ?)", (key, _pack(after)))
        return later

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        since = now - period
        sql = "SELECT at FROM rate WHERE key = ? AND at > ? AND run_id <> ? LIMIT ?"
        rows = self._db.rows(sql, (key, since, run_id, limit))
        if not rate.admits([row[0] for row in rows], now, limit, period):
            return False
        self._db.write("DELETE FROM rate WHERE key = ? AND (at <= ? OR run_id = ?)", (key, since, run_id))
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

    def move_window(self, key: str, was: str | None, window: Window, now: int) -> Window:  # noqa: ARG002
        found = self.window(key)
        if found is not None and found.run_id != was:
            return found
        if was == window.run_id and (found is None or found.seq >= window.seq):
            return found or window
        values = (key, window.run_id, window.seq, window.count, window.since)
        self._db.write("INSERT OR REPLACE INTO gathering VALUES (?, ?, ?, ?, ?)", values)
        return window

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
