"""Durations and times as the engine keeps them: whole milliseconds.

A duration is a count of milliseconds, a time is milliseconds since the epoch. Text is read and
written only at the edges, by the functions of this file.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_DATE = re.compile(r"\d{4}-?\d\d", re.ASCII)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_RETRY_FORMS = "give seconds, a timedelta, '5m', an aware datetime, ISO 8601 text or an HTTP date"
_FORMS = "give seconds, a timedelta, or text such as '1h30m' (units: ms s m h d w)"


def parse(value: str | int | float | timedelta) -> int:
    """The milliseconds of a duration: seconds as a number, a timedelta, or text such as "1h30m".

    Raises ValueError for anything else, and for a duration that is negative or not finite.
    """
    if isinstance(value, str):
        return _parse_text(value)
    # Callers are not always type-checked: a value that is not a duration gets an error sentence.
    if isinstance(value, bool) or not isinstance(value, (int, float, timedelta)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{value!r} is not a duration: {_FORMS}")
    if isinstance(value, timedelta):
        milliseconds = round(value / _MILLISECOND)
    elif not math.isfinite(value * 1_000):
        raise ValueError(f"{value!r} is not a duration: it must be finite")
    else:
        milliseconds = round(value * 1_000)
    if milliseconds < 0:
        raise ValueError(f"a duration cannot be negative: {value!r}")
    return milliseconds


def _parse_text(value: str) -> int:
    text = value.strip()
    if text.startswith("-"):
        raise ValueError(f"a duration cannot be negative: {value!r}")
    total, position = 0.0, 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(f"{value!r} is not a duration: {_FORMS}")
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not text:
        raise ValueError(f"a duration cannot be empty: {_FORMS}")
    if not math.isfinite(total):
        raise ValueError("a duration must be finite: this one has too many digits")
    return round(total)


def parse_time(value: str | datetime) -> int:
    """Milliseconds since the epoch of an aware datetime, or of ISO 8601 text (no zone means UTC).

    Raises ValueError for a naive datetime, and for text that is not a time.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone: give an aware datetime, such as datetime.now(UTC)")
        return _since_epoch(value)
    # As above: a date or a number given by mistake gets an error sentence.
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{value!r} is not a time: give an aware datetime or ISO 8601 text")
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"{value!r} is not a time: give ISO 8601 text, such as '2026-11-01T09:00:00Z'") from None
    return _since_epoch(moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC))


def parse_retry_after(value: str | float | timedelta | datetime) -> tuple[int, bool]:
    """When to try again: `(milliseconds, absolute)`, a delay or a time since the epoch.

    Takes a duration, an aware datetime, and text: seconds ("3"), a duration ("5m"), ISO 8601, or an HTTP date, as the
    header `Retry-After` carries it (RFC 9110, section 10.2.3). Raises ValueError for anything else.
    """
    if isinstance(value, datetime):
        return parse_time(value), True
    if not isinstance(value, str):
        return parse(value), False
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return parse(float(text)), False
    if text[:3] in _WEEKDAYS:
        return _parse_http_date(text), True
    try:
        return (parse_time(text), True) if _DATE.match(text) else (parse(text), False)
    except ValueError:
        raise ValueError(f"{value!r} is neither a delay nor a time: {_RETRY_FORMS}") from None


def _parse_http_date(text: str) -> int:
    from email.utils import parsedate_to_datetime  # imported late: few errors name an HTTP date

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an HTTP date: {_RETRY_FORMS}") from None
    return _since_epoch(moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC))


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: `2026-11-01T09:00:00.000Z`."""
    seconds, rest = divmod(ms, 1_000)
    return f"{_second(seconds)}.{rest:03}Z"


@lru_cache(maxsize=1024)  # one view of a journal formats many times, and most fall in the same second
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def text(ms: int) -> str:
    """A duration as a person writes it, exact: `3d`, `1h30m`, `250ms`; `parse` reads it back."""
    if ms <= 0:
        return "0s"
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
