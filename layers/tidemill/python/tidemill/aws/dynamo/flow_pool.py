"""The item that holds the places of one key: what is in it, and the one write that each change of it takes.

    h<run>   who holds a place: the number of its claim and until when, as one number, so that one condition tells
             whether a claim is an older one than another
    g<run>   that the place was given to a run in line and not claimed yet: by whom, and whose function it is
    n        how many hold one
    w        that there is a line: it counts who has come to it, and is gone once the line was found empty

*The mark of the line is what makes one write enough.* A run that stands in line sets it, after its own item is in
the line. Without the mark nobody waits: a place can be taken, and given up, by one write that insists on its absence,
and nobody has to look into the line. With it no place is got but by the first in line. It is taken away only by who
has found the line empty, together with the place that thereby becomes free, and only if it is as it was before that
look: whoever came in between has changed it.

Every write gives back the whole item, also where its condition was not met; so nothing is read before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.aws.dynamo.keys import BY_FUNCTION, TTL, keys_key
from tidemill.aws.dynamo.table import Item
from tidemill.limits import DAY, RUN_RETENTION, SECOND, SLEEP
from tidemill.model import Place
from tidemill.ports import Holder

KEY_SHARDS = 4
POOL = "#"  # its sort key
HELD, GIVEN = "h", "g"
COUNT, LINE, LABEL = "n", "w", "l"

_TOKEN = 10**16  # a time is below
_STEPS_KEPT = 7 * DAY  # after it was last written: far beyond any claim
_RUNS_KEPT = SLEEP + RUN_RETENTION  # a place that counts runs is held through the longest sleep
_ROOM = f"(attribute_not_exists(#{COUNT}) OR #{COUNT} < :limit)"
_NO_LINE = f"attribute_not_exists(#{LINE})"


class Pool:
    """The item as it was read last, and as it becomes by what we do to it."""

    def __init__(self, item: Item, place: Place, now: int) -> None:
        self.line: int | None = item.get(LINE)
        self.held: dict[str, int] = {name[1:]: value for name, value in item.items() if name[0] == HELD}
        self._given = {name[1:]: str(value) for name, value in item.items() if name[0] == GIVEN}
        lapses = place.counts == "steps"
        self.lapsed = [run_id for run_id, value in self.held.items() if lapses and value % _TOKEN <= now]

    def token(self, run_id: str) -> int | None:
        value = self.held.get(run_id)
        return value // _TOKEN if value is not None else None

    def holds(self, run_id: str, token: int, until: int) -> bool:
        """Whether the run has claimed its place already, under this claim, for at least so long."""
        return run_id not in self._given and held(token, until) <= self.held.get(run_id, 0) < upto(token)

    def holders(self) -> list[Holder]:
        return [Holder(run_id, *divmod(value, _TOKEN)) for run_id, value in self.held.items()]

    def given(self, by: str) -> list[tuple[str, str]]:
        """The runs that this run has given places to, and that have not claimed them."""
        told = [(run_id, *value.split(" ", 1)) for run_id, value in self._given.items()]
        return [(run_id, function_id) for run_id, giver, function_id in told if giver == by]

    def room(self, limit: int, gone: str | None = None) -> bool:
        """Whether a place is free, or held by nobody who is heard of; `gone`: who is about to give up its own."""
        over = {*self.lapsed, gone} & self.held.keys()
        return len(self.held) - len(over) < limit

    def pass_to(self, run_id: str, value: int, victim: str | None) -> None:
        for name in (victim, run_id):
            if name is not None:
                self.held.pop(name, None)
                self.lapsed = [lapsed for lapsed in self.lapsed if lapsed != name]
        self.held[run_id] = value


def held(token: int, until: int) -> int:
    """A holder's claim and its lease in one number, as they are compared: first by the claim."""
    return token * _TOKEN + until


def upto(token: int | None) -> int:
    """What is held under this claim or an earlier one is below; None: whatever is held."""
    return (token + 1) * _TOKEN if token is not None else 10**37


def kept(place: Place, now: int) -> dict[str, Any]:
    """What every write sets, so that nothing of a key that nobody uses any more is left for good."""
    return {TTL: (now + (_STEPS_KEPT if place.counts == "steps" else _RUNS_KEPT)) // SECOND}


def about(place: Place, now: int) -> dict[str, Any]:
    """And what tells people of the key: its label, and its entry in the list of the limit's keys.

    An entry that does not change costs nothing. A limit without a key needs none.
    """
    family, _, hash_ = place.key.partition("/")
    entry = {BY_FUNCTION.pk: keys_key(family, shard(hash_)), BY_FUNCTION.sk: hash_} if hash_ else {}
    return {**kept(place, now), LABEL: place.label.encode("utf-8", "surrogatepass"), **entry}


def shard(hash_: str) -> int:
    return sum(hash_.encode()) % KEY_SHARDS


# Each change, as `Table.update` takes it.


def entering(place: Place, run_id: str, token: int, until: int, now: int) -> Mapping[str, Any]:
    """A run that holds no place takes one that is free, where nobody stands in line."""
    return {
        "set": {HELD + run_id: held(token, until), **about(place, now)},
        "add": {COUNT: 1},
        "when": f"attribute_not_exists(#{HELD}{run_id}) AND {_NO_LINE} AND {_ROOM}",
        "values": {"limit": place.limit},
    }


def holding_on(place: Place, run_id: str, token: int, until: int, now: int) -> Mapping[str, Any]:
    """Who holds a place, or was given one, holds it under this claim, whose lease never gets shorter."""
    given = f"(attribute_exists(#{GIVEN}{run_id}) AND #{HELD}{run_id} < :mine)"
    return {
        "set": {HELD + run_id: held(token, until), **kept(place, now)},
        "remove": [GIVEN + run_id],
        "when": f"#{HELD}{run_id} <= :value OR {given}",
        "values": {"mine": upto(token), "value": held(token, until)},
    }


def marking(place: Place, now: int) -> Mapping[str, Any]:
    """There is a line, and somebody has come to it."""
    return {"set": about(place, now), "add": {LINE: 1}}


def replacing(place: Place, pool: Pool, run_id: str, token: int, until: int, now: int, most: int) -> Mapping[str, Any]:
    """A run takes the place of holders that nothing is heard of (of several where the limit was lowered)."""
    gone = pool.lapsed[:most]
    same = [f"#{HELD}{each} = :v{number}" for number, each in enumerate(gone)]
    mine = [f"attribute_not_exists(#{HELD}{run_id})", _NO_LINE, _ROOM]
    return {
        "set": {HELD + run_id: held(token, until), **kept(place, now)},
        "remove": [kind + each for each in gone for kind in (HELD, GIVEN)],
        "add": {COUNT: 1 - len(gone)},
        "when": " AND ".join([*mine, *same]),
        "values": {
            "limit": place.limit + len(gone),
            **{f"v{number}": pool.held[each] for number, each in enumerate(gone)},
        },
    }


def leaving(place: Place, run_id: str, below: int, now: int, line: int | None, *, alone: bool) -> Mapping[str, Any]:
    """A run gives up its place, which is free from then on. `alone`: nobody stands in line, whose mark is `line`."""
    marked = _NO_LINE if line is None else f"#{LINE} = :line"
    return {
        "set": kept(place, now),
        "remove": [HELD + run_id, GIVEN + run_id, *([LINE] if alone and line is not None else [])],
        "add": {COUNT: -1},
        "when": f"#{HELD}{run_id} < :below" + (f" AND {marked}" if alone else ""),
        "values": {"below": below, **({"line": line} if alone and line is not None else {})},
    }


def closing(place: Place, now: int, line: int) -> Mapping[str, Any]:
    """Nobody stands in line."""
    return {"set": kept(place, now), "remove": [LINE], "when": f"#{LINE} = :line", "values": {"line": line}}


def passing(
    place: Place, pool: Pool, to: str, value: int, given: str, victim: str | None, limit: int, now: int
) -> Mapping[str, Any]:
    """The first in line is given the place of `victim`, which may be its own, or one that is free."""
    change: dict[str, Any] = {
        "set": {HELD + to: value, GIVEN + to: given, **kept(place, now)},
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
