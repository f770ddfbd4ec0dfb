"""Places and their lines in DynamoDB: one item for the places of a key (`flow_pool`), one for each run in its line.

    FLOW#<key>   #                the runs that hold places
    LINE#<key>   <rank>#<run>     a run in line; the first is the first by its sort key

    take         one conditional write, however many places are taken
    give up      one conditional write if no run waits; else one transaction gives the place to the first in line: the
                 place is another run's, and the item in the line is deleted
    wait         two writes, then nothing until the place is given

No run retries in a loop to get a place: a run that does not get one waits until it is given one. A run that gives one
away retries if another was faster with the same first in line; each time some run made progress. A process remembers
that a key has a line: reading the item is then cheaper than a write that will fail.

*A place was given, but the message was not sent.* The giver's message comes again, and finds nothing to give up; but
the item says to which run it gave its place and that the run has not claimed it, so that run is woken again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tidemill.aws.dynamo import flow_pool
from tidemill.aws.dynamo.flow_pool import POOL, Pool
from tidemill.aws.dynamo.keys import PK, SK, TTL, flow_key, line_key, rank_key
from tidemill.aws.dynamo.table import Item, Once, Table
from tidemill.errors import Unavailable
from tidemill.limits import RUN_RETENTION, SECOND
from tidemill.model import Place
from tidemill.ports import Grant, Hold, Leaver, Waiting

_ROUNDS = 12  # attempts to give a place to the first in line while others are faster
_REPLACED = 30  # lapsed holders of one write: an expression has its limits
_REMEMBERED = 10_000  # keys
_THERE = f"attribute_exists({PK})"

Granted = list[tuple[str, str]]


class _First(NamedTuple):
    """The first run in a line."""

    sk: str
    run_id: str
    function_id: str
    token: int


class FlowPlaces:
    """The part of the port `FlowStore` for places."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lined: set[str] = set()  # keys that had a line when this process last saw them

    def take(self, place: Place, hold: Hold, now: int, *, known: bool) -> bool:
        run_id = hold.run_id
        pool: Pool | None = None
        if known:
            done, pool = self._write(place, now, flow_pool.holding_on(place, hold, now))
            if done:
                return True
        if pool is None or (run_id not in pool.held and pool.line is None and len(pool.held) < place.limit):
            done, pool = self._write(place, now, flow_pool.entering(place, hold, now))
            if done:
                return True
        mine = pool.token(run_id)
        if mine is not None:
            if mine > hold.token or pool.holds(hold):
                return mine == hold.token
            done, pool = self._write(place, now, flow_pool.holding_on(place, hold, now))
            return done or pool.holds(hold)
        if pool.line is not None or not pool.lapsed or not pool.room(place.limit):
            return False
        return self._write(place, now, flow_pool.replacing(pool, hold, _REPLACED))[0]

    def park(self, place: Place, waiting: Waiting, grant: Grant) -> Granted:
        """Writes the position first and then the mark, whose write returns the current places."""
        now = grant.now
        item = {"f": waiting.function_id, "k": waiting.token, "s": Once(now), TTL: (now + RUN_RETENTION) // SECOND}
        self._table.update(line_key(place.key), rank_key(waiting.rank, waiting.run_id), item)
        pool = self._write(place, now, flow_pool.marking(place, now))[1]
        granted = pool.given(waiting.run_id)
        if pool.room(place.limit):
            granted += self._serve(pool, None, 0, waiting.run_id, grant)
        return granted

    def pass_on(self, place: Place, leaver: Leaver, grant: Grant) -> Granted:
        run_id, rank, now = leaver.run_id, leaver.rank, grant.now
        below = flow_pool.upto(leaver.upto)
        pool = self._read(place, now) if place.key in self._lined else None
        if pool is None or pool.line is None:
            change = flow_pool.leaving(place, run_id, below, now, None, alone=True)
            done, pool = self._write(place, now, change)
            if done:
                return []
        granted: Granted = []
        if pool.held.get(run_id, below) >= below:  # it holds nothing that it gives up now
            granted = pool.given(run_id)
            if rank is not None and run_id not in pool.held:
                there = self._table.delete(line_key(place.key), rank_key(rank, run_id), when=_THERE)
                pool = pool if there else self._read(place, now)  # it may have been given a place in between
            if pool.held.get(run_id, below) >= below and (pool.line is None or not pool.room(place.limit)):
                return granted
        return granted + self._serve(pool, run_id, below, run_id, grant)

    def holders(self, key: str) -> list[Hold]:
        return self._read(Place(key, 0), 0).holders()

    def ahead(self, key: str, run_id: str, rank: int) -> int | None:
        own = rank_key(rank, run_id)
        if self._table.get(line_key(key), own) is None:
            return None
        return max(0, self._table.count(line_key(key), high=own) - 1)

    def in_line(self, key: str) -> Iterator[tuple[str, str]]:
        for item in self._table.query(line_key(key)):
            yield item[SK].partition("#")[2], item["f"]

    def _serve(self, pool: Pool, leaver: str | None, below: int, by: str, grant: Grant) -> Granted:
        """Give the free places to the first in line, that of `leaver` first. The mark of the line is set.

        The item records the run `by` as the giver.
        """
        place, now = pool.place, grant.now
        granted: Granted = []
        failures = 0
        while failures < _ROUNDS:
            gone = leaver if leaver is not None and pool.held.get(leaver, below) < below else None
            first = self._first(place.key)
            if first is None:
                done, pool = self._leave_alone(pool, gone, below)
                if done:
                    return granted
            elif first.run_id in pool.held and first.run_id != gone and first.run_id not in pool.lapsed:
                self._table.delete(line_key(place.key), first.sk)  # left over: it has its place already
                continue
            elif not pool.room(most := grant.limit(first.function_id), gone):
                if gone is None:
                    return granted
                change = flow_pool.leaving(place, gone, below, now, pool.line, alone=False)
                done, pool = self._write(place, now, change)
                if done:
                    return granted
            elif self._give(pool, first, gone, by, grant.until, most):
                granted.append((first.run_id, first.function_id))
                if first.run_id == leaver:
                    leaver = None
                if not pool.room(most) and (leaver is None or pool.held.get(leaver, below) >= below):
                    return granted
                continue
            else:  # another was faster; or the write succeeded, and only the answer was lost
                pool = self._read(place, now)
                granted += [each for each in pool.given(by) if each not in granted]
            failures += 1
            self._table.client.pause(failures)
        if granted and (leaver is None or pool.held.get(leaver, below) >= below):
            return granted
        raise Unavailable(f"others were faster, {failures} times, to give away the places of {place.key}")

    def _give(self, pool: Pool, first: _First, gone: str | None, by: str, until: int, limit: int) -> bool:
        """One transaction; updates `pool`."""
        victim = gone or next(iter(pool.lapsed), None)
        if first.run_id in pool.held:
            victim = first.run_id
        value = flow_pool.held(first.token, until)
        given = f"{by} {first.function_id}"
        change = flow_pool.passing(pool, first.run_id, value, given, victim, limit)
        codes = self._table.transact(
            [
                self._table.update_action(flow_key(pool.place.key), POOL, **change),
                self._table.delete_action(line_key(pool.place.key), first.sk, when=_THERE),
            ]
        )
        if codes is None:
            pool.pass_to(first.run_id, value, victim)
        return codes is None

    def _leave_alone(self, pool: Pool, gone: str | None, below: int) -> tuple[bool, Pool]:
        """The line was empty: free the place and remove the mark, unless it was set again since."""
        place, now = pool.place, pool.now
        if gone is not None:
            change = flow_pool.leaving(place, gone, below, now, pool.line, alone=True)
        elif pool.line is not None:
            change = flow_pool.closing(place, now, pool.line)
        else:
            return True, pool
        return self._write(place, now, change)

    def _first(self, key: str) -> _First | None:
        for item in self._table.query(line_key(key), limit=1):
            return _First(item[SK], item[SK].partition("#")[2], item["f"], item["k"])
        return None

    def _read(self, place: Place, now: int) -> Pool:
        return self._seen(place, self._table.get(flow_key(place.key), POOL) or {}, now)

    def _write(self, place: Place, now: int, change: Mapping[str, Any]) -> tuple[bool, Pool]:
        """Whether the write succeeded, and the places as they are now."""
        done, item = self._table.tried(flow_key(place.key), POOL, **change)
        return done, self._seen(place, item, now)

    def _seen(self, place: Place, item: Item, now: int) -> Pool:
        pool = Pool(item, place, now)
        if pool.line is None:
            self._lined.discard(place.key)
        elif len(self._lined) < _REMEMBERED:
            self._lined.add(place.key)
        return pool
