"""`/v1/users/{user}/story`: a person's events and runs in one list, newest first.

The list merges the two indexes by user, so a page reads as much of a long story as of a short one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from heapq import merge
from typing import NamedTuple

from tidemill.core.view.runs import event_view
from tidemill.core.view.values import View
from tidemill.core.view.waiting import waiting_view
from tidemill.duration import iso
from tidemill.engine.runs.load import current
from tidemill.model import Event, Head
from tidemill.ports import Damaged, EventQuery, Page, RunQuery
from tidemill_lambdas import params
from tidemill_lambdas.api import cursors, pages, runs
from tidemill_lambdas.http import Refused
from tidemill_lambdas.paths import given_id
from tidemill_lambdas.router import Call
from tidemill_lambdas.work import Work


class _Row(NamedTuple):
    """Rows of one millisecond stand in the order of their kinds: runs before the events that started them."""

    at: int
    kind: str
    id: str
    found: Event | Head | Damaged


def page(call: Call) -> Work:
    user, limit = given_id(call.path, call.query, "user"), params.limit(call.query)
    found, cut = _found(call, user, limit + 1)
    rows = pages.Rows()
    last: _Row | None = None
    for count, row in enumerate(found):
        if count == limit or not _add(call, rows, row):
            cut = True
            break
        last = row
        yield
    if not cut or last is None:
        return rows.response(None)
    return rows.response(cursors.write(_list(user), call.query, last.at, f"{last.kind} {last.id}"))


def _list(user: str) -> str:
    return f"story of {user}"


def _found(call: Call, user: str, limit: int) -> tuple[list[_Row], bool]:
    """The next rows in order, and whether the limit of bytes ended one of the lists."""
    after, cursor = params.after(call.query), cursors.read(_list(user), call.query)
    of_events, of_runs = _cursors(cursor) if cursor is not None else (None, None)
    events = call.world.events.page(EventQuery(user=user, after=after, limit=limit, cursor=of_events))
    heads = call.world.runs.page(RunQuery(user=user, after=after, limit=limit, cursor=of_runs))
    lists = [list(_of_events(events)), list(_of_runs(heads))]
    ends = [rows[-1][:2] for rows, cut in zip(lists, (events.cut, heads.cut), strict=True) if cut and rows]
    merged = list(merge(*lists, key=lambda row: row[:2], reverse=True))
    return [row for row in merged if not ends or row[:2] >= max(ends)], bool(ends)


def _cursors(cursor: tuple[int, str]) -> tuple[tuple[int, str], tuple[int, str]]:
    """Where the list of events and that of runs continue. Raises Refused."""
    at, (kind, _, id) = cursor[0], cursor[1].partition(" ")
    if kind == "event":
        return (at, id), (at, "")  # of this millisecond, the runs stood before the event
    if kind == "run":
        return (at + 1, ""), (at, id)
    raise Refused(400, "this cursor is of another list; take it from this list's last answer")


def _of_events(found: Page[Event]) -> Iterator[_Row]:
    for each in pages.entries(found, found.damaged):
        at = each.at if isinstance(each, Damaged) else each.received_at
        yield _Row(at, "event", each.id, each)


def _of_runs(found: Page[Head]) -> Iterator[_Row]:
    for each in pages.entries(found, found.damaged):
        if isinstance(each, Damaged):
            yield _Row(each.at, "run", each.id, each)
        else:
            yield _Row(each.created_at, "run", each.run_id, each)


def _add(call: Call, rows: pages.Rows, row: _Row) -> bool:
    """False: the row does not fit."""
    if isinstance(row.found, Damaged):
        rows.name((row.at, row.id), row.found.problem)
        return True
    return rows.add((row.at, row.id), partial(_view, call, row.at, row.found))


def _view(call: Call, at: int, found: Event | Head) -> View:
    if isinstance(found, Event):
        return {"type": "event", "at": iso(at), "event": event_view(found), "waiting": []}
    return {"type": "run", "at": iso(at), "run": runs.row(call, found), "waiting": _waiting(call, found)}


def _waiting(call: Call, head: Head) -> list[View]:
    """What an open run waits for: only `waiting` and `sleeping` runs cost a read."""
    if head.status not in ("waiting", "sleeping"):
        return []
    opened = current(call.world, head.run_id)
    return waiting_view(opened[1]) if opened is not None else []
