"""Translates a cron trigger into schedules of EventBridge Scheduler.

Five fields become six, in AWS's syntax: days of the week count from 1 (Sunday), the year is `*`, and one of the two day
fields must be `?`. A cron that restricts both days matches either: it becomes two schedules. A value that AWS allows
only by itself in its field (`L`, `5L`, `2#1`) becomes a separate schedule, too. Two that fire at the same time are
harmless: a tick's event derives its id from function, trigger and time, so the second starts nothing.

At a change to or from summer time AWS skips a time that does not exist, and fires once for one that exists twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from tidemill.limits import MINUTE
from tidemill.model import CronTrigger

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"  # Scheduler replaces it by the tick's time, "2026-11-22T09:00:00Z"
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Schedule(NamedTuple):
    """One recurring schedule. `window`: minutes within which it may fire (None: no flexible window)."""

    expression: str
    timezone: str
    window: int | None
    input: str


def schedules(trigger: CronTrigger) -> list[Schedule]:
    """The schedules of this trigger. Raises ValueError with the alternative.

    Jitter is the schedule's flexible window, in whole minutes; less than a minute is within Scheduler's precision.
    """
    window = trigger.jitter // MINUTE or None
    body = {"cron": {"cron": trigger.cron, "timezone": trigger.timezone}, "at": SCHEDULED_TIME}
    told = json.dumps(body, separators=(",", ":"))
    return [Schedule(expression, trigger.timezone, window, told) for expression in expressions(trigger.cron)]


def expressions(cron: str) -> list[str]:
    """The `cron(...)` expressions that together fire when this cron does. Raises ValueError."""
    try:
        parsed = CronSim(cron, datetime(2024, 1, 1))  # noqa: DTZ001 - it wants some date to begin at
    except CronSimError as error:
        raise ValueError(f"the cron expression {cron!r} is wrong: {error}") from None
    minutes, hours = _stepped(parsed.minutes, 0, 59), _stepped(parsed.hours, 0, 23)
    months = _stepped(parsed.months, 1, 12)
    return [f"cron({minutes} {hours} {dom} {months} {dow} *)" for dom, dow in _days(cron, parsed)]


def _days(cron: str, parsed: CronSim) -> list[tuple[str, str]]:
    """Day of month and day of week of each expression: one of the two is `?`."""
    numbers = {day for day in parsed.days if day > 0}
    weekdays = {day % 7 + 1 for day in parsed.weekdays if isinstance(day, int)}
    every_day, every_weekday = len(numbers) == 31, len(weekdays) == 7
    if (every_day and every_weekday) or (not parsed.day_and and (every_day or every_weekday)):
        return [("*", "?")]
    if parsed.day_and and not (every_day or every_weekday):
        raise ValueError(
            f"the cron expression {cron!r} wants day of month and day of week both to match (one of them begins with "
            "'*'), which AWS cannot; write '*' for one of them, and test the other in the function"
        )
    doms = () if every_day else _doms(cron, parsed, numbers)
    dows = () if every_weekday else _dows(parsed, weekdays)
    return [*[(dom, "?") for dom in doms], *[("?", dow) for dow in dows]]


def _doms(cron: str, parsed: CronSim, numbers: set[int]) -> Iterator[str]:
    if CronSim.LAST_WEEKDAY in parsed.days:
        raise ValueError(f"the cron expression {cron!r} has 'LW', which AWS does not know; name the days instead")
    longest = max(_DAYS_IN_MONTH[month - 1] for month in parsed.months)
    if numbers and min(numbers) <= longest:  # AWS refuses an expression that never fires
        yield _stepped(numbers, 1, 31)
    if CronSim.LAST in parsed.days:
        yield "L"


def _dows(parsed: CronSim, weekdays: set[int]) -> Iterator[str]:
    if weekdays:
        yield _listed(sorted(weekdays))  # AWS documents no step for days of the week
    for day in sorted(each for each in parsed.weekdays if not isinstance(each, int)):
        weekday, number = day[0] % 7 + 1, day[1]
        yield f"{weekday}L" if number == CronSim.LAST else f"{weekday}#{number}"


def _stepped(values: Iterable[int], low: int, high: int) -> str:
    """The values in AWS's syntax: all, a step from a start, or a list of numbers and ranges.

    Never so long that an expression exceeds AWS's 256 characters.
    """
    found = sorted(values)
    if len(found) == high - low + 1:
        return "*"
    step = found[1] - found[0] if len(found) > 2 else 1
    if step > 1 and found == list(range(found[0], high + 1, step)):
        return f"{found[0]}/{step}"
    return _listed(found)


def _listed(found: list[int]) -> str:
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in _ranges(found))


def _ranges(found: list[int]) -> Iterator[tuple[int, int]]:
    first = last = found[0]
    for value in found[1:]:
        if value != last + 1:
            yield first, last
            first = value
        last = value
    yield first, last
