"""Lists of runs: an index gives their ids, and their heads give the rows.

An index lags the table by a moment and holds only keys, so each list reads the heads that the index names and keeps
those that match the query. A list is merged from the newest ends of its shards. Which index:

    a user's runs                     by user
    failed, cancelled or skipped      by status: few among many
    scheduled or running              by due time: all the open ones of that status
    any other                         by function, or by time
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from tidemill.aws.dynamo import heads
from tidemill.aws.dynamo.keys import (
    BY_DUE,
    BY_EVENT,
    BY_FUNCTION,
    BY_TIME,
    BY_USER,
    HEAD,
    PK,
    USER_SHARDS,
    Index,
    all_key,
    due_key,
    ended_key,
    event_key,
    function_key,
    run_key,
    run_of,
    stamp,
    time_key,
    user_key,
)
from tidemill.aws.dynamo.span import in_order, span
from tidemill.aws.dynamo.table import Item, Table
from tidemill.errors import TidemillError
from tidemill.model import Head, RunStatus
from tidemill.ports import Blobs, Page, RunQuery

EXAMINED = 20_000  # heads that one page may look through: two or three seconds
COUNTED = 4_000  # open runs of a shard that are counted: 64,000 of a status in all
_LISTED = 10_000  # open runs of a shard that are put in order
_BATCH = 100
_RUN_AT = 14  # where the id begins in "<created>#<run>"


def page(table: Table, blobs: Blobs, query: RunQuery) -> Page[Head]:
    """Raises TidemillError if the matches are too rare among too many runs: the query has to be narrower."""
    found: list[Head] = []
    keys = _keys(table, query)
    examined = 0
    while len(found) < query.limit and (batch := list(islice(keys, _BATCH))):
        there = _heads(table, blobs, [key[_RUN_AT:] for key in batch])
        for key in batch:
            head = there.get(key[_RUN_AT:])
            if head is not None and time_key(head.created_at, head.run_id) == key and _wanted(head, query):
                found.append(head)
        examined += len(batch)
        if examined >= EXAMINED and len(found) < query.limit:
            raise TidemillError(
                f"of the {examined} runs looked at only {len(found)} are like this: name a function, a user or a later "
                "time to look from"
            )
    return Page(found[: query.limit])


def of_event(table: Table, blobs: Blobs, event_id: str) -> Page[Head]:
    """An index finds the run that the event began; pointers find those that collected it."""
    prefix = "RUN#"
    pointers = [item["sk"][len(prefix) :] for item in table.query(event_key(event_id), prefix=prefix)]
    keys = sorted({*pointers, *(item[BY_EVENT.sk] for item in table.query(event_key(event_id), index=BY_EVENT))})
    there = _heads(table, blobs, [key[_RUN_AT:] for key in keys], strong=True)
    found = [(there.get(key[_RUN_AT:]), key) for key in keys]
    return Page(head for head, key in found if head is not None and time_key(head.created_at, head.run_id) == key)


def overdue(table: Table, blobs: Blobs, now: int, limit: int) -> list[Head]:
    queries = [
        table.query(due_key(kind, number), high=stamp(now), index=BY_DUE, limit=limit)
        for kind in heads.KINDS
        for number in heads.shards()
    ]
    first = islice(heapq.merge(*queries, key=lambda item: str(item[BY_DUE.sk])), limit)
    there = _heads(table, blobs, [run_of(item[PK]) for item in first])
    due = [head for head in there.values() if head.due is not None and head.due <= now]
    return sorted(due, key=lambda head: head.due or 0)


def counts(table: Table) -> dict[str, dict[RunStatus, int]]:
    """Open runs by function. A status with more than 64,000 is counted in part: a lower bound."""
    counted: dict[str, dict[RunStatus, int]] = {}
    kinds: tuple[RunStatus, ...] = ("scheduled", "running")
    for kind in kinds:
        for function_id, count in _counted(table, kind).items():
            counted.setdefault(function_id, {})[kind] = count
    return counted


def idle(table: Table) -> dict[str, int]:
    """Runs that sleep or wait, by function; like `counts`, lower bounds above 64,000."""
    return _counted(table, "idle")


def _counted(table: Table, kind: str) -> dict[str, int]:
    items = (
        item["f"]
        for number in heads.shards()
        for item in table.query(due_key(kind, number), index=BY_DUE, limit=COUNTED)
    )
    return Counter(items)


def _keys(table: Table, query: RunQuery) -> Iterator[str]:
    """The keys "<created>#<run>" of the runs that may match, in order, each once."""
    last = ""
    for key in _source(table, query):
        if key != last:
            yield key
        last = key


def _source(table: Table, query: RunQuery) -> Iterator[str]:
    if query.user is not None:
        return _merged(table, query, BY_USER, [user_key(query.user, number) for number in range(USER_SHARDS)])
    if query.status in heads.UNFINISHED:
        ended = [ended_key(query.status, number) for number in heads.shards()]
        ends = iter(_open(table, query, "ending"))
        return heapq.merge(_merged(table, query, BY_DUE, ended), ends, reverse=not query.oldest)
    if query.status in ("scheduled", "running"):
        return iter(_open(table, query, query.status))
    if query.function_id is not None:
        keys = [function_key(query.function_id, number) for number in heads.shards()]
        return _merged(table, query, BY_FUNCTION, keys)
    return _merged(table, query, BY_TIME, [all_key(number) for number in heads.shards()])


def _merged(table: Table, query: RunQuery, index: Index, keys: list[str]) -> Iterator[str]:
    """All these partitions, which are in the order of their creation, as one."""
    found = in_order(table, keys, span(query), max(query.limit, _BATCH) // len(keys) + 1, index)
    return (item[index.sk] for item in found if _of_function(item, query))


def _open(table: Table, query: RunQuery, kind: str) -> list[str]:
    """All open runs of this kind, which their index has in the order of their due times."""
    part = span(query)
    keys = [
        item[BY_FUNCTION.sk]
        for number in heads.shards()
        for item in table.query(due_key(kind, number), index=BY_DUE, limit=_LISTED)
        if _of_function(item, query)
    ]
    return sorted(filter(part.holds, keys), reverse=part.newest_first)


def _of_function(item: Item, query: RunQuery) -> bool:
    """Whether an entry may belong to the function: entries of some indexes name theirs."""
    return query.function_id is None or item.get("f", query.function_id) == query.function_id


def _wanted(head: Head, query: RunQuery) -> bool:
    return (
        heads.listed(head)
        and (query.status is None or head.status == query.status)
        and (query.function_id is None or head.function_id == query.function_id)
        and (query.user is None or head.user == query.user)
    )


def _heads(table: Table, blobs: Blobs, run_ids: list[str], strong: bool = False) -> dict[str, Head]:
    found = table.get_many([(run_key(run_id), HEAD) for run_id in run_ids], strong=strong)
    made = [heads.head(item, blobs) for item in found.values()]
    return {head.run_id: head for head in made}
