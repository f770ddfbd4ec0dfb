"""What must be true when everything has come to rest, whatever happened on the way."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from simulation import ahead, flow, graphs, rules
from simulation.system import SKEW, Execution, System
from simulation.view import View

from tidemill import ids, limits, values
from tidemill.core.journal import (
    AttemptFailed,
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    HandedOver,
    Record,
    Resolved,
    Started,
    StepDone,
    Suspended,
    Terminal,
)
from tidemill.core.state import fold, status_of
from tidemill.engine.intake import start
from tidemill.engine.runs import match_waits
from tidemill.model import ENDED, ENDS, FAILED, FINISHED, INVOKED, TIMER, Head
from tidemill.ports import EventQuery

_SWEEP = 60_000  # ms between two sweeps


def broken(system: System) -> list[str]:
    """Every invariant that does not hold, in words."""
    heads = all_heads(system)
    journals = {head.run_id: system.stores.runs.read(head.run_id) for head in heads}
    problems: list[str] = []
    for head in heads:
        problems += _run(system, head, journals[head.run_id])
        problems += _effects(system, head, journals)
        problems += graphs.broken(system, head, journals[head.run_id])
    problems += _starts(system, heads, journals)
    problems += flow.broken(system, heads, journals)
    problems += _executions(system.executions)
    problems += _begun_again(system)
    problems += _waits_left(system, heads)
    events = system.known_events()
    for head in heads:
        problems += ahead.broken(system, head, journals[head.run_id], events)
        problems += _missed(system, head, journals[head.run_id])
    problems += rules.broken(View(system, heads, journals))
    return problems


def all_heads(system: System) -> list[Head]:
    return [head for run_id in system.stores.all_runs() if (head := system.stores.runs.head(run_id)) is not None]


def _run(system: System, head: Head, records: list[Record]) -> list[str]:
    problems = []
    where = f"{head.function_id} {head.run_id}"
    if head.status not in ENDED or head.due is not None:
        problems.append(f"{where} has not ended: {head.status}, due {head.due}, last {records[-1]}")
        return problems
    terminal = [n for n, record in enumerate(records) if isinstance(record, Terminal)]
    if terminal != [len(records) - 1]:
        problems.append(f"{where}: terminal records at {terminal} of {len(records)}")
        return problems
    end = records[-1]
    if status_of(end) != head.status or head.end != len(records) - 1:  # type: ignore[arg-type]
        problems.append(f"{where}: the head says {head.status} at {head.end}, the journal {end}")
    done = Counter(record.key for record in records if isinstance(record, StepDone))
    problems += [f"{where}: step {key} is recorded {n} times" for key, n in done.items() if n > 1]
    problems += _claims(system, where, records)
    if isinstance(end, Ended) and end.status == "completed" and head.parent is None and end.value is not None:
        problems += _output(where, records, end)
    return problems


def _claims(system: System, where: str, records: list[Record]) -> list[str]:
    """A claim is taken over only after it has lapsed; code writes only under a claim."""
    problems = []
    claim: Claimed | None = None
    first = next((n for n, record in enumerate(records) if isinstance(record, Claimed)), len(records))
    copied = first if isinstance(records[0], Started) and records[0].again else 0
    for record in records[copied:]:
        if isinstance(record, Claimed):
            if claim is not None and record.at < system.until(claim) - 2 * system.skew:
                problems.append(
                    f"{where}: claim of {record.by} at {record.at} while {claim.by} holds it to {claim.until}"
                )
            claim = record
        elif isinstance(record, Suspended | HandedOver | AttemptFailed):
            claim = None
        elif isinstance(record, StepDone | Ended) and claim is None and not _by_the_guard(record):
            problems.append(f"{where}: {record} without a claim")
    return problems


def _by_the_guard(record: Record) -> bool:
    return isinstance(record, Ended) and record.failure is not None and record.failure.type == "Crashed"


def _output(where: str, records: list[Record], end: Ended) -> list[str]:
    """What the code returned is what the journal remembers of its steps."""
    problems = []
    known = {r.key: r for r in records if isinstance(r, StepDone) and r.value is not None and r.kind == "run"}
    said = _flat(values.decode(end.value or b"null"))
    for record in known.values():
        value = values.decode(record.value or b"null")
        raced = record.key.startswith("r") and record.key[1].isdigit()  # code may have given it up: see `layers.races`
        if isinstance(value, list) and "/" not in record.key and not raced and value not in said:
            problems.append(f"{where}: step {record.key} gave {value}, but the output is {said}")
    return problems


def _flat(value: object) -> list[object]:
    if not isinstance(value, list):
        return [value]
    return [value, *(inner for each in value for inner in _flat(each))]


def _effects(system: System, head: Head, journals: dict[str, list[Record]]) -> list[str]:
    """The end's effects have all been performed."""
    if head.status not in ENDED or head.due is not None:
        return []
    problems = []
    where = f"{head.function_id} {head.run_id} ({head.status})"
    parent = head.parent
    if parent is not None and parent.run_id in journals:
        state = fold(journals[parent.run_id])
        over = state.terminal is not None and not isinstance(state.terminal, Ended)
        told = parent.key in state.resolved or parent.key in state.done
        if parent.chunk is None and not told and not over and state.terminal is None:
            problems.append(f"{where}: its parent was not told")
    if parent is not None and parent.chunk is not None:
        return problems
    if head.status == "skipped":
        return problems
    announced = ids.derived(head.run_id, FINISHED)
    of_event = system.stores.runs.of_event(announced)
    runs = [h for h in of_event if h.function_id == "sim.listener" and not again(journals[h.run_id])]
    unheard = _unheard(system, head.function_id, birth_name(journals[head.run_id]))
    if head.function_id != "sim.listener" and len(runs) != 1 and not unheard:
        problems.append(f"{where}: its end started {len(runs)} runs of the listener")
    spec = system.registry.function(head.function_id)
    if head.status == "failed" and spec is not None and spec.on_failure is not None:
        handled = ids.derived(spec.on_failure, ids.derived(head.run_id, FAILED))
        if system.stores.runs.head(handled) is None and not _unhandled(system, head):
            problems.append(f"{where}: its failure was not handled")
    return problems


def _unhandled(system: System, head: Head) -> bool:
    """Whether a failure may go unhandled: its function, and with it the handler, was gone between end and close."""
    ended = head.ended_at or 0
    return system.gone(head.function_id, ended - system.skew, system.closed.get(head.run_id, ended))


def birth_name(records: list[Record]) -> str | None:
    """The name of the event that began a run."""
    events = fold(records[:1]).birth.events
    return events[0].name if events else None


def _unheard(system: System, function_id: str, began_by: str | None) -> bool:
    """Whether an end may start nothing: its run was begun by an end, and its function was gone for a while."""
    return began_by in ENDS and None in system.declared.get(function_id, [None])


def _starts(system: System, heads: list[Head], journals: dict[str, list[Record]]) -> list[str]:
    """Every event is in exactly the runs that it should be in."""
    problems = []
    started = [
        (h, event_id)
        for h in heads
        if h.parent is None and not _joined(h) and not again(journals[h.run_id])
        for event_id in all_events(journals[h.run_id])
    ]
    times = Counter(
        (h.function_id, event_id)
        for h, event_id in started
        if not _cut_short(journals[h.run_id]) and not system.gathered_once(h.function_id)
    )
    problems += [f"{key} was started {n} times" for key, n in times.items() if n > 1]
    there = {(h.function_id, event_id) for h, event_id in started}
    sent = system.stores.events.page(EventQuery(limit=1_000))
    events = {event.id: event for event in [*system.accepted, *sent]}
    for event in events.values():
        for spec in system.registry.functions():
            if None in system.declared[spec.id] or system.moved(spec.id):
                continue  # it was not there all the time
            began: dict[str, Any] = event.data.get("event") or {} if event.name == FINISHED else {}
            if _unheard(system, str(event.data.get("function_id")), began.get("name")):
                continue
            should = start.takes(spec, event)
            has = (spec.id, event.id) in there
            if should and not has:
                problems.append(f"event {event.id} ({event.name}) did not start {spec.id}")
            if has and not should and not spec.id.endswith("-failure") and event.name not in (INVOKED, TIMER):
                problems.append(f"event {event.id} ({event.name}) started {spec.id}")
    return problems


def _joined(head: Head) -> bool:
    """Whether this is the run of a delayed event that has joined another one's."""
    return head.status == "skipped" and "has joined run" in (head.reason or "")


def _cut_short(records: list[Record]) -> bool:
    """Whether this is the run of a delayed event that was cancelled before it was known whose run the event joins."""
    birth = records[0]
    assert isinstance(birth, Started)
    return isinstance(records[-1], Cancelled) and len(records) == 2 and any(e.ts > birth.at for e in birth.events)


def again(records: list[Record]) -> bool:
    """Whether this run is a rerun."""
    return isinstance(records[0], Started) and records[0].again


def all_events(records: list[Record]) -> list[str]:
    """The ids of a run's events, also of those that its code is not given."""
    state = fold(records)
    return [event.id for event in (*state.birth.events, *(r.event for r in state.gathered if r.event is not None))]


def _executions(executions: list[Execution]) -> list[str]:
    """Code of one run runs in two places only where one of them is past its claim."""
    problems = []
    by_run: dict[str, list[Execution]] = {}
    for execution in executions:
        by_run.setdefault(execution.run_id, []).append(execution)
    for run_id, found in by_run.items():
        for one, other in pairwise(sorted((e for e in found if "[" not in e.step), key=lambda e: e.began)):
            ended = one.ended if one.ended is not None else one.began
            held = min(one.claim_until, other.claim_until) - 2 * SKEW
            if one.actor != other.actor and other.began < min(ended, held):
                where = f"{other.actor} while {one.step} ran in {one.actor}"
                problems.append(f"run {run_id}: {other.step} began in {where}")
    return problems


def _begun_again(system: System) -> list[str]:
    """No process begins an attempt that it has begun before. One that is killed goes on here until its next call."""
    times = Counter(
        (e.run_id, e.step, e.attempt, e.actor)
        for e in system.executions
        if "[" not in e.step and not system.actors[e.actor].killed and not system.actors[e.actor].failed
    )
    return [f"{actor} began {step} of {run_id} {n} times" for (run_id, step, _, actor), n in times.items() if n > 1]


def _waits_left(system: System, heads: list[Head]) -> list[str]:
    """... unless by a zombie that died, or lost its store, before it could see that the run had ended.

    Its message may be gone by then: another delivery of it went well.
    """
    closed = {head.run_id for head in heads if head.due is None}
    left = system.stores.waits_left()
    return [
        f"run {run_id} has ended, and left wait {key} behind"
        for run_id, key in left
        if run_id in closed and not (system.waiters[run_id, key].gone or system.waiters[run_id, key].failed)
    ]


def _missed(system: System, head: Head, records: list[Record]) -> list[str]:
    """No wait timed out that an event would have satisfied in time."""
    problems = []
    birth = records[0]
    assert isinstance(birth, Started)
    taken: set[tuple[str, str]] = set()
    waits = {b.key: b for r in records if isinstance(r, Suspended) for b in r.blocked if b.kind in ("wait", "signal")}
    for record in records:
        if not isinstance(record, Resolved):
            continue
        if record.event is not None:
            if not _given_up(system, head.run_id, record.key):
                taken.add((record.wait, record.event.id))
            problems += _slept_through(system, head, waits.get(record.key), record)
        elif record.key in waits and record.value is None and record.failure is None:
            problems += _overlooked(system, head, waits[record.key], taken)
    return problems


def _given_up(system: System, run_id: str, key: str) -> bool:
    """Whether this is the wait of `layers.given_up`, and its code went on without it."""
    return key == "lost" and system.seen.get((run_id, "gives is won by")) == [1]


def _slept_through(system: System, head: Head, blocked: Blocked | None, record: Resolved) -> list[str]:
    """Where nothing fails and nobody stands still, an event is not found by the look back at the timeout alone."""
    lid = any(act.do in ("clock", "lid") for act in system.scenario.acts)
    if blocked is None or record.event is None or system.scenario.faults or system.scenario.stalls or lid:
        return []
    there = max(record.event.effective_at, blocked.since)
    delayed = record.event.ts > record.event.received_at
    if record.at - there < 10_000 + (limits.SKEW + _SWEEP if delayed and system.skew else 0):
        return []  # where clocks differ a delayed event is seen to twice, the second time by the sweep
    return [f"{head.function_id} {head.run_id}: wait {blocked.key} slept through {record.event.id}, there at {there}"]


def _overlooked(system: System, head: Head, blocked: object, taken: set[tuple[str, str]]) -> list[str]:
    assert isinstance(blocked, Blocked)
    # An event on its way when the time ran out may be late: by a message that dies and comes again, and by stalls.
    margin = 400_000 if system.scenario.faults or system.scenario.stalls else 60_000
    where = f"{head.function_id} {head.run_id}: wait {blocked.key}"
    return [
        f"{where} timed out, but {event.id} was there"
        for wait in blocked.waits
        for event in system.stores.events.by_name(wait.name, wait.after, (blocked.until or 0) - margin, 10_000)
        if match_waits.accepts(system.plain, wait, event, taken)
    ]
