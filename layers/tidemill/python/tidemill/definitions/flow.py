"""The options of a definition besides its steps: triggers, flow control, cancellation, timeouts.

Definitions have the same features as Python, with the same checks: the file's values become the objects that Python
code would have written (`sdk.flow`), and the problems that `declare.flow` finds are reported under the file's names.
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from tidemill import limits
from tidemill.core.expression import ExpressionError
from tidemill.core.match import check as check_match
from tidemill.declare.flow import check_together, flow_of
from tidemill.declare.problems import Problems
from tidemill.declare.triggers import cron_fields, cron_problem, timezone_problem
from tidemill.definitions.expressions import ASYNC, EVENT, rooted
from tidemill.definitions.strict_json import join
from tidemill.model import CancelSpec, CronTrigger, EventTrigger, TimeoutSpec, Trigger
from tidemill.sdk.flow import Batch, Concurrency, Debounce, RateLimit, Singleton, Throttle
from tidemill.sdk.name_rules import awaited_problem

# By the file's name: as the declaration calls it, and the class that holds it.
_FEATURES: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "concurrency": ("concurrency", Concurrency),
    "throttle": ("throttle", Throttle),
    "rateLimit": ("rate_limit", RateLimit),
    "debounce": ("debounce", Debounce),
    "batchEvents": ("batch", Batch),
    "singleton": ("singleton", Singleton),
}
_EXPRESSIONS = ("priority", "idempotency")
_SNAKE = {"maxSize": "max_size"}
_HERE = {"rate_limit": "rateLimit", "cancel_on": "cancel", "batch": "batchEvents", "max_size": "maxSize"}


def triggers_of(given: list[Any], problems: Problems) -> tuple[Trigger, ...]:
    """The triggers, whose shape has been checked."""
    found: list[Trigger] = []
    for index, one in enumerate(given):
        trigger = _trigger(one or {}, f"triggers[{index}]", problems)
        if trigger is not None and trigger in found:
            problems.add(f"triggers[{index}]", f"is the same trigger as triggers[{found.index(trigger)}]")
        if trigger is not None:
            found.append(trigger)
    return tuple(found)


def _trigger(given: dict[str, Any], where: str, problems: Problems) -> Trigger | None:
    if "cron" in given:
        fields = cron_fields(given["cron"])
        problems.note(f"{where}.cron", cron_problem(fields))
        zone = given.get("timezone", "UTC")
        problems.note(f"{where}.timezone", timezone_problem(zone))
        jitter = problems.duration(f"{where}.jitter", given.get("jitter", 0), least=0, most=limits.DAY)
        return CronTrigger(fields, zone, jitter)
    if "event" not in given:
        return None
    problems.note(f"{where}.event", awaited_problem(given["event"], wildcard=True))
    when = rooted(given["expression"], EVENT, f"{where}.expression", problems) if "expression" in given else None
    return EventTrigger(given["event"], when)


def flow_control(given: dict[str, Any], triggers: tuple[Trigger, ...], problems: Problems) -> dict[str, Any]:
    """The flow control of a definition, in the manifest's form."""
    options: dict[str, Any] = {"cancel_on": given.get("cancel")}
    for name, (option, kind) in _FEATURES.items():
        if isinstance(given.get(name), list):
            made = [_made(kind, one, join(name, index), problems) for index, one in enumerate(given[name])]
            options[option] = [one for one in made if one is not None]
        elif name in given:
            options[option] = _made(kind, given[name], name, problems)
    for name in _EXPRESSIONS:
        if name in given:
            options[name] = rooted(given[name], EVENT, name, problems)
    options = {option: made for option, made in options.items() if made not in (None, [])}
    here = _Here(problems)
    flow = flow_of(options, here)
    check_together(options, flow, triggers, here)
    return flow


def _made(kind: type[msgspec.Struct], given: dict[str, Any] | None, where: str, problems: Problems) -> Any:
    """The object that Python code would have written; None if a required field is missing or wrong."""
    fields = {_SNAKE.get(name, name): value for name, value in (given or {}).items()}
    if "key" in fields:
        fields["key"] = rooted(fields["key"], EVENT, f"{where}.key", problems)
        if fields["key"] is None:
            return None
    required = kind.__struct_fields__[: -len(kind.__struct_defaults__)]
    return kind(**fields) if all(name in fields for name in required) else None


class _Here(Problems):
    """Passes problems on under the file's names."""

    def __init__(self, problems: Problems) -> None:
        super().__init__()
        self._problems = problems

    def add(self, where: str, problem: str) -> None:
        parts = [_HERE.get(part, part) for part in where.split(".")]
        # The user wrote the text in quotes.
        said = re.sub(r"('[^']*'|\"[^\"]*\")|\b(rate_limit|cancel_on|max_size|on=)", _said, problem)
        self._problems.add(".".join(parts), said)


def _said(found: re.Match[str]) -> str:
    return found[1] or {**_HERE, "on=": "triggers"}[found[2]]


def cancel_of(given: Any, problems: Problems) -> tuple[CancelSpec, ...]:
    """The events that cancel a run: one, or a list."""
    several = cast("list[dict[str, Any] | None]", given) if isinstance(given, list) else [given]
    found: list[CancelSpec] = []
    for index, one in enumerate(several):
        where = f"cancel[{index}]" if isinstance(given, list) else "cancel"
        if one and "event" in one:
            found.append(_cancel(one, where, problems))
    return tuple(found)


def _cancel(given: dict[str, Any], where: str, problems: Problems) -> CancelSpec:
    problems.note(f"{where}.event", awaited_problem(given["event"]))
    if "match" not in given and "if" not in given:
        problems.add(where, 'would cancel every run; give match or if, or write "if": "true" if you mean that')
    if "match" in given:
        try:
            check_match(match=given["match"])
        except ExpressionError as error:
            problems.add(f"{where}.match", str(error).replace("belongs in when", "belongs in if"))
    when = rooted(given["if"], ASYNC, f"{where}.if", problems) if "if" in given else None
    timeout = problems.duration(f"{where}.timeout", given["timeout"]) if "timeout" in given else None
    return CancelSpec(given["event"], given.get("match"), when, timeout)


def timeouts_of(given: dict[str, Any], problems: Problems) -> TimeoutSpec:
    times = {name: problems.duration(f"timeouts.{name}", value) for name, value in given.items()}
    return TimeoutSpec(**times)
