"""`ctx.logger`: silent while code is replayed.

Each branch of the code is asked for itself. What a step says is always new: the body of a remembered step does not run.

A line has a mark: where it was said (the step and its attempt; or the branch, and how many outcomes that had been told)
and the how-many-eth it is there. Code that runs again after a crash says the same line under the same mark, so the
store of lines keeps it once.
"""

from __future__ import annotations

import logging
import threading

from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.replayed import Replayed, at_step, attempt, branch
from tidemill.limits import LOG_MESSAGE
from tidemill.run_logs import LogLine

_KEPT = logging.INFO  # what is less is for the console alone


class _Quiet(logging.Logger):
    """Passes its records to the logger of the same name, and to the store of lines, except during a replay."""

    def __init__(self, name: str, replayed: Replayed, shared: bool) -> None:
        super().__init__(name)
        self._shared = shared
        self._replayed = replayed
        self._said: dict[tuple[str, int], int] = {}
        self._here = threading.local()
        self.parent = logging.getLogger(name)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        self._here.mark = self._mark()
        kept = self._replayed.live.say is not None and level >= _KEPT
        return not self._silent() and (kept or logging.getLogger(self.name).isEnabledFor(level))

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        live = self._replayed.live
        mark: str = getattr(self._here, "mark", "")
        number = attempt.get(0) or live.state.attempt
        step = at_step.get((None, ""))[0]
        record.__dict__.update(step=step, attempt=number, mark=mark)
        _mend(record)
        if live.say is not None and record.levelno >= _KEPT:
            level = record.levelname.lower()
            live.say(LogLine(live.head.run_id, live.clock.now(), level, _text(record), step, number, mark))
        if logging.getLogger(self.name).isEnabledFor(record.levelno):
            self._hand_on(record)

    def _hand_on(self, record: logging.LogRecord) -> None:
        try:
            super().callHandlers(record)
        except Exception:  # Lambda's handler raises for a line that it cannot write, which must not fail the run
            logging.Handler().handleError(record)

    def _scope(self) -> str:
        here = branch.get(None)
        return here.prefix if here is not None and not self._shared else ""

    def _silent(self) -> bool:
        return not attempt.get(0) and self._replayed.coverage.covers(self._scope())

    def _mark(self) -> str:
        """Silent lines count: in a replay the same line has the same number."""
        number = attempt.get(0)
        if number:
            place = f"step {' '.join(at_step.get(('', '')))} {number}", -1
        else:
            scope = self._scope()
            place = f"{self._replayed.live.state.attempt} {scope}", self._replayed.coverage.outcomes.get(scope, 0)
        self._said[place] = count = self._said.get(place, 0) + 1
        return f"{place[0]} {place[1]} {count}"


def _mend(record: logging.LogRecord) -> None:
    """Afterwards the message can be formatted and encoded: no line of a log fails a run."""
    try:
        text = record.getMessage()
    except Exception as error:  # its format and arguments do not fit, or one of them has no text
        text = f"{_shown(record.msg)} (its arguments do not fit: {_shown(error)})"
    else:
        if text.isascii():
            return
    record.msg, record.args = _escaped(text), ()


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose text raises {type(error).__name__}>"


def _escaped(text: str) -> str:
    """Halves of surrogate pairs, which are in no encoding, as \\udc80."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        text += "\n" + _escaped(logging.Formatter().formatException(record.exc_info))
    return text if len(text) <= LOG_MESSAGE else text[: LOG_MESSAGE - 1] + "…"


def logger(function_id: str, live: LiveRun, replayed: Replayed, shared: bool) -> logging.Logger:
    """A logger named `tidemill.<function id>`; its records carry `run_id`, `function_id`, `step` and `attempt`.

    `shared`: all branches of the code are one scope, as those of async code are.
    """
    quiet = _Quiet(f"tidemill.{function_id}", replayed, shared)
    quiet.addFilter(_About(function_id, live.head.run_id))
    return quiet


class _About(logging.Filter):
    def __init__(self, function_id: str, run_id: str) -> None:
        super().__init__()
        self._about = {"function_id": function_id, "run_id": run_id}

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(self._about)
        return True
