"""The errors of a data folder."""

from __future__ import annotations

from tidemill.errors import TidemillError


class StoreError(TidemillError):
    """The data folder cannot be used, or a write failed. All uncommitted writes are lost."""


class StoreFullError(StoreError):
    """The disk is full. No committed data is lost."""
