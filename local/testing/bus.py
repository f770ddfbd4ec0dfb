"""The bus of a Mill: published events are received at once, and remembered."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.engine.intake.receive import DirectBus
from tidemill.model import Event


class Bus(DirectBus):
    """Remembers the published events, each once."""

    def __init__(self) -> None:
        super().__init__()
        self.published: dict[str, Event] = {}

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self.published.setdefault(event.id, event)
        super().publish(events)
