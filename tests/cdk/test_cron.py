"""Cron expressions in AWS's dialect fire when ours do: ours read by cronsim, AWS's by a model of its documentation."""

from __future__ import annotations

import calendar
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidemill.model import CronTrigger
from tidemill_cdk.apps.cron import expressions, schedules

EXPRESSION_CHARS = 256  # AWS's limit
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")


# AWS, as its documentation has it.


def aws_ticks(expression: str, zone: str, first: date, last: date) -> Iterator[datetime]:
    """When this schedule fires: a time that does not exist is skipped, one that exists twice fires once."""
    assert expression.startswith("cron(")
    minutes, hours, dom, months, dow, year = expression[5:-1].split()
    assert year == "*"
    assert (dom == "?") != (dow == "?")
    day = first
    while day <= last:
        if day.month in values(months, 1, 12) and (on_dom(dom, day) if dow == "?" else on_dow(dow, day)):
            for hour in sorted(values(hours, 0, 23)):
                for minute in sorted(values(minutes, 0, 59)):
                    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
                    if local.astimezone(UTC).astimezone(ZoneInfo(zone)) == local:
                        yield local.astimezone(UTC)
        day += timedelta(days=1)


def values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        if part == "*":
            found |= set(range(low, high + 1))
        elif "/" in part:
            start, step = part.split("/")
            found |= set(range(int(start), high + 1, int(step)))
        else:
            begin, _, end = part.partition("-")
            found |= set(range(int(begin), int(end or begin) + 1))
    assert found <= set(range(low, high + 1))
    return found


def on_dom(text: str, day: date) -> bool:
    if text == "L":
        return day.day == calendar.monthrange(day.year, day.month)[1]
    return day.day in values(text, 1, 31)


def on_dow(text: str, day: date) -> bool:
    number = (day.weekday() + 1) % 7 + 1  # Sunday is 1
    if text.endswith("L"):
        return number == int(text[:-1]) and day.day + 7 > calendar.monthrange(day.year, day.month)[1]
    if "#" in text:
        weekday, nth = map(int, text.split("#"))
        return number == weekday and (day.day + 6) // 7 == nth
    return number in values(text, 1, 7)


def fired(cron: str, zone: str, first: datetime, last: datetime) -> set[datetime]:
    days = (first.date() - timedelta(days=1), last.date() + timedelta(days=1))
    all_ = {tick for each in expressions(cron) for tick in aws_ticks(each, zone, *days)}
    return {tick for tick in all_ if first < tick <= last}


def expected(cron: str, zone: str, start: datetime, count: int, within: timedelta) -> list[datetime]:
    ticks: list[datetime] = []
    try:
        for moment in CronSim(cron, start.astimezone(ZoneInfo(zone))):
            tick = moment.astimezone(UTC)
            if tick - start > within:
                break
            ticks.append(tick)
            if len(ticks) == count:
                break
    except StopIteration:
        pass
    return ticks


def near_change(moment: datetime, zone: str) -> bool:
    """Whether the clocks change within four hours of it."""
    around = [(moment + timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in (-4, 4)]
    return around[0] != around[1]


# Random crons.


def field(low: int, high: int, *special: str) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), span, number.map(str)), st.integers(1, 12)).map(lambda p: f"{p[0]}/{p[1]}")
    one = st.one_of(number.map(str), span, step, *([st.sampled_from(special)] if special else []))
    several = st.lists(one, min_size=1, max_size=4).map(",".join)
    return st.one_of(st.just("*"), several)


MONTHS = ("JAN", "feb", "DEC")
WEEKDAYS = ("SUN", "mon", "SAT", "5L", "0#2", "7#1", "FRI#3", "7L")
CRONS = st.tuples(field(0, 59), field(0, 23), field(1, 31, "L"), field(1, 12, *MONTHS), field(0, 7, *WEEKDAYS)).map(
    " ".join
)
STARTS = st.integers(1_700_000_000, 1_900_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def known(cron: str) -> bool:
    try:
        CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True


def converted(cron: str) -> list[str]:
    """Its expressions in AWS; none where both days must match, or on the last weekday."""
    try:
        return expressions(cron)
    except ValueError as refused:
        if "AWS" not in str(refused):
            raise
        return []


@settings(max_examples=150, deadline=None)
@given(cron=CRONS, zone=st.sampled_from(ZONES), start=STARTS)
def test_aws_fires_when_the_cron_does(cron: str, zone: str, start: datetime):
    assume(known(cron))
    found = converted(cron)
    assume(found)
    assert all(len(expression) <= EXPRESSION_CHARS for expression in found)
    ticks = expected(cron, zone, start, 40, timedelta(days=200))
    last = ticks[-1] if ticks else start + timedelta(days=200)
    wanted = {tick for tick in ticks if not near_change(tick, zone)}
    assert {tick for tick in fired(cron, zone, start, last) if not near_change(tick, zone)} == wanted


@settings(max_examples=60, deadline=None)
@given(minute=st.integers(0, 59), hour=st.integers(0, 23), zone=st.sampled_from(ZONES), year=st.integers(2024, 2030))
def test_a_daily_time_fires_once_a_day_but_where_the_clocks_leave_it_out(minute: int, hour: int, zone: str, year: int):
    first, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    cron = f"{minute} {hour} * * *"
    ours = expected(cron, zone, first, 400, last - first)
    aws = fired(cron, zone, first, last)
    days = [tick.astimezone(ZoneInfo(zone)).date() for tick in aws]
    assert len(set(days)) == len(days)  # never twice, though a time may exist twice
    missed = set(ours) - aws
    assert len(missed) <= 1
    assert all(near_change(tick, zone) for tick in missed)  # cron makes up for a time that the clocks left out
    assert aws <= set(ours)


@pytest.mark.parametrize(
    ("cron", "aws"),
    [
        ("0 9 * * *", ["cron(0 9 * * ? *)"]),
        ("*/15 * * * *", ["cron(0/15 * * * ? *)"]),
        ("0 9 * * 1-5", ["cron(0 9 ? * 2-6 *)"]),
        ("0 9 * * 0", ["cron(0 9 ? * 1 *)"]),
        ("0 9 * * 7", ["cron(0 9 ? * 1 *)"]),
        ("0 9 * * SUN,mon", ["cron(0 9 ? * 1-2 *)"]),
        ("0 9 1,15 * *", ["cron(0 9 1,15 * ? *)"]),
        ("0 9 1 * 1", ["cron(0 9 1 * ? *)", "cron(0 9 ? * 2 *)"]),
        ("0 9 L * *", ["cron(0 9 L * ? *)"]),
        ("0 9 1,L * *", ["cron(0 9 1 * ? *)", "cron(0 9 L * ? *)"]),
        ("0 9 * * 5L", ["cron(0 9 ? * 6L *)"]),
        ("0 9 * * 1#1,1#3", ["cron(0 9 ? * 2#1 *)", "cron(0 9 ? * 2#3 *)"]),
        ("0 9 1-31 * 1", ["cron(0 9 * * ? *)"]),
        ("0 9 31 2 1", ["cron(0 9 ? 2 2 *)"]),
        ("5-50/9,7 1-3,5 * JAN,7-9 *", ["cron(5,7,14,23,32,41,50 1-3,5 * 1,7-9 ? *)"]),
    ],
)
def test_what_becomes_what(cron: str, aws: list[str]):
    assert expressions(cron) == aws


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("0 9 */2 * 1", "wants day of month and day of week both to match"),
        ("0 9 LW * *", "'LW', which AWS does not know"),
        ("0 25 * * *", "is wrong"),
    ],
)
def test_what_aws_cannot_is_told_with_what_to_do(cron: str, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        expressions(cron)


def test_the_longest_expression_fits():
    minutes = ",".join(f"{m}-{m + 1}" for m in range(10, 59, 3)) + ",0,2,4,6,8"
    hours = ",".join(f"{h}-{h + 1}" for h in range(0, 23, 3))
    days = ",".join(f"{d}-{d + 1}" for d in range(1, 31, 3))
    (expression,) = expressions(f"{minutes} {hours} {days} 1-2,4-5,7-8,10-11 *")
    assert 200 < len(expression) <= EXPRESSION_CHARS


def test_a_schedule_says_which_trigger_ticks_and_lets_scheduler_say_when():
    (schedule,) = schedules(CronTrigger("0 9 * * *", "Europe/Paris"))
    assert (schedule.expression, schedule.timezone, schedule.window) == ("cron(0 9 * * ? *)", "Europe/Paris", None)
    assert json.loads(schedule.input) == {
        "cron": {"cron": "0 9 * * *", "timezone": "Europe/Paris"},
        "at": "<aws.scheduler.scheduled-time>",
    }


@pytest.mark.parametrize(
    ("jitter", "window"), [(0, None), (59_999, None), (60_000, 1), (90_000, 1), (86_400_000, 1_440)]
)
def test_jitter_is_a_flexible_window(jitter: int, window: int | None):
    (schedule,) = schedules(CronTrigger("0 9 * * *", "UTC", jitter))
    assert schedule.window == window


def test_what_scheduler_sends_is_read_as_a_tick():
    from tidemill.aws.messages import types as message
    from tidemill.aws.messages.parse import read as read_message

    (schedule,) = schedules(CronTrigger("0 9 * * *", "Europe/Paris"))
    body = schedule.input.replace("<aws.scheduler.scheduled-time>", "2026-11-22T08:00:00Z")
    at = int(datetime(2026, 11, 22, 8, tzinfo=UTC).timestamp() * 1_000)
    assert read_message(body) == message.Tick("0 9 * * *", "Europe/Paris", at)
