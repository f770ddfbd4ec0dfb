"""What the declarations of functions, schemas and webhooks have in common: who declares them, and how long a process
remembers what it read of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from tidemill.aws.dynamo.keys import PK, SK
from tidemill.aws.dynamo.table import Item, Table
from tidemill.limits import MINUTE
from tidemill.ports import Clock

_T = TypeVar("_T")


class Memory(Generic[_T]):
    """What was read under at most `most` keys, for a minute; that there is nothing, for `absent` milliseconds."""

    def __init__(self, clock: Clock, most: int, absent: int = 0) -> None:
        self._clock = clock
        self._most = most
        self._absent = absent
        self._known: dict[str, tuple[int, _T | None]] = {}

    def get(self, key: str, read: Callable[[], _T | None]) -> _T | None:
        now = self._clock.now()
        kept = self._known.get(key)
        if kept is not None and now - kept[0] < (self._absent if kept[1] is None else MINUTE):
            return kept[1]
        found = read()
        if found is not None or self._absent:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[key] = now, found
        return found


def owners(item: Item | None) -> frozenset[str]:
    """The resources of stacks that declare the item."""
    return item["owners"] if item is not None else frozenset()


def leave(table: Table, item: Item, owner: str) -> None:
    """This resource declares the item no longer; where no other does either, it is gone. Harmless to do twice."""
    if owner not in item["owners"]:
        return
    others = item["owners"] - {owner}
    if others:
        table.put({**item, "owners": others})
    else:
        table.delete(item[PK], item[SK])
