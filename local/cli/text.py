"""How things look to people: times, durations, values, tables. Colours only on a terminal that wants them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from tidemill_local.terminal import clean as clean

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = {
    "completed": 32, "failed": 31, "cancelled": 33, "skipped": 33, "retrying": 33,
    "running": 36, "sleeping": 34, "waiting": 34, "scheduled": 35,
}  # fmt: skip
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_GAP = "  "


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ms_of(iso: str | None) -> int | None:
    """Milliseconds since the epoch of a time as the API writes it."""
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
    """`12 s ago`, up to a day; a date and time beyond."""
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
    """JSON on one line, in characters that the terminal or file has."""
    plain = json.dumps(anything, ensure_ascii=not _unicode(sys.stdout), separators=(", ", ": "))
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else _escaped(c) for c in plain)


def _escaped(char: str) -> str:
    """As JSON may write it: the value is the same."""
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
    """How wide a line may be; 0: as wide as it likes, because a program or a file reads it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else 0


def coloured(status: str, shown: str = "") -> str:
    """The status, or what is shown for it, in its colour where colours are wanted."""
    shown = shown or status
    code = _COLOURS.get(status)
    if code is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return shown
    return f"\x1b[{code}m{shown}\x1b[0m"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "") -> str:
    """Aligned columns. On a terminal the last column is cut where the line ends."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(header, *cells, strict=True)]
    if columns():
        room = columns() - len(indent) - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        cells = [[*row[:-1], shortened(row[-1], max(room, 12))] for row in cells]
    lines = [_line(header, header, widths), *(_line(row, header, widths) for row in cells)]
    return "\n".join(indent + line for line in lines)


def _line(row: Sequence[str], header: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [padded(cell, to) for cell, to in zip(row, widths, strict=True)]
    shown = [coloured(row[i], cell) if header[i] == "STATUS" else cell for i, cell in enumerate(aligned)]
    return _GAP.join(shown).rstrip()


def padded(cell: str, to: int) -> str:
    """With spaces up to that width."""
    return cell + " " * (to - width(cell))


def _unicode(out: TextIO) -> bool:
    return (getattr(out, "encoding", None) or "").lower().replace("-", "") == "utf8"
