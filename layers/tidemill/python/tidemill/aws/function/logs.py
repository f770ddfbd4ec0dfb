"""Adds the ids of the current run, function and event to every log line.

Lambda's own runtime writes JSON where the function's log format is JSON (what `add_app` sets), with all
attributes of a record. So this module formats nothing: a filter on the handlers adds the ids, also to lines of
libraries.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("tidemill")


class Ids(logging.Filter):
    """Adds the ids of the current run. One Lambda process handles one message at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self.now.items():
            record.__dict__.setdefault(name, value)
        return True


ids = Ids()


def install() -> None:
    """Put the filter on every handler of the root logger; harmless to do twice."""
    for handler in logging.getLogger().handlers:
        if ids not in handler.filters:
            handler.addFilter(ids)


def about(**now: str | None) -> None:
    """Set the ids of all following lines; none given: no ids."""
    ids.now = {name: value for name, value in now.items() if value}
