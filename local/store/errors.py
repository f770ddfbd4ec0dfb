"""What goes wrong with a data folder."""

from __future__ import annotations

from tidemill.errors import TidemillError


class StoreError(TidemillError):
    """The data folder cannot be used, or a write failed. What was not yet committed is gone, all of it."""


class StoreFullError(StoreError):
    """There is no room left for the data. Nothing that was committed is lost."""
