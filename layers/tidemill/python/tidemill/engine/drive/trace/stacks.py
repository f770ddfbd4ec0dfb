"""Formats the stack of an error for the journal, with priority for the user's frames.

The platform's frames say nothing to the user and go always. Where the rest is too long the libraries' go, then the
user's oldest; each error keeps the last frame of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from traceback import FrameSummary, StackSummary, TracebackException

from tidemill.engine.drive.trace.frames import is_library, is_platform_file

_PART = 1_000  # characters of one frame, or of one error's message
_CHAINED = 100  # errors of a chain or group whose frames are looked at

Frames = list[FrameSummary]


def stack_of(error: BaseException, most: int) -> str:
    """The traceback in at most so many characters."""
    shown = TracebackException(type(error), error, error.__traceback__, compact=True)
    text = _cut(shown, _users_and_libraries)
    if len(text) > most:
        text = _cut(shown, _users)
    if len(text) > most:
        text = _cut(shown, lambda frames: frames[-1:])
    return _end(text, most)


def _cut(shown: TracebackException, cut: Callable[[Frames], Frames]) -> str:
    for each in _all(shown):
        each.stack = StackSummary.from_list(cut(list(each.stack)))
    return "".join(part if len(part) <= _PART else part[: _PART - 4] + "...\n" for part in shown.format())


def _all(shown: TracebackException) -> Iterator[TracebackException]:
    waiting = [shown]
    for _ in range(_CHAINED):
        if not waiting:
            return
        each = waiting.pop()
        yield each
        waiting += [
            found for found in (each.__cause__, each.__context__, *(each.exceptions or ())) if found is not None
        ]


def _users_and_libraries(frames: Frames) -> Frames:
    return [frame for frame in frames if not is_platform_file(frame.filename)] or frames


def _users(frames: Frames) -> Frames:
    return [frame for frame in frames if not is_library(frame.filename)] or frames


def _end(text: str, most: int) -> str:
    """The last lines that have room: what was raised in the end stands last."""
    if len(text) <= most:
        return text
    return text[-most:].partition("\n")[2] or text[-most:]
