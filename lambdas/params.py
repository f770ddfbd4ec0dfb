"""Parses the query parameters: each must be known, given once and valid; else a 400 names it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from tidemill import duration
from tidemill.limits import PAGE, PAGE_MOST
from tidemill.model import RUN_STATUSES, RunStatus
from tidemill_lambdas.http import Refused

_MOST_PARAMETERS = 100
_LATEST = 253_402_300_799_999  # the last millisecond of the year 9999
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
_UNESCAPED_PLUS = re.compile(r" (\d\d:?\d\d)$")  # `+01:00` in a URL decodes to ` 01:00`


def parameters(query: str, known: Sequence[str]) -> dict[str, str]:
    """The decoded parameters of a call, which allows those in `known`."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except UnicodeDecodeError:
        raise Refused(400, "a parameter is not UTF-8, percent-encoded; encode it and try again") from None
    except ValueError:
        raise Refused(400, f"there are more than {_MOST_PARAMETERS} parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise Refused(400, f"this call has no parameter {name[:100]!r}; {has}")
        if name in found:
            raise Refused(400, f"the parameter {name!r} is given twice; give it once")
        found[name] = value
    return found


def before(query: Mapping[str, str]) -> int | None:
    return after(query, "before")


def limit(query: Mapping[str, str]) -> int:
    text = query.get("limit")
    if text is None:
        return PAGE
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= PAGE_MOST:
        raise Refused(400, f"limit must be a whole number from 1 to {PAGE_MOST}, not {text[:100]!r}")
    return int(text)


def flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise Refused(400, f"{name} is true or false, not {text[:100]!r}")
    return text == "true"


def oldest(query: Mapping[str, str]) -> bool:
    """Whether the oldest are to come first."""
    text = query.get("order", "newest")
    if text not in ("newest", "oldest"):
        raise Refused(400, f"order is newest or oldest, not {text[:100]!r}")
    return text == "oldest"


def after(query: Mapping[str, str], name: str = "after") -> int | None:
    """Milliseconds since the epoch, from a number or from ISO 8601."""
    text = query.get(name)
    if text is None:
        return None
    try:
        time = int(text) if _DIGITS.fullmatch(text) else duration.parse_time(_UNESCAPED_PLUS.sub(r"+\1", text))
    except (ValueError, OverflowError):
        time = _LATEST + 1
    if time > _LATEST:
        raise Refused(
            400,
            f"{name} must be a time, in ISO 8601 (2026-11-01T09:00:00Z) or in milliseconds since the epoch, "
            f"not {text[:100]!r}",
        )
    return time


def status(query: Mapping[str, str]) -> RunStatus | None:
    text = query.get("status")
    if text is not None and text not in RUN_STATUSES:
        raise Refused(400, f"no run has the status {text[:100]!r}; a status is one of {', '.join(RUN_STATUSES)}")
    return text
