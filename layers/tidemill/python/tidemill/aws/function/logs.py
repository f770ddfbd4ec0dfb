"""Every line that is logged while a run is at work says which run, function and event it is about.

Lambda's own runtime writes JSON where the function's log format is JSON (what `add_app` sets), with whatever
attributes a record carries. So nothing is formatted here: a filter on its handlers adds the ids, also to what libraries
log.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("tidemill")


class Ids(logging.Filter):
    """Adds the ids of what is at work now. One Lambda process works off one message at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self.now.items():
            record.__dict__.setdefault(name, value)
        return True


ids = Ids()


def install() -> None:
    """Put the filter on every handler of the root logger; once is enough, twice does no harm."""
    for handler in logging.getLogger().handlers:
        if ids not in handler.filters:
            handler.addFilter(ids)


def about(**now: str | None) -> None:
    """What is logged from now on is about this; nothing given: about nothing in particular."""
    ids.now = {name: value for name, value in now.items() if value}
