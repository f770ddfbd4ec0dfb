"""Checks `on=`, the triggers of a function, and turns them into the form that the platform stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tidemill import limits
from tidemill.model import CronTrigger, EventTrigger
from tidemill.sdk.name_rules import awaited_problem, text_problem
from tidemill.sdk.triggers import Cron, Event
from tidemill.sdk.typed import Wanted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tidemill.declare.problems import Problems
    from tidemill.model import Trigger

_NO_NAME = (
    'the model {model} names no event; give its class `event_name: ClassVar[str] = "user/signed.up"`,'
    ' or write Event({model}, name="user/signed.up")'
)

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def triggers_of(on: Any, problems: Problems) -> tuple[tuple[Trigger, ...], type[BaseModel] | None]:
    """The triggers, and the model that all of them name, if any."""
    if on is None:
        return (), None
    given = list(cast("list[Any]", on)) if isinstance(on, (list, tuple)) else [on]
    if not given:
        problems.add("on", "the list is empty; leave it out if only invoke starts this function")
    if len(given) > limits.TRIGGERS:
        problems.add("on", f"a function has at most {limits.TRIGGERS} triggers, not {len(given)}")
    found: list[Trigger] = []
    for index, one in enumerate(given):
        where = f"on[{index}]" if len(given) > 1 else "on"
        trigger = _trigger(one, where, problems)
        if trigger is not None and trigger in found:
            problems.add(where, f"is the same trigger as on[{found.index(trigger)}]")
        if trigger is not None:
            found.append(trigger)
    return tuple(found), _model_of(given, problems)


def wanted_of(on: Any) -> tuple[Wanted, ...]:
    """Which versions of its events' data a function wants; of triggers that are in order."""
    given = list(cast("list[Any]", on)) if isinstance(on, (list, tuple)) else [on]
    return tuple(Wanted(str(one.name), one.v, one.model) for one in given if _says(one))


def _says(one: Any) -> bool:
    return isinstance(one, Event) and (one.v is not None or one.model is not None)


def _trigger(given: Any, where: str, problems: Problems) -> Trigger | None:
    if isinstance(given, str):
        problems.note(where, awaited_problem(given, wildcard=True))
        return EventTrigger(given)
    if isinstance(given, Cron):
        return _cron(given, where, problems)
    if isinstance(given, Event):
        return _event(cast("Event[object]", given), where, problems)
    name = given.__name__ if isinstance(given, type) else repr(given)
    problems.add(where, f"must be an event's name, Event(...) or Cron(...), not {name}")
    return None


def _event(given: Event[object], where: str, problems: Problems) -> Trigger | None:
    if given.model is not None and not hasattr(given.model, "model_validate"):
        problems.add(where, f"{given.model!r} is not a Pydantic model")
        return None
    if given.name is None and given.model is not None:
        problems.add(where, _NO_NAME.format(model=given.model.__name__))
        return None
    problems.note(where, awaited_problem(given.name, wildcard=True))
    if given.v is not None:
        problems.note(f"{where}.v", text_problem(given.v, "the version of an event", limits.EVENT_ID_CHARS))
    if given.when is not None:
        problems.expression(f"{where}.when", given.when)
    return EventTrigger(str(given.name), given.when)


def _cron(given: Cron, where: str, problems: Problems) -> Trigger:
    jitter = problems.duration(f"{where}.jitter", given.jitter, least=0, most=limits.DAY)
    fields = cron_fields(given.expr)
    problems.note(where, cron_problem(fields))
    problems.note(f"{where}.timezone", timezone_problem(given.timezone))
    return CronTrigger(fields, given.timezone, jitter)


def cron_fields(expr: Any) -> Any:
    """The five fields of a named schedule such as `@daily`; anything else as it is."""
    return _NICKNAMES.get(expr, expr) if isinstance(expr, str) else expr


def cron_problem(expr: Any) -> str | None:
    if isinstance(expr, str) and expr.startswith("@"):
        return f"a schedule by name is one of {', '.join(_NICKNAMES)}, not {expr!r}"
    if not isinstance(expr, str) or len(expr.split()) != 5:
        return f"a cron expression has five fields (minute hour day month weekday), not {expr!r}"
    from datetime import datetime  # imported late: functions without a schedule do not need them

    from cronsim import CronSim, CronSimError

    try:
        CronSim(expr, datetime(2024, 1, 1))  # noqa: DTZ001 - it wants some date to begin at
    except CronSimError as error:
        return f"the cron expression {expr!r} is wrong: {error}"
    return None


def timezone_problem(name: Any) -> str | None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        return f"there is no time zone {name!r}; write one such as 'Europe/Paris'"
    return None


def _model_of(given: list[Any], problems: Problems) -> type[BaseModel] | None:
    """A function has one type of data; otherwise a run would have to guess the type."""
    models = [cast("Event[object]", one).model if isinstance(one, Event) else None for one in given]
    if len(set(models)) > 1:
        names = ", ".join(model.__name__ for model in models if model is not None)
        problems.add("on", f"all triggers must give the same type of data, or none a model; here: {names}")
    return models[0] if models else None
