"""Displays runs while they proceed: redrawn in place on a terminal, line by line anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from tidemill_local.cli import story, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill_local.cli.follow import Screen
    from tidemill_local.cli.story import Run

_VALUE = 60  # characters of a step's value
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # control sequence: clear to the end of the line


def screen() -> Screen:
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Redrawn()
    return Appended()


class Silent:
    """No display, for programs that read only the end."""

    def show(self, runs: list[Run]) -> None:
        """Nothing to see."""

    def close(self, runs: list[Run]) -> None:
        """Nothing to see."""


class Appended:
    """Prints a line for each change since the last poll."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}  # by run: its status
        self._marks: dict[tuple[str, str], tuple[str, int]] = {}  # by run and step: its status and attempts

    def show(self, runs: list[Run]) -> None:
        for run in runs:
            for line in self._news(run):
                print(line)
        sys.stdout.flush()

    def close(self, runs: list[Run]) -> None:
        """Nothing remains to be printed."""

    def _news(self, run: Run) -> list[str]:
        now = text.now_ms()
        label, before = text.clean(run["function_id"]), self._runs.get(run["run_id"])
        lines = [f"{label}  run {run['run_id']}"] if before is None else []
        lines += [f"{label}     {line}" for line in self._steps_news(run, now)]
        if run["status"] != before and run["status"] in story.ENDED:
            lines += [f"{label}  {line}" for line in _end(run, now)]
        elif (attempt := story.between_attempts(run, now)) and self._changed(run, "", ("attempt", run["attempt"])):
            lines.append(f"{label}  {attempt.removeprefix(', ')}")
        self._runs[run["run_id"]] = run["status"]
        return lines

    def _steps_news(self, run: Run, now: int) -> Iterator[str]:
        resting = story.rests(run)
        for step in run["steps"]:
            # The time of a retry is known a moment after the failure: show such a step at the second poll.
            known = step["status"] != "retrying" or step["id"] in resting
            mark = (step["status"], step["attempts"])
            if (known or not self._changed(run, f"?{step['id']}", mark)) and self._changed(run, step["id"], mark):
                yield "  ".join(cell for cell in _step(step, resting, now) if cell)

    def _changed(self, run: Run, what: str, mark: tuple[str, int]) -> bool:
        """Whether the value differs from that of the last poll."""
        key = (run["run_id"], what)
        changed = self._marks.get(key) != mark
        self._marks[key] = mark
        return changed


class Redrawn:
    """Draws the runs with their steps over the previous drawing."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def show(self, runs: list[Run]) -> None:
        """As much as fits the screen, each line cut at its edge: a wrapped line could not be drawn over."""
        lines = _lines(runs)[-(shutil.get_terminal_size().lines - 1) :]
        if lines != self._drawn:
            self._draw(lines, _NO_WRAP, _WRAP)

    def close(self, runs: list[Run]) -> None:
        """Everything once more, whole."""
        self._draw(_lines(runs))

    def _draw(self, lines: list[str], before: str = "", after: str = "") -> None:
        up = f"\x1b[{len(self._drawn)}A\r\x1b[J" if self._drawn else ""
        sys.stdout.write(before + up + "".join(line + "\n" for line in lines) + after)
        sys.stdout.flush()
        self._drawn = lines


def _lines(runs: list[Run]) -> list[str]:
    now = text.now_ms()
    lines: list[str] = []
    for run in runs:
        lines.append(f"{text.clean(run['function_id'])}  {run['run_id']}")
        lines += _steps(run, now)
        lines += [f"  {line}" for line in _end(run, now)]
    return lines


def _steps(run: Run, now: int) -> list[str]:
    from tidemill_local.cli.table import table

    steps, resting = run["steps"], story.rests(run)
    if not steps:
        return []
    rows = [_step(step, resting, now, apart=True) for step in steps]
    drawn = table(("STEP", "STATUS", "TOOK", "OUTPUT"), rows, "    ", cut=("STEP", "OUTPUT"), head=False)
    lines: list[str] = []
    for line, step in zip(drawn.split("\n"), steps, strict=True):
        own = story.beneath(step, resting.get(step["id"]), now, stack=False)
        lines += [line, *(f"      {inner}" for inner in own)]
    return lines


def _step(step: Run, resting: dict[str, Run], now: int, apart: bool = False) -> tuple[str, str, str, str]:
    """A step in four cells: name, status, duration, and its result unless that has separate lines."""
    attempts = f", attempt {step['attempts']}" if step["attempts"] > 1 else ""
    lasted = text.between(step["started_at"], step["ended_at"])
    rest = resting.get(step["id"])
    said = "" if apart and story.has_own_lines(step, rest) else story.detail(step, rest, now, _VALUE)
    return text.clean(step["id"]), step["status"] + attempts, lasted, said


def _end(run: Run, now: int) -> list[str]:
    lines = [story.summary(run, now)]
    if run.get("error"):
        lines += ["  " + line for line in story.error_block(run["error"]).split("\n")]
    elif run["status"] == "completed" and run["output"] is not None:
        lines[0] += "  " + text.value(run["output"], 200)
    return lines
