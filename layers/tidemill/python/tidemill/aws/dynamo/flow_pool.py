"""The item with the places of one key: its attributes, and the one write of each change.

    h<run>   a run that holds a place: its claim's number and expiry as one number, so that one condition compares
             two claims
    g<run>   the place was given to this run in line and is not claimed yet: the giver, and the run's function
    n        how many runs hold a place
    w        the mark of the line: counts the runs that joined it, and is absent once the line was found empty

*The mark of the line makes one write enough.* A run in line sets it, after its own item is in the line. Without the
mark no run waits: one write that requires its absence can take a place, or give one up, without a query of the line.
With the mark only the first in line gets a place. Only a writer that has found the line empty removes the mark,
together with the place that becomes free, and only if the mark has not changed since that query: a run that joined in
between has changed it.

Every write returns the whole item, even if its condition failed, so nothing is read before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.aws.dynamo.keys import BY_FUNCTION, TTL, keys_key
from tidemill.aws.dynamo.table import Item
from tidemill.limits import DAY, RUN_RETENTION, SECOND, SLEEP
from tidemill.model import Place
from tidemill.ports import Hold

KEY_SHARDS = 4
POOL = "#"  # its sort key
HELD, GIVEN = "h", "g"
COUNT, LINE, LABEL = "n", "w", "l"

_TOKEN = 10**16  # a time is below
_STEPS_KEPT = 7 * DAY  # time to live after the last write: far beyond any claim
_RUNS_KEPT = SLEEP + RUN_RETENTION  # a run keeps a place that counts runs through the longest sleep
_ROOM = f"(attribute_not_exists(#{COUNT}) OR #{COUNT} < :limit)"
_NO_LINE = f"attribute_not_exists(#{LINE})"


class Pool:
    """The item as it was last read, with this process's changes."""

    def __init__(self, item: Item, place: Place, now: int) -> None:
        self.place, self.now = place, now
        self.line: int | None = item.get(LINE)
        self.held: dict[str, int] = {name[1:]: value for name, value in item.items() if name[0] == HELD}
        self._given = {name[1:]: str(value) for name, value in item.items() if name[0] == GIVEN}
        lapses = place.counts == "steps"
        self.lapsed = [run_id for run_id, value in self.held.items() if lapses and value % _TOKEN <= now]

    def token(self, run_id: str) -> int | None:
        value = self.held.get(run_id)
        return value // _TOKEN if value is not None else None

    def holds(self, hold: Hold) -> bool:
        """Whether the run has already claimed its place, under this claim, for at least this long."""
        known = self.held.get(hold.run_id, 0)
        return hold.run_id not in self._given and held(hold.token, hold.until) <= known < upto(hold.token)

    def holders(self) -> list[Hold]:
        return [Hold(run_id, *divmod(value, _TOKEN)) for run_id, value in self.held.items()]

    def given(self, by: str) -> list[tuple[str, str]]:
        """The runs to which this run has given places that they have not claimed."""
        told = [(run_id, *value.split(" ", 1)) for run_id, value in self._given.items()]
        return [(run_id, function_id) for run_id, giver, function_id in told if giver == by]

    def room(self, limit: int, gone: str | None = None) -> bool:
        """Whether a place is free, or its holder's lease has expired; `gone`: a run that is about to give one up."""
        over = {*self.lapsed, gone} & self.held.keys()
        return len(self.held) - len(over) < limit

    def pass_to(self, run_id: str, value: int, victim: str | None) -> None:
        for name in (victim, run_id):
            if name is not None:
                self.held.pop(name, None)
                self.lapsed = [lapsed for lapsed in self.lapsed if lapsed != name]
        self.held[run_id] = value


def held(token: int, until: int) -> int:
    """A holder's claim and lease in one number that compares the claim first."""
    return token * _TOKEN + until


def upto(token: int | None) -> int:
    """A bound above everything that is held under this claim or an earlier one; None: above everything."""
    return (token + 1) * _TOKEN if token is not None else 10**37


def kept(place: Place, now: int) -> dict[str, Any]:
    """The attributes that every write sets, so that the item of an unused key expires."""
    return {TTL: (now + (_STEPS_KEPT if place.counts == "steps" else _RUNS_KEPT)) // SECOND}


def about(place: Place, now: int) -> dict[str, Any]:
    """The same, with the attributes for people: the key's label, and its entry in the list of the limit's keys.

    An entry that does not change costs nothing. A limit without a key needs none.
    """
    family, _, hash_ = place.key.partition("/")
    entry = {BY_FUNCTION.pk: keys_key(family, shard(hash_)), BY_FUNCTION.sk: hash_} if hash_ else {}
    return {**kept(place, now), LABEL: place.label.encode("utf-8", "surrogatepass"), **entry}


def shard(hash_: str) -> int:
    return sum(hash_.encode()) % KEY_SHARDS


# Each change, as `Table.update` takes it.


def entering(place: Place, hold: Hold, now: int) -> Mapping[str, Any]:
    """A run without a place takes a free one, if no run is in line."""
    return {
        "set": {HELD + hold.run_id: held(hold.token, hold.until), **about(place, now)},
        "add": {COUNT: 1},
        "when": f"attribute_not_exists(#{HELD}{hold.run_id}) AND {_NO_LINE} AND {_ROOM}",
        "values": {"limit": place.limit},
    }


def holding_on(place: Place, hold: Hold, now: int) -> Mapping[str, Any]:
    """A run that holds a place, or was given one, keeps it under this claim, whose lease never gets shorter."""
    run_id = hold.run_id
    given = f"(attribute_exists(#{GIVEN}{run_id}) AND #{HELD}{run_id} < :mine)"
    return {
        "set": {HELD + hold.run_id: held(hold.token, hold.until), **kept(place, now)},
        "remove": [GIVEN + run_id],
        "when": f"#{HELD}{run_id} <= :value OR {given}",
        "values": {"mine": upto(hold.token), "value": held(hold.token, hold.until)},
    }


def marking(place: Place, now: int) -> Mapping[str, Any]:
    """Set the mark: a run has joined the line."""
    return {"set": about(place, now), "add": {LINE: 1}}


def replacing(pool: Pool, hold: Hold, most: int) -> Mapping[str, Any]:
    """A run replaces holders with expired leases (several if the limit was lowered)."""
    gone = pool.lapsed[:most]
    same = [f"#{HELD}{each} = :v{number}" for number, each in enumerate(gone)]
    mine = [f"attribute_not_exists(#{HELD}{hold.run_id})", _NO_LINE, _ROOM]
    return {
        "set": {HELD + hold.run_id: held(hold.token, hold.until), **kept(pool.place, pool.now)},
        "remove": [kind + each for each in gone for kind in (HELD, GIVEN)],
        "add": {COUNT: 1 - len(gone)},
        "when": " AND ".join([*mine, *same]),
        "values": {
            "limit": pool.place.limit + len(gone),
            **{f"v{number}": pool.held[each] for number, each in enumerate(gone)},
        },
    }


def leaving(place: Place, run_id: str, below: int, now: int, line: int | None, *, alone: bool) -> Mapping[str, Any]:
    """A run gives up its place, which is free from then on. `alone`: the line, whose mark is `line`, is empty."""
    marked = _NO_LINE if line is None else f"#{LINE} = :line"
    return {
        "set": kept(place, now),
        "remove": [HELD + run_id, GIVEN + run_id, *([LINE] if alone and line is not None else [])],
        "add": {COUNT: -1},
        "when": f"#{HELD}{run_id} < :below" + (f" AND {marked}" if alone else ""),
        "values": {"below": below, **({"line": line} if alone and line is not None else {})},
    }


def closing(place: Place, now: int, line: int) -> Mapping[str, Any]:
    """Remove the mark: the line is empty."""
    return {"set": kept(place, now), "remove": [LINE], "when": f"#{LINE} = :line", "values": {"line": line}}


def passing(pool: Pool, to: str, value: int, given: str, victim: str | None, limit: int) -> Mapping[str, Any]:
    """The first in line gets the place of `victim` (possibly its own), or a free one."""
    change: dict[str, Any] = {
        "set": {HELD + to: value, GIVEN + to: given, **kept(pool.place, pool.now)},
        "when": f"attribute_not_exists(#{HELD}{to})",
        "values": {},
    }
    if victim is None:
        change |= {"add": {COUNT: 1}, "values": {"limit": limit}}
        change["when"] += f" AND {_ROOM}"
    elif victim == to:
        change |= {"when": f"#{HELD}{to} = :was", "values": {"was": pool.held[to]}}
    else:
        change |= {"remove": [HELD + victim, GIVEN + victim], "values": {"was": pool.held[victim]}}
        change["when"] += f" AND #{HELD}{victim} = :was"
    return change
