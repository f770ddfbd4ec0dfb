"""What `tidemill dev` says while it runs: a line for each run that ends, folded into a count when there are many."""

from __future__ import annotations

import contextlib
import sys
from asyncio import AbstractEventLoop
from collections import Counter
from typing import TextIO

from tidemill.core.journal import Ended
from tidemill.model import Head
from tidemill_local.terminal import clean_lines

_LINES = 10  # a second; more runs than that are counted
_TEXT = 200
_TOLD = 100


class Console:
    def __init__(self, loop: AbstractEventLoop, out: TextIO | None = None) -> None:
        self._loop = loop
        self._out = out or sys.stdout
        self._second = 0
        self._minute = -1
        self._told: set[str] = set()
        self._lines = 0
        self._folded: Counter[str] = Counter()

    def say(self, text: str) -> None:
        """Something the user should know."""
        with contextlib.suppress(OSError, ValueError):  # nobody may be listening any more
            print(clean_lines(text), file=self._out, flush=True)

    def trouble(self, text: str) -> None:
        """Something went wrong, and the server goes on."""
        for line in text.splitlines():
            self.say(f"! {line}")

    def once(self, text: str) -> None:
        """Trouble that may come again with every turn of the loop: it is said once a minute."""
        minute = int(self._loop.time() // 60)
        if minute != self._minute:
            self._minute, self._told = minute, set()
        if text not in self._told and len(self._told) < _TOLD:
            self._told.add(text)
            self.trouble(text)

    def ended(self, head: Head, ended: Ended) -> None:
        if head.parent is not None and head.parent.chunk is not None:
            return  # a part of a map; its run will be told of
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= _LINES:
            self.say(_line(head, ended))
            return
        if not self._folded:
            self._loop.call_later(1.0, self._unfold)
        self._folded[ended.status] += 1

    def _unfold(self) -> None:
        folded, self._folded = self._folded, Counter()
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(folded.items()))
        self.say(f"  … and {counts}")


def _line(head: Head, ended: Ended) -> str:
    took = _took(ended.at - (head.started_at or head.created_at))
    if ended.failure is None:
        return f"✓ {head.function_id}  {head.run_id}  {took}"
    message = " ".join(f"{ended.failure.type}: {ended.failure.message}".split())
    return f"✗ {head.function_id}  {head.run_id}  {took}  {message[:_TEXT]}"


def _took(ms: int) -> str:
    if ms < 1_000:
        return f"{ms} ms"
    return f"{ms / 1_000:.1f} s" if ms < 100_000 else f"{ms // 60_000} min"
