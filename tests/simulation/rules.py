"""What must be true of times, limits and ends: each rule a sentence, and what breaks it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from simulation.acts import API
from simulation.cron import missed_ticks
from simulation.dry import replays_agree_dry
from simulation.view import View, events_of, is_part

from tidemill import values
from tidemill.core.flow import keys
from tidemill.core.journal import Cancelled, Ended, Resolved, StepDone, Suspended, encode
from tidemill.model import Head

MINUTE, HOUR = 60_000, 3_600_000
Rule = Callable[[View], Iterator[str]]


def replays_agree(view: View) -> Iterator[str]:
    """Every execution of a run's code is given the same values, and takes the same branches."""
    yield from view.system.differs


def nothing_is_passed_by(view: View) -> Iterator[str]:
    """Code reaches every step that its run remembers, unless the run was run again with another input."""
    for passed in view.system.passed:
        edited = view.states[passed.run_id].birth.again and passed.run_id not in view.system.reruns
        if not edited:
            yield str(passed)


def journal_agrees(view: View) -> Iterator[str]:
    """What code was given by a step is what the journal remembers of it."""
    for run_id, records in view.journals.items():
        for record in records:
            if isinstance(record, StepDone) and record.kind == "run" and record.value is not None:
                gave = values.decode(record.value)
                saw = view.system.seen.get((run_id, record.key), gave)
                if saw != gave:
                    yield f"run {run_id}: step {record.key} gave {gave}, and the code was given {saw}"


def nothing_before_its_ts(view: View) -> Iterator[str]:
    """No event starts, resolves or cancels anything before its `ts`."""
    for head in [] if view.clock_set else view.heads:
        state = view.states[head.run_id]
        first = state.first_claim
        if is_part(head) or state.birth.again:
            continue
        for event in state.events:
            if first is not None and first.at < event.ts - view.skew:
                yield f"{where(head)} began {event.ts - first.at} ms before the ts of {event.id}"
        for record in view.journals[head.run_id]:
            if isinstance(record, Resolved) and record.event is not None:
                early = record.event.ts - view.skew - record.at
                if early > 0:
                    yield f"{where(head)}: {record.event.id} resolved {record.key} {early} ms too soon"


def throttled_starts(view: View) -> Iterator[str]:
    """No window has more starts than the throttle declares."""
    for spec, declared, heads in _declared(view, "throttle"):
        limit, period, burst = declared["limit"], declared["period"], declared["burst"]
        for starts in _starts(view, heads, declared):
            for n, at in enumerate(starts):
                for m in range(n + 1, len(starts)):
                    window = starts[m] - at + view.skew
                    if (m - n + 1 - burst) * period >= (window + 1) * limit:
                        yield f"{spec}: {m - n + 1} starts within {window} ms from {at} on, under {declared}"
                        return


def rated_starts(view: View) -> Iterator[str]:
    """No period has more starts than the rate limit declares."""
    for spec, declared, heads in _declared(view, "rate_limit"):
        for starts in _starts(view, heads, declared):
            for at in starts:
                count = sum(at <= other < at + declared["period"] - view.skew for other in starts)
                if count > declared["limit"]:
                    yield f"{spec}: {count} starts in one period from {at} on, under {declared}"
                    return


def _declared(view: View, feature: str) -> Iterator[tuple[str, dict[str, Any], list[Head]]]:
    if view.clock_set:
        return
    for spec in view.system.registry.functions():
        if feature in spec.flow and not view.system.changed(spec.id):
            heads = [h for h in view.heads if h.function_id == spec.id and not is_part(h)]
            yield spec.id, spec.flow[feature], heads


def _starts(view: View, heads: list[Head], declared: dict[str, Any]) -> list[list[int]]:
    """When code began for the first time, by key."""
    found: dict[str, list[int]] = defaultdict(list)
    for head in heads:
        state = view.states[head.run_id]
        if state.first_claim is not None and not state.birth.again:
            found[keys.key("", declared.get("key"), state.events[-1]).text].append(state.first_claim.at)
    return [sorted(each) for each in found.values()]


def nothing_after_the_end(view: View) -> Iterator[str]:
    """No step of a run, and no item of its maps, begins after its end, beyond what was under way."""
    grace = (2_000 if view.system.skew else 500) if view.calm else 3 * HOUR
    for head in [] if view.clock_set else view.heads:
        whole = head.run_id if not is_part(head) else head.parent.run_id  # type: ignore[union-attr]
        end = view.states[whole].terminal if whole in view.states else None
        if end is None:
            continue
        for execution in view.executions[head.run_id]:
            late = execution.began - end.at - view.skew
            if late > grace:
                yield f"{where(head)}: {execution.step} began {late} ms after the end of run {whole}"
                break


def cancelled_for_a_reason(view: View) -> Iterator[str]:
    """Whoever was cancelled was to be: by its event, by hand, by its timeouts, by a singleton, with its parent."""
    for head in view.heads:
        end = view.states[head.run_id].terminal
        if isinstance(end, Cancelled) and not _to_be_cancelled(view, head, end):
            yield f"{where(head)} was cancelled: {end.reason}"


def _to_be_cancelled(view: View, head: Head, end: Cancelled) -> bool:
    state, reason = view.states[head.run_id], end.reason
    specs = [each for each in view.system.declared.get(head.function_id, []) if each is not None]
    if reason == API:
        return head.run_id in view.system.api_cancelled
    if "start timeout" in reason:
        return state.first_claim is None and any(s.timeouts.start is not None for s in specs)
    if "finish timeout" in reason:
        return any(s.timeouts.finish is not None for s in specs)
    if "singleton" in reason:
        return any(s.flow.get("singleton", {}).get("mode") == "cancel" for s in specs) and head.run_id not in reason
    if "parent" in reason:
        parent = view.states.get(head.parent.run_id) if head.parent is not None else None
        return parent is not None and parent.terminal is not None
    own = events_of(state)[0]
    for event_id, event in view.system.known_events().items():
        if event_id in reason:
            fits = any(c.name == event.name for s in specs for c in s.cancel_on)
            return fits and event.user == own.user and event.ts <= end.at + view.skew
    return False


def cancelled_where_it_should_be(view: View) -> Iterator[str]:
    """A run that goes on for a minute after its cancelling event was there has been cancelled by it."""
    if view.clock_set:
        return
    patience = MINUTE if view.calm else 3 * HOUR
    for head in view.heads:
        spec = view.system.registry.function(head.function_id)
        state = view.states[head.run_id]
        if spec is None or not spec.cancel_on or is_part(head) or view.system.changed(spec.id) or state.birth.again:
            continue
        own, end = events_of(state)[0], state.terminal
        if end is None or isinstance(end, Cancelled):
            continue
        for event in view.system.known_events().values():
            there = max(event.received_at, event.ts, state.birth.at)
            fits = any(c.name == event.name for c in spec.cancel_on) and event.user == own.user
            after_own = event.received_at > own.received_at + view.skew and event.id != own.id
            if fits and after_own and there + patience < end.at:
                yield f"{where(head)} ended at {end.at}, though {event.id} was there at {there} to cancel it"
                break


def no_free_place_beside_a_line(view: View) -> Iterator[str]:
    """A place is never free while someone waits for it, but for as long as a message takes."""
    yield from view.system.idle_places.problems


def growth_is_linear(view: View) -> Iterator[str]:
    """What a run writes and has read grows with what happened to it, not with its square."""
    for head in view.heads:
        records = view.journals[head.run_id]
        told = sum(len(record.blocked) for record in records if isinstance(record, Suspended))
        if told > 20 * len(records) + 200:
            yield f"{where(head)}: {len(records)} records name {told} blocked steps"
        size = sum(len(encode(record)) for record in records)
        work = view.system.meter[head.run_id]
        if work["snapshot bytes"] > 20 * size + 20_000:
            yield f"{where(head)}: {work['snapshot bytes']} bytes of snapshots for a journal of {size}"
        hours = (view.system.loop.now - head.created_at) // HOUR  # in each of which it is looked at again
        most = min(len(records), view.system.scenario.snapshot_every + 20) * (12 * len(records) + 20 * hours)
        stuck = view.system.scenario.stalls >= 100  # nearly every look dies, and comes again
        if (
            not stuck and work["records read"] > most + 5_000
        ):  # a newcomer asks a singleton's holder up to a hundred times
            yield f"{where(head)}: {work['records read']} records were read, of a journal of {len(records)}"


def ended_in_time(view: View) -> Iterator[str]:
    """No run ends by itself after its finish timeout, but with the step that was under way."""
    if view.clock_set:
        return
    for head in view.heads:
        end = view.states[head.run_id].terminal
        if isinstance(end, Ended) and head.finish_by is not None and end.at > head.finish_by + view.skew + 1_000:
            yield f"{where(head)} ended {end.at - head.finish_by} ms after its finish timeout"


def reruns_agree(view: View) -> Iterator[str]:
    """A run that goes on from a step of another one remembers what that one did, and took the same branches."""
    for new_id, old_id in view.system.reruns.items():
        copied = {r.key for r in view.journals[new_id] if isinstance(r, StepDone)} if new_id in view.journals else set()
        for (run_id, what), won in view.system.seen.items():
            race = what.removesuffix(" is won by")
            if run_id == old_id and race != what and f"{race}-{won}" in copied:
                again = view.system.seen.get((new_id, what), won)
                if again != won:
                    yield f"run {new_id}: {what} is {again}; it was {won} in run {old_id}, whose rerun it is"


def edited_reruns_have_their_input(view: View) -> Iterator[str]:
    """A run that is run again with another input has it as its event's data."""
    for run_id, n in view.system.edited.items():
        if run_id in view.states and (data := view.states[run_id].events[0].data) != {"n": n}:
            yield f"run {run_id}: its event holds {data}, and it was run again with another input, {n}"


def where(head: Head) -> str:
    return f"{head.function_id} {head.run_id}"


RULES: tuple[Rule, ...] = (
    replays_agree,
    nothing_is_passed_by,
    journal_agrees,
    nothing_before_its_ts,
    throttled_starts,
    rated_starts,
    nothing_after_the_end,
    cancelled_for_a_reason,
    cancelled_where_it_should_be,
    no_free_place_beside_a_line,
    growth_is_linear,
    ended_in_time,
    reruns_agree,
    edited_reruns_have_their_input,
    missed_ticks,
    replays_agree_dry,
)


# What the engine does not hold yet, and `--all` asks all the same.
PENDING: frozenset[Rule] = frozenset()


def broken(view: View) -> list[str]:
    rules = [rule for rule in RULES if view.system.scenario.everything or rule not in PENDING]
    return [problem for rule in rules for problem in rule(view)]
