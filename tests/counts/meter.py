"""What the stories use: calls, billed units, invocations, and which keys of the table many runs and events share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidemill.aws.calls.transport import Reply, Request, Transport
from tidemill.aws.dynamo.keys import INDEXES
from tidemill.aws.dynamo.sizes import item_size
from tidemill.aws.dynamo.table import Item, Key
from tidemill_local.testing.meter import Meter, index_units, write_units

SHARED = (  # keys that are not one run's or one event's, and what they are a kind of
    (r"RUNS#\d\d", "RUNS#<shard>"),
    (r"RUNS#.+#\d\d", "RUNS#<function>#<shard>"),
    (r"DUE#(\w+)#\d\d", r"DUE#\1#<shard>"),
    (r"ENDED#(\w+)#\d\d", r"ENDED#\1#<shard>"),
    (r"EVENTS#\d\d", "EVENTS#<shard>"),
    (r"EVENTS#.+#\d\d", "EVENTS#<name>#<shard>"),
    (r"AWAITED#[^#]+#\d", "AWAITED#<name>#<copy>"),
    (r"WAIT#[^#]+#\d", "WAIT#<name>#<shard>"),
    (r"WAITS#.+#\d", "WAITS#<announcement>#<copy>"),
    (r"LISTENS.*", "LISTENS"),
    (r"FUNCTIONS", "FUNCTIONS"),
)


@dataclass
class Used:
    """What was used between two moments. `filed`: of the units, those by which runs are found under their events."""

    calls: Counter[str] = field(default_factory=Counter[str])
    units: Counter[str] = field(default_factory=Counter[str])
    invocations: Counter[str] = field(default_factory=Counter[str])
    trips: Counter[str] = field(default_factory=Counter[str])
    shared: Counter[tuple[str, str]] = field(
        default_factory=Counter[tuple[str, str]]
    )  # (kind of key, "writes"|"reads")
    filed: Counter[str] = field(default_factory=Counter[str])

    def minus(self, other: Used) -> Used:
        return Used(*[_difference(mine, getattr(other, name)) for name, mine in vars(self).items()])

    def plus(self, other: Used) -> Used:
        return Used(*[mine + getattr(other, name) for name, mine in vars(self).items()])

    def over(self, count: float) -> Used:
        """Of one, where this is what so many used."""
        return Used(*[Counter({key: value / count for key, value in each.items()}) for each in vars(self).values()])

    def times(self, count: int) -> Used:
        return self.over(1 / count)

    def filing(self) -> Used:
        """What of a run lets it be found under its event: an entry of an index."""
        return Used(units=Counter(self.filed), filed=Counter(self.filed))

    def story(self) -> dict[str, Any]:
        """As stories.json has it, but for what it is."""
        lambdas = {
            kind: {"invocations": _plain(self.invocations[kind]), "trips": _plain(self.trips[kind])}
            for kind in sorted({*self.invocations, *self.trips})
        }
        keys: dict[str, dict[str, float]] = {}
        for (key, what), count in sorted(self.shared.items()):
            keys.setdefault(key, {})[what] = _plain(count)
        calls, units = ({k: _plain(v) for k, v in sorted(each.items())} for each in (self.calls, self.units))
        return {"calls": calls, "units": units, "lambdas": lambdas, "keys": keys}


class KeyMeter(Meter):
    """Counts the units of DynamoDB and the requests of S3, and which shared keys they meet."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.used = Used()

    def __call__(self, request: Request) -> Reply:
        if request.service == "s3":
            self.used.units["s3-puts" if request.method == "PUT" else "s3-gets"] += 1
        if request.service == "secretsmanager":
            self.used.units["secret-requests"] += 1
        return super().__call__(request)

    def written(self, key: Key, old: Item, new: Item, times: int) -> None:
        pk = key[0]
        self._count(pk, "writes", pk, write_units(max(item_size(old), item_size(new))) * times)
        for index in INDEXES:
            units = index_units(old, new, [index])
            entries = {item[index.pk] for item in (old, new) if index.pk in item} if units else ()
            for entry in entries:
                self._count(pk, "index-writes", entry, units / len(entries))

    def _read(self, request: Request, body: Mapping[str, Any], reply: Reply) -> float:
        units = super()._read(request, body, reply)
        if units:
            self.used.units["reads"] += units
            for pk in _asked(request.operation, body):
                self._share(pk, "reads", units / len(_asked(request.operation, body)))
        return units

    def _count(self, item: str, unit: str, key: str, units: float) -> None:
        """Units of an item, met under this key of the table or of an index."""
        self.used.units[unit] += units
        if item.startswith("RUN#") and key.startswith("EVENT#"):
            self.used.filed[unit] += units
        self._share(key, "writes", units)

    def _share(self, pk: str, what: str, units: float) -> None:
        for pattern, kind in SHARED:
            if (found := re.fullmatch(pattern, pk)) is not None:
                self.used.shared[found.expand(kind), what] += units
                return


def _asked(operation: str, body: Mapping[str, Any]) -> list[str]:
    """The partition keys that a read is about."""
    if operation == "GetItem":
        return [body["Key"]["pk"]["S"]]
    if operation == "Query":
        return [body["ExpressionAttributeValues"][":p"]["S"]]
    return [key["pk"]["S"] for asked in body["RequestItems"].values() for key in asked["Keys"]]


def _difference(mine: Counter[Any], other: Counter[Any]) -> Counter[Any]:
    left = Counter(mine)
    left.subtract(other)
    return Counter({key: count for key, count in left.items() if abs(count) > 1e-9})


def _plain(count: float) -> float:
    return round(count) if abs(count - round(count)) < 1e-9 else round(count, 4)
