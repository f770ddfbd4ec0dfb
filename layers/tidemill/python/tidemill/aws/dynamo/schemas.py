"""The schemas of events in DynamoDB: written when an app is deployed, read by every door.

    SCHEMAS             #                         the names that have schemas
    SCHEMA#<name>       <version>                 the JSON Schema of a version, and which resources declare it

A process reads the names once a minute, whatever comes in, and the schemas of a name once a minute from the first event
of that name on: an event without schemas costs no call. A schema's item is written before its name, and goes after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidemill.aws.dynamo.declarations import Memory, leave, owners
from tidemill.aws.dynamo.keys import HEAD, PK, SK, fitting
from tidemill.aws.dynamo.table import Item, Table, attributes
from tidemill.model import EventSchema
from tidemill.ports import Clock

_NAMES = "SCHEMAS"
_REMEMBERED = 1_024
_NONE: Mapping[str, str] = {}


class Schemas:
    """What is declared, as a process remembers it."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._names: Memory[frozenset[str]] = Memory(clock, 1)
        self._known: Memory[Mapping[str, str]] = Memory(clock, _REMEMBERED)

    def of(self, name: str) -> Mapping[str, str]:
        if name not in (self._names.get(_NAMES, lambda: _names(self._table)) or ()):
            return _NONE
        return self._known.get(name, lambda: {one.v: one.schema for one in _stored(self._table, name)}) or _NONE

    def all(self) -> list[EventSchema]:
        """Read anew at each call."""
        return sorted(one for name in _names(self._table) for one in _stored(self._table, name))


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
        made = {PK: _key(one.name), SK: fitting(one.v), "v": one.v, "schema": one.schema}
        table.put({**made, "owners": owners(item) | {owner}})
    if names:
        _change_names(table, "ADD", names)
    for item in before.values():
        leave(table, item, owner)
    return None


def withdraw(table: Table, name: str, owner: str) -> None:
    """This resource declares nothing of the event any more. Harmless to do twice."""
    for item in _items(table, name):
        leave(table, item, owner)
    if not _items(table, name):
        _change_names(table, "DELETE", {name})


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
