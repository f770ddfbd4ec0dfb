"""What must be true of flow control: limits never exceeded, no place lost, nothing begun before its turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from simulation.system import SKEW, Execution, System

from tidemill.core.flow import collect, keys
from tidemill.core.flow import concurrency as places
from tidemill.core.journal import Claimed, Record
from tidemill.core.state import RunState, fold
from tidemill.limits import IDEMPOTENCY_MEMORY
from tidemill.model import FunctionSpec, Head, Place

Span = tuple[int, int]
Spans = dict[str, list[Span]]
LATER = 4 * 3_600_000


def broken(system: System, heads: list[Head], journals: dict[str, list[Record]]) -> list[str]:
    states = {head.run_id: fold(journals[head.run_id]) for head in heads}
    by_run: dict[str, list[Execution]] = defaultdict(list)
    for execution in system.executions:
        by_run[execution.run_id].append(execution)
    problems = []
    problems += _limits(system, heads, states, by_run)
    problems += _left(system)
    for spec in system.registry.functions():
        if spec.flow and not system.changed(spec.id):
            mine = [head for head in heads if head.function_id == spec.id and not _part(head)]
            problems += _throttled(spec, mine, states)
            problems += _rated(spec, mine, states)
            problems += _batched(spec, mine, states)
            problems += _unique(spec, mine, states)
            problems += _alone(spec, mine, states, by_run)
    return problems


def _part(head: Head) -> bool:
    return head.parent is not None and head.parent.chunk is not None


def _limits(
    system: System, heads: list[Head], states: dict[str, RunState], by_run: dict[str, list[Execution]]
) -> list[str]:
    """Never more than `limit` at a time. An executor past its claim is a zombie, and counts no more."""
    spans: Spans = defaultdict(list)
    limits: dict[str, int] = {}
    for head in heads:
        spec = system.registry.function(head.function_id)
        if spec is None or _part(head) or not states[head.run_id].birth.events:
            continue
        event = states[head.run_id].events[-1]
        for place in places.places(spec, event):
            limits[place.key] = max(place.limit, limits.get(place.key, 0))
            spans[place.key] += _spans(place, by_run[head.run_id])
    if any(map(system.changed, system.declared)):
        return []  # which limit held when is not known here
    return [
        f"{most} ran at a time under {key}, whose limit is {limits[key]}"
        for key, each in spans.items()
        if (most := _most(each)) > limits[key]
    ]


def _spans(place: Place, executions: list[Execution]) -> list[Span]:
    each = [
        (execution.began, min(execution.ended or execution.began, execution.claim_until - 2 * SKEW))
        for execution in executions
        # The items of a map run elsewhere. Cancelling the run frees its place, whatever they are still at.
        if place.counts == "steps" or "[" not in execution.step
    ]
    each = [(began, ended) for began, ended in each if ended > began]
    if place.counts == "steps" or not each:
        return _joined(each)
    return [(min(began for began, _ in each), max(ended for _, ended in each))]


def _joined(spans: list[Span]) -> list[Span]:
    """The branches of a run share its place."""
    joined: list[Span] = []
    for began, ended in sorted(spans):
        if joined and began < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(ended, joined[-1][1]))
        else:
            joined.append((began, ended))
    return joined


def _most(spans: Iterable[Span]) -> int:
    """How many of them overlap. One that ends when another begins does not."""
    changes = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _left(system: System) -> list[str]:
    """Nobody stands in line, and no place is lost: what a dead executor left behind is free in a while."""
    problems = [f"run {run_id} still stands in line" for run_id in system.stores.in_line()]
    strict = not (system.scenario.faults or system.scenario.stalls)
    now = system.loop.now + LATER
    for key, run_id, until in system.stores.places_held():
        head = system.stores.runs.head(run_id)
        over = head is None or head.due is None
        if strict or not over or until > now:
            problems.append(f"run {run_id} has left its place under {key} behind")
    return problems


def _throttled(spec: FunctionSpec, heads: list[Head], states: dict[str, RunState]) -> list[str]:
    """No run begins before its turn, and never more begin in a period than the throttle lets."""
    declared = spec.flow.get("throttle")
    if declared is None:
        return []
    early = [
        f"{spec.id} {head.run_id} began {state.admitted.begin - state.first_claim.at} ms before its turn"
        for head in heads
        if (state := states[head.run_id]).admitted is not None and state.first_claim is not None
        if state.admitted.begin is not None and state.first_claim.at < state.admitted.begin
    ]
    return early + _too_many(spec, heads, states, declared, declared["limit"] + declared["burst"] - 1)


def _rated(spec: FunctionSpec, heads: list[Head], states: dict[str, RunState]) -> list[str]:
    declared = spec.flow.get("rate_limit")
    again = [head for head in heads if not states[head.run_id].birth.again]
    return _too_many(spec, again, states, declared, declared["limit"]) if declared is not None else []


def _too_many(
    spec: FunctionSpec, heads: list[Head], states: dict[str, RunState], declared: dict[str, Any], most: int
) -> list[str]:
    """Where more than `most` runs of one key begin in a period; clocks differ."""
    starts: dict[str, list[int]] = defaultdict(list)
    for head in heads:
        state = states[head.run_id]
        if state.first_claim is not None:
            starts[keys.key("", declared.get("key"), state.events[-1]).text].append(state.first_claim.at)
    window = declared["period"] - 6 * SKEW
    return [
        f"{spec.id}: more than {most} starts from {at} on"
        for each in starts.values()
        for at in each
        if sum(at <= other < at + window for other in each) > most
    ]


def _batched(spec: FunctionSpec, heads: list[Head], states: dict[str, RunState]) -> list[str]:
    declared = spec.flow.get("batch") or {"max_size": 10**9}
    problems = []
    for head in heads:
        state = states[head.run_id]
        events = [
            event.id for event in (*state.birth.events, *(r.event for r in state.gathered if r.event is not None))
        ]
        if len(events) > declared["max_size"] or len(set(events)) < len(events):
            problems.append(f"{spec.id} {head.run_id}: its batch is {events}")
        if tuple(events) != head.event_ids and head.snapshot is None:  # else a debounce has dropped some
            problems.append(f"{spec.id} {head.run_id}: the head lists {head.event_ids}, the journal has {events}")
        if "debounce" in spec.flow and "batch" not in spec.flow and state.gathered:
            last = max(
                (*state.birth.events, *(r.event for r in state.gathered if r.event is not None)), key=collect.joined
            )
            if [collect.joined(e) for e in state.events] != [collect.joined(last)]:
                problems.append(f"{spec.id} {head.run_id}: {last.id} was the last, the code was given {state.events}")
    return problems


def _unique(spec: FunctionSpec, heads: list[Head], states: dict[str, RunState]) -> list[str]:
    written = spec.flow.get("idempotency")
    if written is None:
        return []
    ran: dict[str, list[int]] = defaultdict(list)
    for head in heads:
        admitted = states[head.run_id].admitted
        key = keys.key("", written, states[head.run_id].events[-1])
        if (
            head.status != "skipped"
            and admitted is not None
            and key.label != "null"
            and not states[head.run_id].birth.again
        ):
            ran[key.text].append(admitted.at)
    return [
        f"{spec.id}: runs have the idempotency key {key} at {one} and {other}"
        for key, times in ran.items()
        for one, other in pairwise(sorted(times))
        if other - one < IDEMPOTENCY_MEMORY - LATER
    ]


def _alone(
    spec: FunctionSpec, heads: list[Head], states: dict[str, RunState], by_run: dict[str, list[Execution]]
) -> list[str]:
    """One run at a time; one that was cancelled may still end its step."""
    declared = spec.flow.get("singleton")
    if declared is None:
        return []
    spans: Spans = defaultdict(list)
    for head in heads:
        state = states[head.run_id]
        if head.status in ("skipped", "cancelled") or not any(isinstance(r, Claimed) for r in [state.first_claim]):
            continue
        key = keys.key("", declared.get("key"), state.events[-1]).text
        spans[key] += _spans(Place("", 1, "runs"), by_run[head.run_id])
    return [f"{spec.id}: {_most(each)} runs at a time for {key}" for key, each in spans.items() if _most(each) > 1]
