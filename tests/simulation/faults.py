"""Faults that the engine has had, put back one at a time: the simulation must find each of them.

Each names the world and the layer in which it shows soonest, and the rule that tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tidemill.core.flow import collect as core_collect
from tidemill.core.flow import concurrency
from tidemill.core.journal import Record, StepDone
from tidemill.engine.drive import keeper as keep
from tidemill.engine.drive import replayed as replayed
from tidemill.engine.drive.aio.gate import Gate
from tidemill.engine.intake import admit, rerun, serve_lines
from tidemill.engine.intake import collect as gather
from tidemill.engine.runs import end as finish
from tidemill.engine.runs import match_waits as lookback
from tidemill.model import Head
from tidemill_local.server.clock import PlatformClock
from tidemill_local.server.cron import Cron


@dataclass(frozen=True)
class Fault:
    put_back: Callable[[pytest.MonkeyPatch], None]
    world: str
    layer: str
    told: str  # part of what the simulation says
    first: int = 0  # the seed from which on the gate looks for it: seeds before are known to show nothing

    @property
    def name(self) -> str:
        return self.put_back.__name__


def gathering_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window is taken to be open as long as its run has not begun, though the run refuses the event."""
    window = gather._window
    monkeypatch.setattr(gather, "_window", lambda it, own, refused: window(it, own, set()))
    monkeypatch.setattr(gather, "_open", lambda head: head.due is not None and head.started_at is None)
    monkeypatch.setattr(gather, "_RUNS", 10**9)


def a_tail_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow control that a deploy adds is decided on the part of the journal that a snapshot does not hold."""
    monkeypatch.setattr(admit, "whole", lambda world, head, known: known)


def outcomes_pass_no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes reach code in whatever order the loop has them; a replay has another."""

    async def passed(self: Gate, turn: int) -> None:
        return

    monkeypatch.setattr(Gate, "passed", passed)


def maps_outlive_their_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a map go on after the run that began them has ended."""
    monkeypatch.setattr(finish, "_cancel_chunks", lambda world, head, state: None)


def plans_are_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttle and a rate limit count when a run is planned, not when it starts."""
    monkeypatch.setattr(admit, "_starts_now", lambda *_: True)


def finish_timeouts_wait_for_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's finish timeout is looked at only where its code has stopped."""
    append = keep.StoreKeeper.append

    def deaf(self: keep.StoreKeeper, head: Head, *args: Any) -> Any:
        late = msgspec.structs.replace(head, finish_by=None)
        return append(self, late, *args)

    monkeypatch.setattr(keep.StoreKeeper, "append", deaf)


def ids_are_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's id may be the key of a branch's step."""
    monkeypatch.setattr(replayed, "escaped", lambda step_id: step_id)


def all_missed_ticks_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has slept fires every tick of that time."""
    monkeypatch.setattr("tidemill_local.server.cron._AHEAD_MOST", 10**12)
    monkeypatch.setattr(Cron, "_next", lambda self, spec, trigger, now: now + 60_000)


def time_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's time is the wall clock's, whatever is done to that."""
    monkeypatch.setattr(PlatformClock, "now", lambda self: self._wall() // 1_000_000)


def anyone_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelling event is not asked whether it is about this run."""
    accepts = lookback.accepts
    monkeypatch.setattr(lookback, "accepts", lambda world, wait, *rest: wait.cancel or accepts(world, wait, *rest))


def an_edited_input_is_the_codes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is run again with another input has the old data in its event: so do its waits and keys."""
    monkeypatch.setattr(rerun, "_edited", lambda state, given: (state.events, given or state.birth.input))


def reruns_tell_steps_before_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is run again from a step remembers steps before the waits that they raced with."""
    before = rerun._before

    def sorted_by_kind(*asked: Any) -> list[Record]:
        return sorted(before(*asked), key=lambda record: not isinstance(record, StepDone))

    monkeypatch.setattr(rerun, "_before", sorted_by_kind)


def lines_stand_through_a_deploy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy that raises a limit, or takes it away, gives no place to who waits in line."""
    monkeypatch.setattr(serve_lines, "_served", lambda world, family, declared: iter(()))


def old_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits in line goes by the limits that it was decided on with."""
    monkeypatch.setattr(concurrency, "outdated", lambda *_: False)


def events_ahead_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose `ts` lies ahead wakes and cancels at its receipt."""
    monkeypatch.setattr(lookback, "ahead", lambda world, event: False)


def events_ahead_are_gathered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose `ts` lies ahead joins the batch or debounce of its receipt."""
    monkeypatch.setattr(core_collect, "ahead", lambda event, now: False)


FAULTS = (
    Fault(gathering_spins, "sync", "bursts", "spins"),
    Fault(a_tail_as_a_whole, "sync", "deploys", "has no attribute"),
    Fault(outcomes_pass_no_gate, "local", "races", "at first, then"),
    Fault(maps_outlive_their_runs, "sync", "maps", "after the end of run"),
    Fault(plans_are_starts, "sync", "bursts+lids", "starts"),
    Fault(finish_timeouts_wait_for_code, "sync", "timeouts", "finish timeout"),
    Fault(ids_are_keys, "sync", "ids", "was given the result of"),
    Fault(all_missed_ticks_fire, "sync", "lids", "ticks that the machine has slept through"),
    Fault(time_goes_back, "sync", "clocks", ""),
    Fault(anyone_is_cancelled, "local", "cancels", "was cancelled"),
    Fault(an_edited_input_is_the_codes_alone, "sync", "reruns", "another input"),
    Fault(reruns_tell_steps_before_waits, "local", "races+reruns", ""),
    Fault(lines_stand_through_a_deploy, "local", "deploys+calm", "in line", 220),
    Fault(old_limits_hold, "local", "crowded+deploys", ""),
    Fault(events_ahead_count_at_once, "sync", "ahead", "before"),
    Fault(events_ahead_are_gathered_at_once, "sync", "ahead", ""),
)
