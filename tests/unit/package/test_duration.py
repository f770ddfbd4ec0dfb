from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill import duration


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (0, 0),
        (5, 5_000),
        (0.25, 250),
        (timedelta(minutes=5), 300_000),
        (timedelta(microseconds=1_500), 2),
        ("250ms", 250),
        ("0s", 0),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        (" 3d ", 259_200_000),
        ("2w", 1_209_600_000),
        ("1.5h", 5_400_000),
        ("1m1s1ms", 61_001),
    ],
)
def test_reads_durations(value: str | float | timedelta, milliseconds: int) -> None:
    assert duration.parse(value) == milliseconds


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("5", "units: ms s m h d w"),
        ("5 minutes", "units"),
        ("5y", "units"),
        ("h", "units"),
        ("1h30", "units"),
        ("1H", "units"),
        ("٣s", "units"),  # digits, but none that anyone types here
        ("-5m", "negative"),
        (-1, "negative"),
        (timedelta(seconds=-1), "negative"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (1e308, "finite"),
        ("9" * 400 + "d", "finite"),
        (True, "not a duration"),
        (None, "not a duration"),
        (b"5m", "not a duration"),
    ],
)
def test_refuses_what_is_no_duration(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        duration.parse(value)  # type: ignore[arg-type]  # the mistakes that untyped callers make
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (250, "250ms"), (5_400_000, "1h30m"), (259_200_000, "3d"), (1_500, "1s500ms"), (60_000, "1m")],
)
def test_writes_durations(milliseconds: int, text: str) -> None:
    assert duration.text(milliseconds) == text


@given(st.integers(min_value=0, max_value=366 * 86_400_000))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    assert duration.parse(duration.text(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-01T09:00:00Z",
        "2026-11-01T09:00:00.000Z",
        "2026-11-01T09:00:00",
        "2026-11-01 09:00",
        "2026-11-01T10:00:00+01:00",
        "20261101T090000Z",
        datetime(2026, 11, 1, 9, tzinfo=UTC),
        datetime(2026, 11, 1, 4, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_reads_times(value: str | datetime) -> None:
    assert duration.parse_time(value) == 1_793_523_600_000
    assert duration.iso(duration.parse_time(value)) == "2026-11-01T09:00:00.000Z"


def test_a_date_is_its_midnight_in_utc() -> None:
    assert duration.iso(duration.parse_time("2026-11-01")) == "2026-11-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (datetime(2026, 11, 1), "no time zone"),  # noqa: DTZ001 - the mistake under test
        ("tomorrow", "ISO 8601"),
        ("", "ISO 8601"),
        ("1793523600000", "ISO 8601"),
        (date(2026, 11, 1), "aware datetime"),
        (1_793_523_600_000, "aware datetime"),
    ],
)
def test_refuses_what_is_no_time(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        duration.parse_time(value)  # type: ignore[arg-type]  # the mistakes that untyped callers make


@given(st.integers(min_value=-(10**12), max_value=10**14))
def test_a_written_time_reads_back(milliseconds: int) -> None:
    assert duration.parse_time(duration.iso(milliseconds)) == milliseconds
