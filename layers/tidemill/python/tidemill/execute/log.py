"""`ctx.logger`: silent while the code covers ground that it has covered before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.execute.tape import Tape


class _Quiet(logging.Logger):
    """Hands its records to the logger of the same name, unless the run is being replayed."""

    def __init__(self, name: str, tape: Tape) -> None:
        super().__init__(name)
        self._tape = tape
        self.parent = logging.getLogger(name)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return not self._tape.replaying and logging.getLogger(self.name).isEnabledFor(level)


def logger(function_id: str, run_id: str, tape: Tape) -> logging.Logger:
    """A logger named `tidemill.<function id>`; its records carry `run_id` and `function_id`."""
    quiet = _Quiet(f"tidemill.{function_id}", tape)
    quiet.addFilter(_About(function_id, run_id))
    return quiet


class _About(logging.Filter):
    def __init__(self, function_id: str, run_id: str) -> None:
        super().__init__()
        self._about = {"function_id": function_id, "run_id": run_id}

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(self._about)
        return True
