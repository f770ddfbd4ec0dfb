"""The `Bus` port on EventBridge: publishes events to every function that listens and every run that waits.

A request takes ten events and less than 1 MB. EventBridge may refuse some of them: only those are sent again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.calls.services import PASSING
from tidemill.aws.messages.envelope import ENTRY_BYTES, entry, entry_bytes
from tidemill.errors import Unavailable
from tidemill.model import Event

ENTRIES = 10
_TRIES = 6
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds, before full jitter

Entry = dict[str, str]


class EventBridgeBus:
    """Raises Unavailable if EventBridge does not take all of the events: then all may be published again."""

    def __init__(
        self,
        client: Client,
        bus: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._bus = bus
        self._sleep = sleep
        self._draw = draw

    def publish(self, events: Sequence[Event]) -> None:
        for batch in _batches([entry(event, self._bus) for event in events]):
            self._put(batch)

    def _put(self, entries: list[Entry]) -> None:
        for failures in range(_TRIES):
            if failures:
                self._sleep(self._draw() * min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
            answer = self._client.call("events", "PutEvents", {"Entries": entries})
            if not answer.get("FailedEntryCount"):
                return
            told = list(zip(entries, answer["Entries"], strict=True))
            for _, result in told:
                code = result.get("ErrorCode")
                if code and code not in PASSING:
                    raise AwsError("events", "PutEvents", code, result.get("ErrorMessage", ""), 400)
            entries = [sent for sent, result in told if result.get("ErrorCode")]
        raise Unavailable(f"EventBridge did not take {len(entries)} events in {_TRIES} requests")


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """In order, each within the limits of one request."""
    batch: list[Entry] = []
    room = ENTRY_BYTES
    for each in entries:
        size = entry_bytes(each)
        if batch and (len(batch) == ENTRIES or size > room):
            yield batch
            batch, room = [], ENTRY_BYTES
        batch.append(each)
        room -= size
    if batch:
        yield batch
