"""Explains why a run's code is not executing: one reason for every state of a run.

The order is that of `next_action`, so the reason is what a check of the run would find: it has ended; its code
runs; its time has not come; its function is gone; it waits for something; it could go on, and its function is paused,
or its limits are full, or its turn has not come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tidemill import duration
from tidemill.core.flow import collect, keys
from tidemill.core.journal import Blocked, Ended
from tidemill.core.next_action import OVERDUE, UNBEGUN, next_action
from tidemill.core.state import RunState, suspended_status
from tidemill.core.step_keys import is_handed, step_of
from tidemill.core.view.values import error_view, time_view
from tidemill.model import Failure, FunctionSpec, Head, Pause, Place

Code = Literal[
    "ended", "begins_later", "queued", "running", "concurrency", "throttle", "debounce", "batch", "paused", "held",
    "sleep", "event", "signal", "child", "map", "retry", "draining", "dead_letter",
]  # fmt: skip

HOLDERS = 10  # of a place, that are named
WAITING = 100  # blocked steps that are named
_BY_KIND: dict[str, Code] = {"wait": "event", "signal": "signal", "invoke": "child", "map": "map", "sleep": "sleep"}


class Line(msgspec.Struct, frozen=True):
    """The first of its places that a run lacks: who holds them, and how many runs stand before it (None: it does not
    stand in line)."""

    place: Place
    holders: tuple[str, ...]
    ahead: int | None


class Facts(msgspec.Struct, frozen=True):
    """What the journal does not tell."""

    now: int
    alive: bool = False  # the executor that claimed the run may still be at work
    pause: Pause | None = None
    line: Line | None = None


class Why(msgspec.Struct, frozen=True):
    code: Code
    sentence: str
    details: dict[str, Any] = {}


class _Asked(msgspec.Struct, frozen=True):
    head: Head
    state: RunState
    spec: FunctionSpec | None
    facts: Facts


def why(head: Head, state: RunState, spec: FunctionSpec | None, facts: Facts) -> Why:
    asked = _Asked(head, state, spec, facts)
    return next(found for reason in _REASONS if (found := reason(asked)) is not None)


def _ended(asked: _Asked) -> Why | None:
    terminal = asked.state.terminal
    if terminal is None:
        return None
    if not isinstance(terminal, Ended):
        return Why("ended", f"The run has ended: {terminal.reason}.", {"reason": terminal.reason})
    error = error_view(terminal.failure)
    return Why("ended", f"The run has {terminal.status}.", {} if error is None else {"error": error})


def _timed_out(asked: _Asked) -> Why | None:
    found = next_action(asked.state, asked.head, asked.spec, asked.facts.alive, asked.facts.now)
    if found.do == "cancel" and found.reason in (OVERDUE, UNBEGUN):
        return Why("queued", f"The run is about to be cancelled: {found.reason}.")
    if found.do == "fail":
        return Why("queued", f"The run is about to fail: {found.reason}.")
    return None


def _running(asked: _Asked) -> Why | None:
    claim = asked.state.claim
    if claim is None or not asked.facts.alive:
        return None
    details = _details(by=claim.by, until=time_view(claim.until), attempt=asked.state.attempt)
    return Why("running", f"The run's code runs, claimed by {claim.by}.", details)


def _not_yet(asked: _Asked) -> Why | None:
    at = asked.head.not_before
    if at is None or at <= asked.facts.now:
        return None
    until, admitted = duration.iso(at), asked.state.admitted
    if admitted is not None and admitted.begin is not None:
        return _throttled(asked, until)
    gathering = _gathering(asked)
    if gathering == "batch":
        return Why("batch", f"The run collects events until {until}.", _gathered(asked, until))
    if gathering == "debounce":
        return Why(
            "debounce", f"The run begins at {until}, unless another event comes before.", _gathered(asked, until)
        )
    return Why("begins_later", f"The run's event takes effect at {until}.", {"until": until})


def _throttled(asked: _Asked, until: str) -> Why:
    declared = asked.spec.flow.get("throttle") if asked.spec is not None else None
    if asked.spec is None or declared is None:
        return Why("throttle", f"The run has its turn at {until}.", {"until": until})
    event = asked.state.events[-1] if asked.state.events else None
    label = keys.key(keys.family("throttle", asked.spec.id), declared.get("key"), event).label
    details = _details(limit=declared["limit"], period=duration.text(declared["period"]), key=label, until=until)
    rate = f"{declared['limit']} starts in {duration.text(declared['period'])}"
    return Why("throttle", f"The run has its turn at {until}: its function begins at most {rate}{_of(label)}.", details)


def _gathering(asked: _Asked) -> str | None:
    """By which of the two the run gathers events; a deploy may have taken the declaration away since."""
    if not asked.head.gathers:
        return None
    if asked.state.gathered:
        return "debounce" if asked.state.gathered[0].last else "batch"
    declared = collect.feature(asked.spec.flow) if asked.spec is not None else None
    return declared or ("debounce" if "(debounce)" in (asked.head.reason or "") else "batch")


def _gathered(asked: _Asked, until: str) -> dict[str, Any]:
    return {"until": until, "events": len(asked.head.event_ids)}


def _held(asked: _Asked) -> Why | None:
    if asked.spec is not None:
        return None
    name = asked.head.function_id
    return Why("held", f"Function {name} is not declared at present; deploy it, or cancel the run.", {"name": name})


def _retries(asked: _Asked) -> Why | None:
    failed, state = asked.state.failed, asked.state
    if failed is None or failed.retry_at <= asked.facts.now or state.suspended is not None or state.claim is not None:
        return None
    until = duration.iso(failed.retry_at)
    return _retry(f"Attempt {failed.attempt} of the function failed", failed.attempt, failed.failure, until)


def _retry(what: str, attempt: int, failure: Failure | None, until: str | None, name: str | None = None) -> Why:
    error = f" ({failure.type}: {failure.message})" if failure is not None else ""
    details = _details(name=name, attempt=attempt, error=error_view(failure), until=until)
    return Why("retry", f"{what}{error}; the next one is at {until}.", details)


def _blocked(asked: _Asked) -> Why | None:
    state, suspended = asked.state, asked.state.suspended
    if suspended is None or state.ready or (suspended.due is not None and suspended.due <= asked.facts.now):
        return None
    steps = sorted(state.blocked.values(), key=_first)
    if not steps:
        return Why("queued", "The run is about to go on.")
    reasons = [_step(asked, step) for step in steps[:WAITING]]
    first = reasons[0]
    several = [{"code": reason.code, **reason.details} for reason in reasons]
    return first if len(several) == 1 else Why(first.code, first.sentence, {**first.details, "waiting": several})


def _first(step: Blocked) -> tuple[int, float]:
    """What the run's status tells comes first: waits, sleeps, retries; of these, what ends soonest."""
    order = ("waiting", "sleeping", "running").index(suspended_status((step,)))
    return order, step.until if step.until is not None else float("inf")


def _step(asked: _Asked, step: Blocked) -> Why:
    name, until = step_of(step.key), time_view(step.until)
    if is_handed(step.key):
        details = _details(step=name, name=step.name, until=until)
        return Why("running", f"Step {name} runs elsewhere; its end is reported from there.", details)
    if step.kind not in _BY_KIND:
        tried = asked.state.tried.get(step.key)
        attempt, failure = (tried.attempt, tried.failure) if tried is not None else (1, None)
        return _retry(f"Attempt {attempt} of step {name} failed", attempt, failure, until, name)
    code = _BY_KIND[step.kind]
    at_most = f", at most until {until}" if until is not None else ""
    sentence = {
        "event": f"Step {name} waits for event {step.name}{at_most}.",
        "signal": f"Step {name} waits for signal {step.name}{at_most}.",
        "child": f"Step {name} waits for the end of a run of {step.name}{at_most}.",
        "map": f"Step {name} waits for its {asked.state.begun.get(step.key, 'started')} parts{at_most}.",
        "sleep": f"Step {name} sleeps until {until}.",
    }[code]
    return Why(code, sentence, _details(step=name, name=step.name if code not in ("map", "sleep") else "", until=until))


def _paused(asked: _Asked) -> Why | None:
    pause, name = asked.facts.pause, asked.head.function_id
    if pause is None:
        return None
    by = f" by {pause.by}" if pause.by else ""
    sentence = f"Function {name} has been paused{by} since {duration.iso(pause.at)}; resume it to go on."
    return Why("paused", sentence, _details(name=name, by=pause.by, since=duration.iso(pause.at)))


def _in_line(asked: _Asked) -> Why | None:
    line = asked.facts.line
    if line is None:
        return None
    place, used = line.place, len(line.holders)
    details = _details(
        limit=place.limit,
        key=place.label,
        used=used,
        ahead=line.ahead,
        holders=list(line.holders[:HOLDERS]),
    )
    places = "place is" if place.limit == 1 else "places are"
    full = f"{used} of {place.limit} {places} in use{_of(place.label)}"
    stand = "run stands" if line.ahead == 1 else "runs stand"
    before = f"{line.ahead} {stand} before it" if line.ahead is not None else "it is about to stand in line"
    return Why("concurrency", f"The run waits for a place: {full}, and {before}.", details)


def _queued(asked: _Asked) -> Why:
    if asked.state.claim is not None:
        return Why("queued", f"The process that ran the code is gone ({asked.state.claim.by}); another one takes over.")
    return Why("queued", "The run can go on now; it waits for a worker to take it.")


def _of(label: str) -> str:
    return f" for {label!r}" if label else ""


def _details(**said: Any) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None and value != ""}


_REASONS: tuple[Callable[[_Asked], Why | None], ...] = (
    _ended, _timed_out, _running, _not_yet, _held, _retries, _blocked, _paused, _in_line, _queued,
)  # fmt: skip
