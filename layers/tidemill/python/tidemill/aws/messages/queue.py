"""The `Queue` port on SQS: sends "check this run", for now, in a while, or in a year.

    now                  a message on the function's queue
    within 15 minutes    the same, delayed by whole seconds, rounded down; the executor waits the rest
    later                a schedule (see `timers`), or nothing if the sweep is punctual enough

A message is sent, and a schedule made, after the record that needs it. If the process dies in between, the message
that it was processing comes again when its visibility timeout ends, finds the run asleep, and sets the timer then: no
message is deleted before its consequences have been sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.messages import types as message
from tidemill.aws.messages.timers import Timers
from tidemill.aws.settings import Settings
from tidemill.limits import MESSAGE_DELAY, SECOND
from tidemill.ports import Clock

_NO_QUEUE = ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
_NEARLY = 15 * SECOND  # the claim of the longest Lambda ends 15 min 10 s after it began: that needs no schedule

_logger = logging.getLogger("tidemill")


class SqsQueue:
    """The queues of a deployment's functions. No message is sent to a function that is not declared any more: `gone` is
    called with the run's id instead."""

    def __init__(
        self, client: Client, settings: Settings, clock: Clock, gone: Callable[[str], object] = lambda _: None
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._gone = gone
        self._timers = Timers(client, settings)

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        ahead = at - self._clock.now() if at is not None else 0
        if ahead <= 0:
            self._send(function_id, {"look": run_id})
        elif ahead <= MESSAGE_DELAY + _NEARLY:
            self.remind(run_id, function_id, at or 0)
        elif at is not None and not loose:
            self._timers.set(run_id, function_id, at)

    def forget(self, run_id: str) -> None:
        self._timers.drop(run_id)

    def remind(self, run_id: str, function_id: str, at: int) -> None:
        """Send a message with its time, delayed until shortly before it, or for 15 minutes if that is sooner."""
        ahead = min(at - self._clock.now(), MESSAGE_DELAY)
        self._send(function_id, {"look": run_id, "at": at}, max(ahead, 0) // SECOND)

    def hand_back(self, run_id: str, function_id: str, by: str, seconds: int) -> None:
        """Let another executor continue this run after a delay in seconds: `by`, which had claimed the run, cannot."""
        self._send(function_id, {"look": run_id, "gave_up": by}, seconds)

    def _send(self, function_id: str, body: dict[str, Any], seconds: int = 0) -> None:
        sent: dict[str, Any] = {"QueueUrl": self._settings.queue_url(function_id), "MessageBody": message.text(body)}
        if seconds:
            sent["DelaySeconds"] = seconds
        try:
            self._client.call("sqs", "SendMessage", sent)
        except AwsError as error:
            if error.code not in _NO_QUEUE:
                raise
            _logger.warning(
                "no queue for a message to %s: it is not declared any more; the sweep holds its runs", function_id
            )
            self._gone(body["look"])
