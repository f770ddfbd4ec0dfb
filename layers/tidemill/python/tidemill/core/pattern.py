"""Triggers as an EventBridge pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidemill.model import EventTrigger, Trigger

SOURCE = "tidemill"


def pattern(triggers: Sequence[Trigger]) -> dict[str, Any] | None:
    """The pattern of the rule of a function with these triggers; None if it listens to no event."""
    names = [_name(trigger.name) for trigger in triggers if isinstance(trigger, EventTrigger)]
    return {"source": [SOURCE], "detail": {"name": names}} if names else None


def _name(name: str) -> Any:
    if name == "*":
        return {"anything-but": {"prefix": "tidemill/"}}
    return {"prefix": name[:-1]} if name.endswith("*") else name
