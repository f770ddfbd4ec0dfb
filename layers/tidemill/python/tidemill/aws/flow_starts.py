"""When and whether runs may start, in DynamoDB: throttles, rates, idempotency keys, and windows that gather.

Each is one item under its key, and each question one conditional write that answers it; the condition that was not met
tells by the item that it found. Nobody reads first, and nobody begins again because another one was faster, but for a
rate limit whose starts grow old at that moment.

    throttle      s: what has been spent (see `core.flow.throttle`)
    rate          x<digest of a run>: when it started; n: how many are noted
    idempotency   r, u: the run that has the key, and until when
    window        r: the run that gathers; q, c, s: its last record's number, its events' count, and since when
"""

from __future__ import annotations

from tidemill import ids
from tidemill.aws.dynamo import Item, Table
from tidemill.aws.table import PK, TTL, flow_key
from tidemill.core.flow import rate
from tidemill.errors import Unavailable
from tidemill.limits import DAY, RUN_RETENTION, SECOND, SLEEP
from tidemill.ports import Window

_ITEM = "#"  # the sort key
_ROUNDS = 12
_FORGOTTEN = 80  # starts of one write: an expression has its limits
_DIGEST = 10  # characters of 5 bits: what tells a start from the others of its key
_REMEMBERED = 10_000
_THROTTLE_KEPT = SLEEP + RUN_RETENTION  # its slots may lie far ahead


class FlowStarts:
    """The part of the port `FlowStore` that is about starts."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._spent: dict[str, int] = {}  # of the throttles that this process has asked

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        """One write, of the form that fits the number as this process last saw it; else a second, of the other form.

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
                return int(item["s"])
        raise Unavailable(f"the throttle {key} could not be moved on")

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        """At most `limit` starts are noted: the first ones are added, each later one takes the place of an old one."""
        me = "x" + ids.derived(run_id)[:_DIGEST]
        kept = {me: now, TTL: (now + period + DAY) // SECOND}
        gone: list[str] = []
        for tries in range(1, _ROUNDS + 1):
            there = [f"attribute_not_exists(#{me})", *(f"attribute_exists(#{name})" for name in gone)]
            room = "#n < :room" if gone else "(attribute_not_exists(#n) OR #n < :room)"
            done, item = self._table.tried(
                flow_key(key), _ITEM, kept, remove=gone, add={"n": 1 - len(gone)},
                when=" AND ".join([*there, room]), values={"room": limit + len(gone)},
            )  # fmt: skip
            if done or me in item:
                return True
            starts = _starts(item)
            if not rate.admits(list(starts.values()), now, limit, period):
                return False
            past = sorted(name for name, at in starts.items() if at <= now - period)
            excess = len(starts) - limit  # the limit was lowered
            if excess >= _FORGOTTEN:
                self._forget_starts(key, past[:_FORGOTTEN])
                gone = []
            elif excess >= 0:
                turn = sum(me.encode())  # so that those who come at the same time do not all want the same one
                gone = [past[(turn + number) % len(past)] for number in range(excess + 1)]
            else:
                gone = []
            if tries > 1:
                self._table.client.pause(tries - 1)
        raise Unavailable(f"the rate limit {key} was counted by others, {_ROUNDS} times in a row")

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


def _starts(item: Item) -> dict[str, int]:
    return {name: value for name, value in item.items() if name[0] == "x"}


def _window(item: Item) -> Window:
    return Window(item["r"], item["q"], item["c"], item["s"])
