"""Explains why a run's code is not executing: one reason for every state of a run.

It explains the `next_action`, so the reason is what a check of the run would find. A run whose code could go on may
have a function that is paused, or limits that are full; else it waits for a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tidemill import duration
from tidemill.core.flow import collect, keys
from tidemill.core.journal import Blocked, Ended
from tidemill.core.next_action import next_action
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
    action = next_action(state, head, spec, facts.alive, facts.now)
    match action.do:
        case "finish":
            return _ended(asked)
        case "cancel":
            return Why("queued", f"The run is about to be cancelled: {action.reason}.")
        case "fail":
            return Why("queued", f"The run is about to fail: {action.reason}.")
        case "hold":
            return _held(asked)
        case "later":
            return _LATER[action.awaits](asked)
        case "claim":
            return _paused(asked) or _in_line(asked) or _queued(asked)


def _ended(asked: _Asked) -> Why:
    terminal = asked.state.terminal
    assert terminal is not None
    if not isinstance(terminal, Ended):
        return Why("ended", f"The run has ended: {terminal.reason}.", {"reason": terminal.reason})
    error = error_view(terminal.failure)
    return Why("ended", f"The run has {terminal.status}.", {} if error is None else {"error": error})


def _running(asked: _Asked) -> Why:
    claim = asked.state.claim
    assert claim is not None
    details = _details(by=claim.by, until=time_view(claim.until), attempt=asked.state.attempt)
    return Why("running", f"The run's code runs, claimed by {claim.by}.", details)


def _not_yet(asked: _Asked) -> Why:
    at, admitted = asked.head.not_before, asked.state.admitted
    assert at is not None
    until = duration.iso(at)
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


def _held(asked: _Asked) -> Why:
    name = asked.head.function_id
    return Why("held", f"Function {name} is not declared at present; deploy it, or cancel the run.", {"name": name})


def _retries(asked: _Asked) -> Why:
    failed = asked.state.failed
    assert failed is not None
    until = duration.iso(failed.retry_at)
    return _retry(f"Attempt {failed.attempt} of the function failed", failed.attempt, failed.failure, until)


def _retry(what: str, attempt: int, failure: Failure | None, until: str | None, name: str | None = None) -> Why:
    error = f" ({failure.type}: {failure.message})" if failure is not None else ""
    details = _details(name=name, attempt=attempt, error=error_view(failure), until=until)
    return Why("retry", f"{what}{error}; the next one is at {until}.", details)


def _blocked(asked: _Asked) -> Why:
    steps = sorted(asked.state.blocked.values(), key=_first)
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


_LATER: dict[str, Callable[[_Asked], Why]] = {
    "executor": _running,
    "beginning": _not_yet,
    "attempt": _retries,
    "steps": _blocked,
}
