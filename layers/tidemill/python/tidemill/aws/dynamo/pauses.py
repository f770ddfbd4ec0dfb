"""The store of paused functions on DynamoDB, and of the runs that wait until they are resumed.

    PAUSES              <function id>                 how it is paused; without that: it was resumed, and runs are left
    PAUSED#<function>   <created>#<run>               a run that a paused function holds
    PAUSED#<function>   T#<trigger>                   the latest tick of a cron trigger that came meanwhile

All pauses are read at once, at most twice a minute by each process: so a run costs nothing more, and a pause takes
effect within the minute.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidemill.aws.dynamo.keys import PK, SK, TTL, time_key
from tidemill.aws.dynamo.table import Table
from tidemill.limits import MINUTE, RUN_RETENTION, SECOND
from tidemill.model import Pause
from tidemill.ports import Clock

FRESH = MINUTE // 2  # and a step may begin just before the next look

LEFT = 5 * MINUTE  # after a resume, in which a process may still note a run that it takes for held

_PAUSES = "PAUSES"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Pause).decode


class DynamoPauses:
    """The port `Pauses`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._read_at: int | None = None
        self._known: dict[str, Pause] = {}

    def of(self, function_id: str) -> Pause | None:
        now = self._clock.now()
        if self._read_at is None or now - self._read_at >= FRESH:
            self._known, self._read_at = self._all(strong=False), now
        return self._known.get(function_id)

    def all(self) -> dict[str, Pause]:
        return self._all(strong=True)

    def pause(self, function_id: str, pause: Pause) -> None:
        self._table.put({PK: _PAUSES, SK: function_id, "pause": _encode(pause).decode()})
        self._read_at = None

    def resume(self, function_id: str) -> None:
        self._table.put({PK: _PAUSES, SK: function_id, "left": self._clock.now() + LEFT})
        self._read_at = None

    def hold(self, function_id: str, run_id: str, created_at: int) -> None:
        ttl = (self._clock.now() + RUN_RETENTION) // SECOND
        self._table.put({PK: _key(function_id), SK: time_key(created_at, run_id), TTL: ttl})

    def held(self, function_id: str, limit: int) -> list[tuple[int, str]]:
        found = [item[SK].partition("#") for item in self._table.query(_key(function_id), high="9~", limit=limit)]
        return [(int(created_at), run_id) for created_at, _, run_id in found]

    def release(self, function_id: str, runs: Iterable[tuple[int, str]]) -> None:
        keys = [(_key(function_id), time_key(created_at, run_id)) for created_at, run_id in runs]
        self._table.write_many(deletes=keys)

    def resumed(self) -> list[str]:
        found: list[str] = []
        for item in self._table.query(_PAUSES):
            if "pause" in item:
                continue
            if self.held(item[SK], 1):
                found.append(item[SK])
            elif item["left"] < self._clock.now():  # a pause that comes at this moment stays
                self._table.delete(_PAUSES, item[SK], when="attribute_not_exists(pause)")
        return found

    def swap_tick(self, function_id: str, tick: str, at: int, run_id: str) -> str | None:
        item = self._table.get(_key(function_id), f"T#{tick}")
        if item is not None and item["at"] > at:
            return run_id
        ttl = (self._clock.now() + RUN_RETENTION) // SECOND
        self._table.put({PK: _key(function_id), SK: f"T#{tick}", "at": at, "run": run_id, TTL: ttl})
        return item["run"] if item is not None and item["run"] != run_id else None

    def _all(self, *, strong: bool) -> dict[str, Pause]:
        items = self._table.query(_PAUSES, strong=strong)
        return {item[SK]: _decode(item["pause"]) for item in items if "pause" in item}


def _key(function_id: str) -> str:
    return f"PAUSED#{function_id}"
