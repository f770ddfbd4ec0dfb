"""The wait store on DynamoDB: finds waits by their condition and by their run, never by a scan.

    WAIT#<name>#<path>=<hash>    <run>#<step>#<label>    the wait
    WAIT#<name>#<shard>          <run>#<step>#<label>    a wait without a key: every event of the name reads all shards
    WAITS#<name>#<copy>          <run>#<step>#<label>    marks that some run waits; for announcements only
    RUN#<run>                    W#<step>#<label>        the keys of the run's waits

A run's entry for its wait is written before the wait and deleted after it, so that an interruption never leaves a wait
that its run does not know. A wait with a timeout also expires by itself, a day after it.

Every run that ends checks whether any run waits for its announcement, so one key would limit a deployment to the 3,000
reads a second of a partition. Hence the copies: a wait writes all of them, and each process reads one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import msgspec

from tidemill import ids
from tidemill.aws.dynamo.keys import PK, SK, TTL, run_key
from tidemill.aws.dynamo.table import Item, Key, Table
from tidemill.aws.dynamo.wait_keys import awaited_key, quoted
from tidemill.limits import DAY, SECOND
from tidemill.model import PLATFORM, SIGNAL, Wait

KEYLESS_SHARDS = 4
COPIES = 8

_WAIT = "WAIT"
_NEXT = "$"  # the character after `#`
_PART_BYTES = 400  # a sort key of two of them and a run's id may have 1,024

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Wait).decode


class DynamoWaits:
    """The port `WaitStore`."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._copy = os.urandom(1)[0] % COPIES  # the copy that this process reads

    def put(self, wait: Wait) -> None:
        place = _place(wait)
        expiry = {TTL: (wait.until + DAY) // SECOND} if wait.until is not None else {}
        found_by: Item = {PK: run_key(wait.run_id), SK: _of_run(wait.key, wait.label), "at": place[0], **expiry}
        if _announces(wait.name):
            told = [{PK: pk, SK: place[1], **expiry} for pk in _any_keys(wait.name)]
            self._table.write_many([found_by, *told])
        else:
            self._table.put(found_by)
        self._table.put({PK: place[0], SK: place[1], "d": _encode(wait), **expiry})

    def drop(self, run_id: str, key: str | None = None) -> None:
        prefix = "W#" if key is None else f"W#{_part(key)}#"
        known = list(self._table.query(run_key(run_id), prefix=prefix))
        if not known:
            return
        places = [(item["at"], f"{run_id}#{item[SK][2:]}") for item in known]
        self._table.write_many(deletes=[*places, *_announced(places)])
        self._table.write_many(deletes=[(item[PK], item[SK]) for item in known])

    def find(self, name: str, path: str | None, hash_: str, after: tuple[str, str] | None, limit: int) -> list[Wait]:
        """A page may be longer than `limit`: the labels of one step stay together: `after` cannot separate them."""
        low = f"{after[0]}#{_part(after[1])}{_NEXT}" if after is not None else ""
        if path:
            return self._page(awaited_key(_WAIT, name, path, hash_), low, limit)
        found: list[Wait] = []
        for number in range(_shard(after[0]) if after is not None else 0, KEYLESS_SHARDS):
            found += self._page(_keyless(name, number), low, limit - len(found))
            if len(found) >= limit:
                break
            low = ""
        return found

    def awaited(self, name: str) -> bool:
        """Raises ValueError for a name that is not an announcement of the platform."""
        if not _announces(name):
            raise ValueError(f"only of the platform's announcements is it known whether anybody waits, not of {name!r}")
        return any(True for _ in self._table.query(_any_keys(name)[self._copy], limit=1))

    def _page(self, pk: str, low: str, limit: int) -> list[Wait]:
        items = list(self._table.query(pk, low=low, limit=limit))
        if len(items) == limit:
            last: str = items[-1][SK]
            step = last[: last.rindex("#") + 1]
            items += self._table.query(pk, above=last, high=step[:-1] + _NEXT)
        return [_decode(item["d"]) for item in items]


def _place(wait: Wait) -> Key:
    condition = wait.condition
    sk = f"{wait.run_id}#{_part(wait.key)}#{_part(wait.label)}"
    if not condition.path:
        return _keyless(wait.name, _shard(wait.run_id)), sk
    return awaited_key(_WAIT, wait.name, condition.path, condition.hash), sk


def _announced(places: list[Key]) -> Iterator[Key]:
    """The entries which mark that some run waits for this announcement."""
    for pk, sk in places:
        name = pk.split("#")[1]  # still quoted, but an announcement's needs no quotes
        if _announces(name):
            yield from ((pk, sk) for pk in _any_keys(name))


def _announces(name: str) -> bool:
    return name.startswith(PLATFORM) and name != SIGNAL


def _any_keys(name: str) -> list[str]:
    return [f"WAITS#{name}#{copy}" for copy in range(COPIES)]


def _keyless(name: str, number: int) -> str:
    return f"{_WAIT}#{quoted(name)}#{number}"


def _of_run(key: str, label: str) -> str:
    return f"W#{_part(key)}#{_part(label)}"


def _part(text: str) -> str:
    """A step's key or label as part of a sort key; a long text becomes its digest."""
    part = quoted(text)
    return part if len(part.encode()) <= _PART_BYTES else ids.derived(text)


def _shard(run_id: str) -> int:
    """The shard of a run's waits without a key."""
    return hashlib.sha256(run_id.encode()).digest()[0] % KEYLESS_SHARDS
