"""The schemas of events in DynamoDB: written when an app is deployed, read by every door.

    SCHEMAS             #                         the names that have schemas
    SCHEMA#<name>       <version>                 the JSON Schema of a version, and which resources declare it

A process reads the names once a minute, whatever comes in, and the schemas of a name once a minute from the first event
of that name on: an event without schemas costs no call. A schema's item is written before its name, and goes after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidemill.aws.dynamo.keys import HEAD, PK, SK, fitting
from tidemill.aws.dynamo.table import Item, Table, attributes
from tidemill.limits import MINUTE
from tidemill.model import EventSchema
from tidemill.ports import Clock

_NAMES = "SCHEMAS"
_REMEMBERED = 1_024
_NONE: Mapping[str, str] = {}


class Schemas:
    """What is declared, as a process remembers it for a minute."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._names: tuple[int, frozenset[str]] | None = None
        self._known: dict[str, tuple[int, dict[str, str]]] = {}

    def of(self, name: str) -> Mapping[str, str]:
        now = self._clock.now()
        if name not in self._with_schemas(now):
            return _NONE
        kept = self._known.get(name)
        if kept is None or now - kept[0] >= MINUTE:
            kept = now, {one.v: one.schema for one in _stored(self._table, name)}
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[name] = kept
        return kept[1]

    def all(self) -> list[EventSchema]:
        """Read anew at each call."""
        return sorted(one for name in _names(self._table) for one in _stored(self._table, name))

    def _with_schemas(self, now: int) -> frozenset[str]:
        if self._names is None or now - self._names[0] >= MINUTE:
            self._names = now, _names(self._table)
        return self._names[1]


def declare(table: Table, schemas: Iterable[EventSchema], owner: str) -> str | None:
    """Write what a resource declares of one event, in place of what it declared before. Harmless to do twice.

    The answer: why nothing was written. An equal declaration of another resource's is one with it, a different one is
    refused: what fits today might not tomorrow, whichever of the two is deployed last.
    """
    wanted = list(schemas)
    names = {one.name for one in wanted}
    before = {(name, item[SK]): item for name in names for item in _items(table, name)}
    for one in wanted:
        item = before.get((one.name, fitting(one.v)))
        if item is not None and item["schema"] != one.schema and item["owners"] != {owner}:
            others = ", ".join(sorted(item["owners"] - {owner}))
            return (
                f"the event {one.name!r} has another schema for version {one.v!r}, declared by {others}; give one of"
                " them a version of its own"
            )
    for one in wanted:
        item = before.pop((one.name, fitting(one.v)), None)
        owners: frozenset[str] = (item["owners"] if item is not None else frozenset[str]()) | {owner}
        table.put({PK: _key(one.name), SK: fitting(one.v), "v": one.v, "schema": one.schema, "owners": owners})
    if names:
        _change_names(table, "ADD", names)
    for (name, _), item in before.items():
        _leave(table, name, item, owner)
    return None


def withdraw(table: Table, name: str, owner: str) -> None:
    """This resource declares nothing of the event any more. Harmless to do twice."""
    for item in _items(table, name):
        _leave(table, name, item, owner)
    if not _items(table, name):
        _change_names(table, "DELETE", {name})


def _leave(table: Table, name: str, item: Item, owner: str) -> None:
    others = item["owners"] - {owner}
    if owner not in item["owners"]:
        return
    if others:
        table.put({**item, "owners": others})
    else:
        table.delete(_key(name), item[SK])


def _change_names(table: Table, how: str, names: Iterable[str]) -> None:
    """In one write: the resources of a deployment are made side by side."""
    body = {
        "TableName": table.name,
        "Key": attributes({PK: _NAMES, SK: HEAD}),
        "UpdateExpression": f"{how} #n :n",
        "ExpressionAttributeNames": {"#n": "names"},
        "ExpressionAttributeValues": attributes({":n": frozenset(names)}),
    }
    table.client.call("dynamodb", "UpdateItem", body)


def _names(table: Table) -> frozenset[str]:
    item = table.get(_NAMES, HEAD, strong=False)
    return frozenset(item.get("names", ())) if item is not None else frozenset()


def _stored(table: Table, name: str) -> list[EventSchema]:
    return [EventSchema(name, item["v"], item["schema"]) for item in _items(table, name, strong=False)]


def _items(table: Table, name: str, *, strong: bool = True) -> list[Item]:
    return list(table.query(_key(name), strong=strong))


def _key(name: str) -> str:
    return f"SCHEMA#{name}"
