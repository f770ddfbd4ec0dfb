"""The registry on DynamoDB: the functions that are declared at present, written when an app is deployed.

    FUNCTIONS           <function id>                 its spec as JSON, and the resources that declare it
    LISTENS#<name>      <function id>                 a function with a trigger of this name
    LISTENS*            <prefix>#<function id>        one with a trigger whose name ends in `*`

The listeners of a name are found by that name: it takes as long with ten thousand functions as with ten. A process
remembers what it read for a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tidemill.aws.dynamo.declarations import Memory, owners
from tidemill.aws.dynamo.keys import PK, SK
from tidemill.aws.dynamo.schemas import Schemas
from tidemill.aws.dynamo.table import Item, Key, Table
from tidemill.aws.dynamo.wait_keys import quoted
from tidemill.aws.dynamo.webhooks import Webhooks
from tidemill.aws.system import SystemClock
from tidemill.model import PLATFORM, EventSchema, EventTrigger, FunctionSpec, WebhookSpec, name_matches
from tidemill.ports import Clock

_REMEMBERED = 4_096

_FUNCTIONS = "FUNCTIONS"
_WILD = "LISTENS*"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FunctionSpec).decode


class DynamoRegistry:
    """The port `Registry`."""

    def __init__(self, table: Table, clock: Clock | None = None) -> None:
        self._table = table
        clock = clock or SystemClock()
        self._functions: Memory[tuple[FunctionSpec, str]] = Memory(clock, _REMEMBERED)
        self._listeners: Memory[list[str]] = Memory(clock, _REMEMBERED)
        self._schemas = Schemas(table, clock)
        self._webhooks = Webhooks(table, clock)

    def function(self, function_id: str) -> FunctionSpec | None:
        known = self._known(function_id)
        return known[0] if known is not None else None

    def functions(self) -> list[FunctionSpec]:
        """Read from the table at each call."""
        return [_decode(item["spec"]) for item in self._table.query(_FUNCTIONS, strong=False)]

    def listeners(self, name: str) -> list[FunctionSpec]:
        ids = self._listeners.get(name, lambda: self._listening(name)) or ()
        return [spec for function_id in ids if (spec := self.function(function_id)) is not None]

    def log_group(self, function_id: str) -> str | None:
        """The log group of the function's Lambda. Read anew at each call."""
        item = self._table.get(_FUNCTIONS, function_id, strong=False)
        return (item.get("log_group") or None) if item is not None else None

    def version(self, function_id: str) -> str:
        known = self._known(function_id)
        return known[1] if known is not None else ""

    def schemas(self, name: str) -> Mapping[str, str]:
        return self._schemas.of(name)

    def all_schemas(self) -> list[EventSchema]:
        return self._schemas.all()

    def webhook(self, name: str) -> WebhookSpec | None:
        return self._webhooks.get(name)

    def webhook_secrets(self, webhook: WebhookSpec, *, fresh: bool = False) -> Sequence[str]:
        return self._webhooks.secrets(webhook, fresh=fresh)

    def _known(self, function_id: str) -> tuple[FunctionSpec, str] | None:
        """The function and its version. A missing function is not remembered: it may be deployed at any moment."""

        def read() -> tuple[FunctionSpec, str] | None:
            item = self._table.get(_FUNCTIONS, function_id, strong=False)
            return (_decode(item["spec"]), item["version"]) if item is not None else None

        return self._functions.get(function_id, read)

    def _listening(self, name: str) -> list[str]:
        """The ids of the functions that listen for this name, each once, sorted."""
        found = {item[SK] for item in self._table.query(_exact_key(name), strong=False)}
        # A pattern matches the platform's names only after their prefix.
        prefix = PLATFORM if name.startswith(PLATFORM) else ""
        for item in self._table.query(_WILD, prefix=prefix, strong=False):
            if name_matches(item["pattern"], name):
                found.add(item["id"])
        return sorted(found)


def register(table: Table, spec: FunctionSpec, owner: str, now: int, version: str = "", log_group: str = "") -> None:
    """Write what a function declares. `owner`: the resource of a stack that declares it. Harmless to do twice."""
    before = table.get(_FUNCTIONS, spec.id)
    wanted = list(_entries(spec))
    for entry in wanted:
        table.put(entry)
    table.put(
        {
            PK: _FUNCTIONS,
            SK: spec.id,
            "spec": _encode(spec).decode(),
            "app": spec.app,
            "version": version,
            "log_group": log_group,
            "deployed_at": now,
            "owners": owners(before) | {owner},
        }
    )
    if before is not None:
        keep = {(entry[PK], entry[SK]) for entry in wanted}
        _remove(table, [key for key in _keys(_decode(before["spec"])) if key not in keep])


def declared(table: Table, function_id: str) -> FunctionSpec | None:
    """What a function declares now."""
    item = table.get(_FUNCTIONS, function_id)
    return _decode(item["spec"]) if item is not None else None


def leaves(table: Table, function_id: str, owner: str) -> FunctionSpec | None:
    """The function, if no other resource declares it."""
    item = table.get(_FUNCTIONS, function_id)
    return _decode(item["spec"]) if item is not None and item["owners"] == {owner} else None


def unregister(table: Table, function_id: str, owner: str) -> bool:
    """This resource no longer declares the function. True: no other does either, and the function is gone.

    A function may have two owners for a while: a deployment makes the new resource before it deletes the old one, and
    deletes the new one if it is rolled back.
    """
    item = table.get(_FUNCTIONS, function_id)
    if item is None:
        return True
    others = item["owners"] - {owner}
    if owner in item["owners"] and others:
        table.put({**item, "owners": others})
    if others:
        return False
    _remove(table, _keys(_decode(item["spec"])))
    table.delete(_FUNCTIONS, function_id)
    return True


def _entries(spec: FunctionSpec) -> Iterator[Item]:
    """The names under which the function is found."""
    for name in sorted({trigger.name for trigger in spec.triggers if isinstance(trigger, EventTrigger)}):
        if name.endswith("*"):
            yield {PK: _WILD, SK: f"{quoted(name[:-1])}#{spec.id}", "pattern": name, "id": spec.id}
        else:
            yield {PK: _exact_key(name), SK: spec.id}


def _keys(spec: FunctionSpec) -> list[Key]:
    return [(entry[PK], entry[SK]) for entry in _entries(spec)]


def _remove(table: Table, keys: list[Key]) -> None:
    for pk, sk in keys:
        table.delete(pk, sk)


def _exact_key(name: str) -> str:
    return f"LISTENS#{name}"
