"""The log lines of `tidemill dev`: one for each thing that happens, and counts when there are many."""

from __future__ import annotations

import contextlib
import os
import sys
from asyncio import AbstractEventLoop
from collections import Counter
from typing import TextIO

from tidemill.core.journal import Record
from tidemill.model import Event, Head
from tidemill_local.console.progress import Said, of_event, of_record
from tidemill_local.console.terminal import clean_lines

_LINES = 10  # of one kind a second; the rest is counted
_TOLD = 100


class Console:
    def __init__(self, loop: AbstractEventLoop, out: TextIO | None = None) -> None:
        self._loop = loop
        self._out = out or sys.stdout
        self._second = 0
        self._minute = -1
        self._told: set[str] = set()
        self._lines: Counter[str] = Counter()
        self.events = True  # whether each event gets a line
        self._folded: Counter[str] = Counter()

    def say(self, text: str) -> None:
        """Print something that the user should know."""
        with contextlib.suppress(OSError, ValueError):  # the reader may have gone
            print(clean_lines(text), file=self._out, flush=True)

    def _red(self, text: str) -> None:
        """Something that a person has to see to; in red where the output is a terminal, unless NO_COLOR is set."""
        line = clean_lines(text)
        with contextlib.suppress(OSError, ValueError):
            red = self._out.isatty() and not os.environ.get("NO_COLOR")
            print(f"\x1b[31m{line}\x1b[0m" if red else line, file=self._out, flush=True)

    def trouble(self, text: str) -> None:
        """Report an error after which the server goes on."""
        for line in text.splitlines():
            self.say(f"! {line}")

    def once(self, text: str) -> None:
        """Report an error that may repeat with every turn of the loop, once a minute."""
        minute = int(self._loop.time() // 60)
        if minute != self._minute:
            self._minute, self._told = minute, set()
        if text not in self._told and len(self._told) < _TOLD:
            self._told.add(text)
            self.trouble(text)

    def event(self, event: Event) -> None:
        """An event was received, or rejected."""
        if event.rejected is not None:
            self._red(f"! rejected {event.name} ({event.id}): {event.rejected.error}")
            return
        if self.events and (said := of_event(event)) is not None:
            self._told_of(said)

    def appended(self, head: Head, record: Record, since: int) -> None:
        """The executor that got the run at `since` has appended a record."""
        for said in of_record(head, record, since):
            self._told_of(said)

    def _told_of(self, said: Said) -> None:
        second = int(self._loop.time())
        if second != self._second:
            self._second = second
            self._lines.clear()
        self._lines[said.kind] += 1
        if self._lines[said.kind] <= _LINES:
            self.say(said.text)
            return
        if not self._folded:
            self._loop.call_later(1.0, self._unfold)
        self._folded[said.kind] += 1

    def _unfold(self) -> None:
        folded, self._folded = self._folded, Counter()
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(folded.items()))
        self.say(f"  … and {counts}")
