"""The end of a stack trace, for people: its last frames, and the last frame of the user's code."""

from __future__ import annotations

import re

from tidemill_local.console.terminal import clean

_FRAMES = 3  # frames of a stack: the last ones show the place
_LINES = 4  # lines of a stack that is not Python's
_FRAME = re.compile(r'  File "(.+)", line \d+')


def stack_end(kind: str, stack: str) -> list[str]:
    """The last lines, without the error itself, which has the type `kind`."""
    frames = _frames(kind, stack)
    if not frames:
        return []
    from tidemill.engine.drive.trace.frames import is_library, is_platform_file  # a slow import

    if all(is_platform_file(frame[0]) for frame in frames):
        return []  # the message says what the user did wrong

    own = max((number for number, frame in enumerate(frames) if not is_library(frame[0])), default=len(frames) - 1)
    first = max(len(frames) - _FRAMES, 0)
    shown = [*frames[first:]] if own >= first else [frames[own], *frames[first + 1 :]]
    return [f"  {_indented(line)}" for _, *lines in shown for line in lines]


def _frames(kind: str, stack: str) -> list[list[str]]:
    """The frames of the last exception: for each its file, then its lines; a stack of another language is one frame."""
    lines = [line for line in stack.splitlines() if line.strip(" ~^")]
    if lines and lines[-1].partition(":")[0].endswith(kind):
        del lines[-1]
    found: list[list[str]] = []
    for line in lines:
        if begin := _FRAME.match(line):
            found.append([begin[1], line])
        elif line.startswith("    ") and found:
            found[-1].append(line)
        elif line.startswith("Traceback "):
            found = []
    return found or [["", *lines[-_LINES:]]] if lines else []


def _indented(line: str) -> str:
    depth = len(line) - len(line.lstrip(" "))
    return " " * min(depth, 8) + clean(line.strip())
