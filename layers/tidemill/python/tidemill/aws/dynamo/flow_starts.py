"""Decides on DynamoDB when and whether runs may start: throttles, rate limits, idempotency keys, collecting windows.

Each is one item under its key, and one conditional write answers each question; a failed condition returns the item
that it found. There is no read before a write, and no retry because another process was faster, except for a rate limit
whose starts expire at that moment.

    throttle      s: `spent` (see `core.flow.throttle`); b: the starts, and e: how often these changed
    rate          x<digest of a run>: when it started; n: how many starts the item has
    idempotency   r, u: the run that has the key, and until when
    window        r: the run that collects; q, c, s: its last record's number, its number of events, and its start
"""

from __future__ import annotations

import msgspec

from tidemill import ids
from tidemill.aws.dynamo.keys import PK, TTL, flow_key
from tidemill.aws.dynamo.table import Item, Table
from tidemill.core.flow import rate, throttle
from tidemill.core.flow.throttle import Limit, Turn
from tidemill.errors import Unavailable
from tidemill.limits import DAY, RUN_RETENTION, SECOND, SLEEP
from tidemill.ports import Window

_ITEM = "#"  # the sort key
_ROUNDS = 12
_FORGOTTEN = 80  # starts of one write: an expression has its limits
_DIGEST = 10  # characters of 5 bits: enough to distinguish the starts of a key
_REMEMBERED = 10_000
_THROTTLE_KEPT = SLEEP + RUN_RETENTION  # its slots may lie far ahead

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(throttle.Starts).decode


class FlowStarts:
    """The part of the port `FlowStore` for starts."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._spent: dict[str, int] = {}  # of the throttles that this process has asked
        self._throttles: dict[str, Item] = {}  # the same, as their items were
        self._noted: set[str] = set()  # the runs that this process has counted

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        """One write, in the form that fits the number that this process last saw; else a second, in the other form.

        The number only grows: once it has reached `floor` the first form fits.
        """
        floor = now * limit
        ttl = {TTL: (now + _THROTTLE_KEPT) // SECOND}
        behind = self._spent.get(key, 0) < floor
        for fresh in (behind, not behind, False):
            if fresh:
                done, item = self._table.tried(
                    flow_key(key), _ITEM, {"s": floor + period, **ttl},
                    when="attribute_not_exists(#s) OR #s < :floor", values={"floor": floor},
                )  # fmt: skip
            else:
                done, item = self._table.tried(
                    flow_key(key), _ITEM, ttl, add={"s": period}, when="#s >= :floor", values={"floor": floor}
                )
            if done:
                if len(self._spent) >= _REMEMBERED:
                    self._spent.clear()
                self._spent[key] = item["s"]
                self._see(key, item)
                return int(item["s"])
        raise Unavailable(f"the throttle {key} could not be moved on")

    def begin(self, key: str, run_id: str, turn: Turn, now: int, limit: Limit) -> Turn | None:
        """One write if the item is as this process last saw it; else one more for each faster process."""
        item = self._throttles.get(key) or self._table.get(flow_key(key), _ITEM) or {}
        ttl = {TTL: (now + _THROTTLE_KEPT) // SECOND}
        for failures in range(1, _ROUNDS + 1):
            starts = _begun(item)
            later, after = throttle.begin(starts, run_id, turn, now, limit)
            if after == starts:
                if failures > 1:
                    return later
                item = self._see(key, self._table.get(flow_key(key), _ITEM) or {})  # a refusal by the remembered item
                continue
            same = "#e = :e" if "e" in item else "attribute_not_exists(#e)"
            done, item = self._table.tried(
                flow_key(key), _ITEM, {"b": _pack(after), "e": item.get("e", 0) + 1, **ttl}, when=same,
                values={"e": item["e"]} if "e" in item else {},
            )  # fmt: skip
            self._see(key, item)
            if done:
                return later
            if failures > 1:
                self._table.client.pause(failures - 1)
        raise Unavailable(f"run {run_id}: others began under the throttle {key} {_ROUNDS} times in a row")

    def _see(self, key: str, item: Item) -> Item:
        if len(self._throttles) >= _REMEMBERED:
            self._throttles.clear()
        self._throttles[key] = item
        return item

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        """Keeps at most `limit` starts: the first ones are added, each later one replaces an old one.

        A run that is in the item already is moved to now. Bounded: twelve others may be faster in a row.
        """
        me = "x" + ids.derived(run_id)[:_DIGEST]
        kept = {me: now, TTL: (now + period + DAY) // SECOND}
        gone: list[str] = []
        noted = me in self._noted
        for tries in range(1, _ROUNDS + 1):
            mine = f"attribute_{'exists' if noted else 'not_exists'}(#{me})"
            there = [mine, *(f"attribute_exists(#{name})" for name in gone)]
            room = "#n < :room" if gone or noted else "(attribute_not_exists(#n) OR #n < :room)"
            done, item = self._table.tried(
                flow_key(key), _ITEM, kept, remove=gone, add={"n": (not noted) - len(gone)},
                when=" AND ".join([*there, room]), values={"room": limit + len(gone) + noted},
            )  # fmt: skip
            if done:
                self._note(me)
                return True
            starts = _starts(item)
            noted = starts.pop(me, None) is not None
            if not rate.admits(list(starts.values()), now, limit, period):
                return False
            past = sorted(name for name, at in starts.items() if at <= now - period)
            excess = len(starts) - limit  # the limit was lowered
            if excess >= _FORGOTTEN:
                self._forget_starts(key, past[:_FORGOTTEN])
                gone = []
            elif excess >= 0:
                turn = sum(me.encode())  # random, so that concurrent starts do not all replace the same one
                gone = [past[(turn + number) % len(past)] for number in range(excess + 1)]
            else:
                gone = []
            if tries > 1:
                self._table.client.pause(tries - 1)
        raise Unavailable(f"run {run_id}: the rate limit {key} was counted by others {_ROUNDS} times in a row")

    def _note(self, me: str) -> None:
        if len(self._noted) >= _REMEMBERED:
            self._noted.clear()
        self._noted.add(me)

    def _forget_starts(self, key: str, names: list[str]) -> None:
        there = " AND ".join([f"attribute_exists(#{name})" for name in names])
        self._table.update(flow_key(key), _ITEM, remove=names, add={"n": -len(names)}, when=there)

    def first(self, key: str, run_id: str, now: int, until: int) -> str:
        mine = {"r": run_id, "u": until, TTL: (until + DAY) // SECOND}
        done, item = self._table.tried(
            flow_key(key), _ITEM, mine, when="attribute_not_exists(#r) OR (#u <= :now AND #r <> :me)",
            values={"now": now, "me": run_id},
        )  # fmt: skip
        return run_id if done else str(item["r"])

    def forget(self, key: str, run_id: str) -> None:
        self._table.delete(flow_key(key), _ITEM, when="#r = :me", values={"me": run_id})

    # Windows.

    def window(self, key: str) -> Window | None:
        item = self._table.get(flow_key(key), _ITEM)
        return _window(item) if item is not None else None

    def move_window(self, key: str, was: str | None, window: Window, now: int) -> Window:
        sets = {"r": window.run_id, "q": window.seq, "c": window.count, "s": window.since}
        values: dict[str, str | int] = {}
        when = f"attribute_not_exists({PK})"
        if was is not None:
            when, values["was"] = f"{when} OR #r = :was", was
        if was == window.run_id:
            when, values["next"] = "#r = :was AND #q < :next", window.seq
        kept = {**sets, TTL: (now + RUN_RETENTION) // SECOND}
        done, item = self._table.tried(flow_key(key), _ITEM, kept, when=when, values=values)
        return window if done or not item else _window(item)


def _begun(item: Item) -> throttle.Starts:
    return _unpack(item["b"]) if "b" in item else throttle.Starts()


def _starts(item: Item) -> dict[str, int]:
    return {name: value for name, value in item.items() if name[0] == "x"}


def _window(item: Item) -> Window:
    return Window(item["r"], item["q"], item["c"], item["s"])
