"""The `Queue` port on SQS: "look at this run", now, in a while, or in a year.

    now                  a message on the function's queue
    within 15 minutes    the same, held back by whole seconds, rounded down; the executor waits the rest
    later                a schedule (see `timers`), or nothing where the sweep is punctual enough

A message is sent, and a schedule made, after the record that needs it. Should the process die in between, the message
that had brought it here comes again when its visibility timeout ends, finds the run asleep, and sets the timer then: no
message is done with before what follows from it has been sent.
"""

from __future__ import annotations

from typing import Any

from tidemill.aws import message
from tidemill.aws.client import Client
from tidemill.aws.settings import Settings
from tidemill.aws.timers import Timers
from tidemill.limits import MESSAGE_DELAY, SECOND
from tidemill.ports import Clock

_NEARLY = 15 * SECOND  # the claim of the longest Lambda ends 15 min 10 s after it began: that needs no schedule


class SqsQueue:
    """The queues of a mill's functions. Raises Unavailable, or AwsError where the queue is not there."""

    def __init__(self, client: Client, settings: Settings, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._timers = Timers(client, settings)

    def look(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        ahead = at - self._clock.now() if at is not None else 0
        if ahead <= 0:
            self.send(function_id, message.text({"look": run_id}))
        elif ahead <= MESSAGE_DELAY + _NEARLY:
            self.send(function_id, message.text({"look": run_id, "at": at}), ahead)
        elif at is not None and not loose:
            self._timers.set(run_id, function_id, at)

    def forget(self, run_id: str) -> None:
        self._timers.drop(run_id)

    def send(self, function_id: str, body: str, after: int = 0) -> None:
        """A message to the function's queue, `after` so many ms: rounded down to seconds, and 15 minutes at most."""
        sent: dict[str, Any] = {"QueueUrl": self._settings.queue_url(function_id), "MessageBody": body}
        delay = min(after, MESSAGE_DELAY) // SECOND
        if delay > 0:
            sent["DelaySeconds"] = delay
        self._client.call("sqs", "SendMessage", sent)
