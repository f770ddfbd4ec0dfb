"""Reads and writes one DynamoDB table with plain Python values, in the operations that the adapters need.

Values are str, int, float, bool, bytes, None, and frozensets of str or int. Conditions are DynamoDB's own expressions;
an attribute with a reserved name is written `#name`, a value `:name`:

    table.update(pk, sk, {"due": 5}, when="due = :was", values={"was": 3})

Reads are strongly consistent by default; reads of an index cannot be.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.dynamo.keys import PK, SK, Index
from tidemill.errors import Unavailable

if TYPE_CHECKING:
    from typing import Unpack

Item = dict[str, Any]
Key = tuple[str, str]

CONDITION_FAILED = "ConditionalCheckFailedException"
_ABSENT = f"attribute_not_exists({PK})"
_GETS, _WRITES = 100, 25  # of one batch
_TRIES = 10  # retries of the unprocessed rest of a batch
_NAMES = re.compile(r"#(\w+)")


class Copy(str):
    """In an update: the value of another attribute of the same item."""


class Once(NamedTuple):
    """In an update: this value, unless the attribute has one already."""

    value: str | int


class Change(TypedDict, total=False):
    """The parts of an update besides set values, and its condition (see `Table.update_action`)."""

    remove: Sequence[str]
    add: Mapping[str, Any]
    when: str
    values: Mapping[str, Any]


class Query(TypedDict, total=False):
    """Which items of a partition, and how: `low` and `high` include, `above` excludes; or a `prefix`.

    `limit`: at most so many; `page`: so many are read at a time (else a megabyte). `only`: these attributes.
    """

    low: str
    above: str
    high: str
    prefix: str
    index: Index | None
    strong: bool
    newest_first: bool
    limit: int | None
    page: int | None
    only: Sequence[str]


class Table:
    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    # Writes of one item. False: the condition was not met, and nothing was written.

    def put(self, item: Mapping[str, Any], *, absent: bool = False) -> bool:
        """Put the item. `absent`: only if its key is free."""
        return self._written("PutItem", self.put_action(item, absent=absent)["Put"])

    def put_or_found(self, item: Mapping[str, Any]) -> Item | None:
        """Put the item if its key is free, and return None; else return the stored item."""
        body = {**self.put_action(item, absent=True)["Put"], "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            self._call("PutItem", body)
        except AwsError as error:
            _unless_condition(error)
            return item_of(error.detail.get("Item", {}))
        return None

    def update(self, pk: str, sk: str, set: Mapping[str, Any] = {}, **change: Unpack[Change]) -> bool:
        """Change some attributes; a missing item is created, unless `when` forbids it."""
        action = self.update_action(pk, sk, set, **change)
        return self._written("UpdateItem", action["Update"])

    def updated(self, pk: str, sk: str, set: Mapping[str, Any] = {}, **change: Unpack[Change]) -> Item | None:
        """Like `update`; returns the whole new item, or None."""
        done, item = self.tried(pk, sk, set, **change)
        return item if done else None

    def tried(self, pk: str, sk: str, set: Mapping[str, Any] = {}, **change: Unpack[Change]) -> tuple[bool, Item]:
        """Like `update`, with the whole item: the new one, or the stored one if the condition failed."""
        action = self.update_action(pk, sk, set, **change)
        body = {**action["Update"], "ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            return True, item_of(self._call("UpdateItem", body).get("Attributes", {}))
        except AwsError as error:
            _unless_condition(error)
            return False, item_of(error.detail.get("Item", {}))

    def delete(self, pk: str, sk: str, *, when: str = "", values: Mapping[str, Any] = {}) -> bool:
        return self._written("DeleteItem", self.delete_action(pk, sk, when=when, values=values)["Delete"])

    # Writes of many.

    def transact(self, actions: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """All or nothing. None: done; else the code of each action's failure ("None", "ConditionalCheckFailed")."""
        body = {"TransactItems": actions, "ClientRequestToken": os.urandom(16).hex()}
        try:
            self.client.call("dynamodb", "TransactWriteItems", body)
        except AwsError as error:
            codes = [str(reason.get("Code", "None")) for reason in error.detail.get("CancellationReasons", ())]
            if "ConditionalCheckFailed" not in codes:
                raise
            return codes
        return None

    def put_action(self, item: Mapping[str, Any], *, absent: bool = False) -> dict[str, Any]:
        body: dict[str, Any] = {"TableName": self.name, "Item": attributes(item)}
        if absent:
            body["ConditionExpression"] = _ABSENT
        return {"Put": body}

    def update_action(self, pk: str, sk: str, set: Mapping[str, Any] = {}, **change: Unpack[Change]) -> dict[str, Any]:
        remove, add = change.get("remove", ()), change.get("add", {})
        parts: list[str] = []
        names: dict[str, str] = {}
        given = {f":{name}": attribute(value) for name, value in change.get("values", {}).items()}
        for word, sign, changes in (("SET", " = ", set), ("ADD", " ", add)):
            pairs: list[str] = []
            for name, value in changes.items():
                names[f"#{name}"] = name
                if isinstance(value, Copy):
                    names[f"#{value}"] = str(value)
                    pairs.append(f"#{name}{sign}#{value}")
                elif isinstance(value, Once):
                    given[f":{word}{name}"] = attribute(value.value)
                    pairs.append(f"#{name}{sign}if_not_exists(#{name}, :{word}{name})")
                else:
                    given[f":{word}{name}"] = attribute(value)
                    pairs.append(f"#{name}{sign}:{word}{name}")
            if pairs:
                parts.append(f"{word} {', '.join(pairs)}")
        if remove:
            names.update({f"#{name}": name for name in remove})
            parts.append("REMOVE " + ", ".join([f"#{name}" for name in remove]))
        body = self._keyed(pk, sk, change.get("when", ""), names, given)
        if parts:
            body["UpdateExpression"] = " ".join(parts)
        return {"Update": body}

    def delete_action(self, pk: str, sk: str, *, when: str = "", values: Mapping[str, Any] = {}) -> dict[str, Any]:
        given = {f":{name}": attribute(value) for name, value in values.items()}
        return {"Delete": self._keyed(pk, sk, when, {}, given)}

    def check_action(self, pk: str, sk: str, *, when: str, values: Mapping[str, Any] = {}) -> dict[str, Any]:
        """In a transaction: check the condition without a write."""
        given = {f":{name}": attribute(value) for name, value in values.items()}
        return {"ConditionCheck": self._keyed(pk, sk, when, {}, given)}

    def write_many(self, puts: Iterable[Mapping[str, Any]] = (), deletes: Iterable[Key] = ()) -> None:
        """Put and delete without conditions, in any order, 25 a call. No key may come twice."""
        requests = [{"PutRequest": {"Item": attributes(item)}} for item in puts]
        requests += [{"DeleteRequest": {"Key": attributes({PK: pk, SK: sk})}} for pk, sk in deletes]

        def write(batch: list[Any]) -> list[Any]:
            answer = self.client.call("dynamodb", "BatchWriteItem", {"RequestItems": {self.name: batch}})
            return list(answer.get("UnprocessedItems", {}).get(self.name, ()))

        self._batches(requests, _WRITES, write)

    # Reads.

    def get(self, pk: str, sk: str, *, strong: bool = True) -> Item | None:
        body = {"Key": attributes({PK: pk, SK: sk}), "ConsistentRead": strong}
        found = self._call("GetItem", {"TableName": self.name, **body}).get("Item")
        return item_of(found) if found is not None else None

    def get_many(self, keys: Iterable[Key], *, strong: bool = False) -> dict[Key, Item]:
        """The items that exist, 100 per call."""
        found: dict[Key, Item] = {}
        wanted = [attributes({PK: pk, SK: sk}) for pk, sk in dict.fromkeys(keys)]

        def read(batch: list[Any]) -> list[Any]:
            body = {"RequestItems": {self.name: {"Keys": batch, "ConsistentRead": strong}}}
            answer = self.client.call("dynamodb", "BatchGetItem", body)
            for raw in answer.get("Responses", {}).get(self.name, ()):
                item = item_of(raw)
                found[item[PK], item[SK]] = item
            return list(answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", ()))

        self._batches(wanted, _GETS, read)
        return found

    def query(self, pk: str, **asked: Unpack[Query]) -> Iterator[Item]:
        """The items under `pk` in the order of their sort keys; pages are read as they are needed."""
        above, index = asked.get("above"), asked.get("index")
        low = asked.get("low") or (above + "\0" if above else "")
        body = self._query(pk, low, asked.get("high", ""), asked.get("prefix", ""), index)
        body["ScanIndexForward"] = not asked.get("newest_first")
        if index is None:
            body["ConsistentRead"] = asked.get("strong", True)
        if only := asked.get("only"):
            body["ExpressionAttributeNames"].update({f"#o{n}": name for n, name in enumerate(only)})
            body["ProjectionExpression"] = ", ".join([f"#o{n}" for n in range(len(only))])
        left, page = asked.get("limit"), asked.get("page")
        while left is None or left > 0:  # ends: each page begins after the one before
            if left is not None or page is not None:
                body["Limit"] = min(size for size in (left, page) if size is not None)
            answer = self._call("Query", body)
            items = answer.get("Items", ())
            for raw in items:
                yield item_of(raw)
            if "LastEvaluatedKey" not in answer:
                return
            body["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            left = left - len(items) if left is not None else None

    def count(self, pk: str, *, low: str = "", high: str = "", prefix: str = "", strong: bool = True) -> int:
        """How many items there are."""
        body = {**self._query(pk, low, high, prefix, None), "ConsistentRead": strong, "Select": "COUNT"}
        total = 0
        while True:  # terminates: each page begins after the one before
            answer = self._call("Query", body)
            total += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return total
            body["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _query(self, pk: str, low: str, high: str, prefix: str, index: Index | None) -> dict[str, Any]:
        names = {"#p": index.pk if index is not None else PK}
        given: dict[str, Any] = {":p": attribute(pk)}
        condition = "#p = :p"
        if prefix:
            condition += " AND begins_with(#s, :s)"
            given[":s"] = attribute(prefix)
        elif low and high:
            condition += " AND #s BETWEEN :s AND :t"
            given |= {":s": attribute(low), ":t": attribute(high)}
        elif low or high:
            condition += f" AND #s {'>=' if low else '<='} :s"
            given[":s"] = attribute(low or high)
        if len(given) > 1:
            names["#s"] = index.sk if index is not None else SK
        body: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": given,
        }
        if index is not None:
            body["IndexName"] = index.name
        return body

    def _keyed(self, pk: str, sk: str, when: str, names: dict[str, str], given: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"TableName": self.name, "Key": attributes({PK: pk, SK: sk})}
        if when:
            body["ConditionExpression"] = when
            names.update({f"#{name}": name for name in _NAMES.findall(when)})
        if names:
            body["ExpressionAttributeNames"] = names
        if given:
            body["ExpressionAttributeValues"] = given
        return body

    def _written(self, operation: str, body: Mapping[str, Any]) -> bool:
        try:
            self._call(operation, body)
        except AwsError as error:
            _unless_condition(error)
            return False
        return True

    def _call(self, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.client.call("dynamodb", operation, body)

    def _batches(self, requests: list[Any], size: int, work: Callable[[list[Any]], list[Any]]) -> None:
        """Send the requests in batches; retry the unprocessed rest with growing delays."""
        failures = 0
        while requests:  # bounded: a batch without progress is retried a fixed number of times
            batch, requests = requests[:size], requests[size:]
            undone = work(batch)
            failures = failures + 1 if undone else 0
            if failures >= _TRIES:
                raise Unavailable(f"DynamoDB left {len(undone)} items of a batch undone {failures} times in a row")
            if undone:
                self.client.pause(failures)
                requests = undone + requests


def attribute(value: Any) -> dict[str, Any]:
    """A value in DynamoDB's JSON."""
    encode = _ENCODE.get(value.__class__)
    if encode is None:
        raise TypeError(f"no DynamoDB attribute can hold {value.__class__.__name__}")
    return encode(value)


def attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: attribute(value) for name, value in item.items()}


def item_of(raw: Mapping[str, Mapping[str, Any]]) -> Item:
    """An item from DynamoDB's JSON."""
    item: Item = {}
    for name, tagged in raw.items():
        ((kind, value),) = tagged.items()
        item[name] = value if kind == "S" else _DECODE[kind](value)
    return item


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _set(members: Any) -> dict[str, Any]:
    ordered: list[Any] = sorted(members)
    texts = any(isinstance(member, str) for member in ordered)
    return {"SS": ordered} if texts else {"NS": [str(member) for member in ordered]}


_ENCODE: dict[type, Callable[[Any], dict[str, Any]]] = {
    str: lambda value: {"S": value},
    bytes: lambda value: {"B": b64encode(value).decode()},
    int: lambda value: {"N": str(value)},
    float: lambda value: {"N": str(value)},
    bool: lambda value: {"BOOL": value},
    frozenset: _set,
    type(None): lambda _: {"NULL": True},
}
_DECODE: dict[str, Callable[[Any], Any]] = {
    "B": b64decode,
    "N": _number,
    "BOOL": bool,
    "NULL": lambda _: None,
    "SS": frozenset,
    "NS": lambda texts: frozenset(_number(text) for text in texts),
}


def _unless_condition(error: AwsError) -> None:
    if error.code != CONDITION_FAILED:
        raise error
