"""`/v1/runs/{id}/export`: all that a replay of a run needs, page by page."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tidemill.core.bundle import Packer
from tidemill.core.journal import Begun, HandedOver, Record, Resolved, Suspended
from tidemill.core.view.runs import run_view
from tidemill.core.view.values import View
from tidemill.engine.runs.ids import child_id, chunk_id
from tidemill.limits import ANSWER_BYTES
from tidemill.model import Head
from tidemill_lambdas.api import cursors, runs
from tidemill_lambdas.http import Response
from tidemill_lambdas.router import Call

_PAGE_BYTES = ANSWER_BYTES // 2  # the last record of a page comes to it
_IN_RECORDS = ("output", "error")


def page(call: Call) -> Response:
    """Pages are cut between records. Each names the run; the last names its children."""
    head = runs.head_of(call)
    of = f"export of {head.run_id}"
    begin, _ = cursors.read(of, call.query) or (0, "")
    records = call.world.runs.read(head.run_id)
    packer = Packer()
    for record in records[:begin]:
        packer.add(record)  # the events that they name have their numbers
    packer.part()
    end = _fill(packer, records, begin)
    part = packer.part()
    last = end >= len(records)
    data = {
        "run": _run(head, records),
        "events": part.events,
        "records": part.records,
        "blobs": part.blobs,
        "children": list(_children(call, head, records)) if last else [],
    }
    cursor = None if last else cursors.write(of, call.query, end, "")
    return runs.elsewhere(call, msgspec.json.encode({"data": data, "cursor": cursor}))


def _fill(packer: Packer, records: list[Record], begin: int) -> int:
    """Add records to the page. Answers the number of the next one."""
    size = 0
    for number in range(begin, len(records)):
        size += packer.add(records[number])
        if size >= _PAGE_BYTES:
            return number + 1
    return len(records)


def _run(head: Head, records: list[Record]) -> View:
    view = run_view(head, records)
    return {name: fact for name, fact in view.items() if name not in _IN_RECORDS}


def _children(call: Call, head: Head, records: list[Record]) -> Iterator[View]:
    """The runs that this one has started, and waited for."""
    found = dict.fromkeys(each for record in records for each in _started(head.run_id, record))
    for run_id, step, kind in found:
        if kind == "map" or call.world.runs.head(run_id) is not None:
            yield {"run_id": run_id, "step": step, "kind": kind}


def _started(run_id: str, record: Record) -> Iterator[tuple[str, str, str]]:
    if isinstance(record, Begun):
        for number in range(record.parts):
            yield chunk_id(run_id, record.key, number), record.key, "map"
    if isinstance(record, Suspended | HandedOver):
        for blocked in record.blocked:
            if blocked.kind == "invoke":
                yield child_id(run_id, blocked.key), blocked.key, "invoke"
    if isinstance(record, Resolved) and (record.value is not None or record.failure is not None):
        yield child_id(run_id, record.key), record.key, "invoke"
