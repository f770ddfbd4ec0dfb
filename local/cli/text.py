"""Formats times, durations and values for people. Colors only on a terminal that wants them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
import unicodedata
from datetime import UTC, datetime
from typing import Any, TextIO

from tidemill_local.console.terminal import clean as clean

_COLORS = {
    "completed": "green", "failed": "red", "cancelled": "yellow", "skipped": "yellow", "retrying": "yellow",
    "running": "cyan", "sleeping": "blue", "waiting": "blue", "scheduled": "magenta",
}  # fmt: skip
_NUMBERS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}  # terminals' codes
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ms_of(iso: str | None) -> int | None:
    """Milliseconds since the epoch, from a time in the API's format."""
    if not iso:
        return None
    return round(datetime.fromisoformat(iso).timestamp() * 1_000)


def took(ms: int) -> str:
    """A duration in at most two units: `12 ms`, `2.4 s`, `3 min 5 s`, `2 d 4 h`."""
    if ms < 1_000:
        return f"{max(ms, 0)} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s".replace(".0 s", " s")
    for (size, unit), (smaller, small_unit) in itertools.pairwise(_UNITS):
        if ms >= size:
            count, rest = divmod(ms, size)
            return f"{count} {unit} {rest // smaller} {small_unit}" if rest >= smaller else f"{count} {unit}"
    raise AssertionError(ms)


def between(start: str | None, end: str | None) -> str:
    first, last = ms_of(start), ms_of(end)
    return took(last - first) if first is not None and last is not None else ""


def ago(iso: str | None, now: int) -> str:
    """`12 s ago`, up to a day; a date and time for older ones."""
    at = ms_of(iso)
    if at is None:
        return ""
    past = now - at
    if past < -1_000 or past >= 86_400_000:
        return moment(iso)
    return f"{took(max(past, 0) // 1_000 * 1_000)} ago" if past >= 1_000 else "just now"


def moment(iso: str | None) -> str:
    """Date and time in UTC, to the second."""
    at = ms_of(iso)
    return "" if at is None else f"{datetime.fromtimestamp(at // 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def until(at: int, now: int) -> str:
    """`07:31:05 UTC, in 12 s`; with the date unless it is today's."""
    when, today = datetime.fromtimestamp(at // 1_000, UTC), datetime.fromtimestamp(now // 1_000, UTC)
    clock = f"{when:%H:%M:%S} UTC" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M:%S} UTC"
    return f"{clock}, in {took(at - now)}" if at > now else clock


def value(anything: Any, most: int = 0) -> str:
    """A value as JSON on one line, shortened to `most` characters (0: whole); nothing for null."""
    if anything is None:
        return ""
    return shortened(compact(anything), most)


def compact(anything: Any) -> str:
    """JSON on one line, in characters that the output's encoding has."""
    plain = json.dumps(anything, ensure_ascii=not _unicode(sys.stdout), separators=(", ", ": "))
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else _escaped(c) for c in plain)


def _escaped(char: str) -> str:
    """The JSON with escapes for some characters; the value is the same."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def shortened(text: str, most: int) -> str:
    if not most or width(text) <= most:
        return text
    kept = text[: max(most - 3, 1)]
    while width(kept) > most - 3 and len(kept) > 1:
        kept = kept[:-1]
    return kept + "..."


def width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def columns() -> int:
    """The greatest width of a line; 0: unlimited, for a program or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else 0


def colors() -> bool:
    """Whether the output shows colors, and the user wants them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def color_of(status: str) -> str:
    """The color of a status, by its first word; "" for any other text."""
    return _COLORS.get(status.partition(",")[0], "")


def colored(status: str) -> str:
    """The status in its color, where colors are wanted."""
    number = _NUMBERS.get(color_of(status))
    return status if number is None or not colors() else f"\x1b[{number}m{status}\x1b[0m"


def _unicode(out: TextIO) -> bool:
    return (getattr(out, "encoding", None) or "").lower().replace("-", "") == "utf8"
