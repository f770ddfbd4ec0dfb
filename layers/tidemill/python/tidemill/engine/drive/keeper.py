"""The `Keeper` in the process of the stores: carries out an executor's requests on the ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidemill.core.journal import Ended, HandedOver, Record, Suspended, Terminal
from tidemill.core.next_action import OVERDUE
from tidemill.core.step_keys import is_handed
from tidemill.engine.intake import receive
from tidemill.engine.intake.fit import fitting
from tidemill.engine.runs import concurrency, match_waits, renew
from tidemill.engine.runs.append import append
from tidemill.engine.runs.create import start_chunk
from tidemill.engine.runs.end import cancel, cancel_parts, finish, quiet
from tidemill.engine.runs.ids import child_id, chunk_id
from tidemill.engine.runs.load import load
from tidemill.model import Event, Head, HeadChange, Parent, Wait
from tidemill.ports import Appended, Lost, World


class StoreKeeper:
    """The port `Keeper` over a World, in the same process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        if head.finish_by is not None and head.finish_by <= self._world.clock.now():
            cancel(self._world, head.run_id, OVERDUE)  # the append then finds the end, and the code stops
        if change is None:
            return append(self._world, head.run_id, seq, records)
        last = records[-1]
        if isinstance(last, Ended):
            return self._end(head, seq, records, last, change)
        if change.due is not None:
            renew.before(self._world, head, change.due)
            change = renew.changed(head, change, self._world.clock.now())
        found = append(self._world, head.run_id, seq, records, change)
        if isinstance(found, Appended):
            if not isinstance(last, HandedOver):
                concurrency.pause(self._world, head, seq + len(records) - 1)
            at = None if isinstance(last, HandedOver) else change.due
            recheck = isinstance(last, Suspended) and _patient(last) and at not in (head.finish_by, head.start_by)
            self._world.queue.wake(head.run_id, head.function_id, at, recheck)
        return found

    def _end(
        self, head: Head, seq: int, records: Sequence[Record], ended: Ended, change: HeadChange
    ) -> Appended | Lost:
        """An end that concerns nobody else is closed with its record; any other stays open until all is done.

        In between come the run's places: they are passed on before the head is closed, and with it the way back here.
        """
        if quiet(self._world, head, ended):
            renew.at_end(self._world, head, ended.at)
            if head.admission is None:
                return append(self._world, head.run_id, seq, records, change)
            found = append(self._world, head.run_id, seq, records)
            if isinstance(found, Appended):
                concurrency.end(self._world, head)
                self._world.runs.change(head.run_id, change)
            return found
        found = append(self._world, head.run_id, seq, records)
        if isinstance(found, Appended):
            finish(self._world, head.run_id)
        return found

    def wait(self, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]) -> tuple[Wait, Event] | None:
        match_waits.register(self._world, waits)
        now = self._world.clock.now()
        over = all(wait.until is not None and wait.until <= now for wait in waits)
        found = match_waits.oldest(self._world, waits, set(taken), last=over)
        if found is not None or over:  # a wait whose time has run out takes no event any more
            self._world.waits.drop(waits[0].run_id, waits[0].key)
        return found

    def invoke(self, parent: Parent, function_id: str, data: bytes, user: dict[str, Any] | None) -> bool:
        spec = self._world.registry.function(function_id)
        if spec is None:
            return False
        run_id = child_id(parent.run_id, parent.key)
        receive.invoke(self._world, spec, data, parent=parent, run_id=run_id, user=user)
        return True

    def send(self, events: Sequence[Event]) -> None:
        now = self._world.clock.now()
        fresh = [event for event in events if receive.known(self._world, event.id, now) is None]
        self._world.bus.publish(fitting(self._world.registry, fresh))

    def map(self, head: Head, key: str, parts: Sequence[bytes]) -> None:
        spec = self._world.registry.function(head.function_id)
        birth = self._world.runs.birth(head.run_id)
        if spec is None or birth is None:
            return
        if head.gathers:
            birth = msgspec.structs.replace(birth, events=load(self._world, head).events)
        head.needs_cleanup = True
        for number, items in enumerate(parts):
            parent = Parent(head.run_id, head.function_id, key, number, len(parts))
            start_chunk(self._world, spec, birth, head, parent, items)

    def snapshot(self, head: Head, seq: int, data: bytes) -> None:
        self._world.runs.put_snapshot(head.run_id, seq, data)

    def restore(self, run_id: str, seq: int) -> bytes | None:
        return self._world.runs.snapshot(run_id, seq)

    def ended(self, head: Head, maps: Mapping[str, int]) -> None:
        current = self._world.runs.head(head.run_id)
        if current is not None and current.due is None:
            self._world.waits.drop(head.run_id)
            cancel_parts(self._world, head.run_id, maps)
        elif head.admission is not None:
            finish(self._world, head.run_id, gone=True)

    def chunks(self, run_id: str, key: str, count: int) -> list[Record]:
        ends: list[Record] = []
        for number in range(count):
            head = self._world.runs.head(chunk_id(run_id, key, number))
            if head is not None:  # one that has just told its parent may not have closed its head yet
                records = self._world.runs.read(head.run_id, head.end - 1 if head.end is not None else -1)
                ends += [record for record in records if isinstance(record, Terminal)][:1]
        return ends

    def journal(self, run_id: str, after: int = -1) -> list[Record]:
        return self._world.runs.read(run_id, after)


def _patient(suspended: Suspended) -> bool:
    """Nothing is to be done at a time of its own choosing, unless what was handed over has been lost."""
    return suspended.due is None or all(
        blocked.until != suspended.due or is_handed(blocked.key) for blocked in suspended.blocked
    )
