"""When the lines of a file are sent: all at once, or as far apart as their `ts`, so many times faster."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, sleep, time_ns
from typing import NamedTuple, TypeVar

T = TypeVar("T")

_LONGEST = 3_600.0  # seconds of one sleep: some systems refuse to sleep for years


def speed(text: str) -> float | None:
    """`10x`, `0.5x`, or `max`: None."""
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no speed; write max, 1x for the speed it had, or 10x")
    return factor


class Clock(NamedTuple):  # no dataclass, whose import takes a fifth of the time of `tidemill send`
    monotonic: Callable[[], float] = monotonic
    sleep: Callable[[float], None] = sleep
    now: Callable[[], int] = lambda: time_ns() // 1_000_000


def paced(lines: Sequence[T], ts: Callable[[T], int | None], factor: float, clock: Clock) -> Iterator[list[T]]:
    """The lines that are due together, each time when they are. What has no `ts` is due with the line before; what
    takes effect in the future too, for the server waits for it."""
    start, first = clock.monotonic(), None
    waiting: list[T] = []
    for line in lines:
        at = ts(line)
        if at is not None and at <= clock.now():
            first = at if first is None else first
            due = start + (at - first) / 1_000 / factor
            if due > clock.monotonic() and waiting:
                yield waiting
                waiting = []
            _until(due, clock)
        waiting.append(line)
    if waiting:
        yield waiting


def _until(due: float, clock: Clock) -> None:
    while (left := due - clock.monotonic()) > 0:
        clock.sleep(min(left, _LONGEST))
