"""`ctx.logger`: silent while the code covers ground that it has covered before.

Each branch of the code is asked for itself. What a step says is always new: the body of a remembered step does not run.
"""

from __future__ import annotations

import logging

from tidemill.engine.drive.replayed import Replayed, attempt, branch


class _Quiet(logging.Logger):
    """Hands its records to the logger of the same name, unless the run is being replayed."""

    def __init__(self, name: str, replayed: Replayed, shared: bool) -> None:
        super().__init__(name)
        self._shared = shared
        self._replayed = replayed
        self.parent = logging.getLogger(name)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return not self._silent() and logging.getLogger(self.name).isEnabledFor(level)

    def _silent(self) -> bool:
        if attempt.get(0):
            return False
        here = branch.get(None)
        return self._replayed.coverage.covers(here.prefix if here is not None and not self._shared else "")


def logger(function_id: str, run_id: str, replayed: Replayed, shared: bool) -> logging.Logger:
    """A logger named `tidemill.<function id>`; its records carry `run_id` and `function_id`.

    `shared`: all branches of the code are one scope, as those of async code are.
    """
    quiet = _Quiet(f"tidemill.{function_id}", replayed, shared)
    quiet.addFilter(_About(function_id, run_id))
    return quiet


class _About(logging.Filter):
    def __init__(self, function_id: str, run_id: str) -> None:
        super().__init__()
        self._about = {"function_id": function_id, "run_id": run_id}

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(self._about)
        return True
