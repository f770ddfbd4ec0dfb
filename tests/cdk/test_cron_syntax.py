"""Compiled crons, read by a library that follows AWS's page on cron expressions and knows nothing of this project."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from aws_croniter import AwsCroniter
from aws_croniter.exceptions import AwsCroniterExpressionDayOfWeekError
from cdk.test_cron import CRONS, STARTS, converted, expected, known
from hypothesis import assume, example, given, settings

from tidemill_cdk.apps.cron import expressions

COUNT = 40  # ticks
WITHIN = timedelta(days=200)


def as_aws_reads(expression: str) -> AwsCroniter:
    """Raises where the expression is not in AWS's syntax."""
    return AwsCroniter(expression.removeprefix("cron(").removesuffix(")"))


def ticks(expression: str, start: datetime, last: datetime) -> set[datetime]:
    """From the values that the library reads in each field; its own search for the next tick does not always end."""
    read, day, found = as_aws_reads(expression), start.date(), set[datetime]()
    while day <= last.date():
        if day.month in read.months and (_of_month(read, day) if read.days_of_month else _of_week(read, day)):
            found |= {
                datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                for hour in read.hours
                for minute in read.minutes
            }
        day += timedelta(days=1)
    return {tick for tick in found if start < tick <= last}


def _of_month(read: AwsCroniter, day: date) -> bool:
    if read.days_of_month[0] == "L":
        return (day + timedelta(days=1 + read.days_of_month[1])).month != day.month
    return day.day in read.days_of_month


def _of_week(read: AwsCroniter, day: date) -> bool:
    number = day.isoweekday() % 7 + 1  # Sunday is 1
    if read.days_of_week[0] == "L":
        return number == read.days_of_week[1] and (day + timedelta(days=7)).month != day.month
    if read.days_of_week[0] == "#":
        return number == read.days_of_week[1] and (day.day - 1) // 7 + 1 == read.days_of_week[2]
    return number in read.days_of_week


@settings(max_examples=300, deadline=None)
@given(cron=CRONS, start=STARTS)
@example(cron="0 9 * * 1,3,5", start=datetime(2026, 11, 30, tzinfo=UTC))
@example(cron="0 9 * * */2", start=datetime(2026, 11, 30, tzinfo=UTC))
def test_the_library_reads_the_ticks_of_the_cron(cron: str, start: datetime):
    assume(known(cron))
    found = converted(cron)
    assume(found)
    wanted = expected(cron, "UTC", start, COUNT, WITHIN)
    last = wanted[-1] if wanted else start + WITHIN
    assert {tick for each in found for tick in ticks(each, start, last)} == set(wanted)


@pytest.mark.parametrize(
    ("cron", "days"),
    [("0 9 * * 1,3,5", "2,4,6"), ("0 9 * * */2", "1,3,5,7"), ("0 9 * * 1-5/2", "2,4,6"), ("0 9 * * 2/2", "3,5,7")],
)
def test_days_of_the_week_are_a_list(cron: str, days: str):
    assert expressions(cron) == [f"cron(0 9 ? * {days} *)"]


def test_the_library_refuses_a_step_of_days_of_the_week():
    with pytest.raises(AwsCroniterExpressionDayOfWeekError):
        as_aws_reads("cron(0 9 ? * 2/2 *)")
