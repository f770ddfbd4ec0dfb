"""The `Queue` port on SQS: "look at this run", now, in a while, or in a year.

    now                  a message on the function's queue
    within 15 minutes    the same, held back by whole seconds, rounded down; the executor waits the rest
    later                a schedule (see `timers`), or nothing where the sweep is punctual enough

A message is sent, and a schedule made, after the record that needs it. Should the process die in between, the message
that had brought it here comes again when its visibility timeout ends, finds the run asleep, and sets the timer then: no
message is done with before what follows from it has been sent.
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
    """The queues of a mill's functions. To a function that is not declared any more nothing is sent: of its run `gone`
    is told, by its id."""

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
        """A message that says when, held back until shortly before then, or for 15 minutes if that is sooner."""
        ahead = min(at - self._clock.now(), MESSAGE_DELAY)
        self._send(function_id, {"look": run_id, "at": at}, max(ahead, 0) // SECOND)

    def hand_back(self, run_id: str, function_id: str, by: str, seconds: int) -> None:
        """Somebody else is to go on with this run in so many seconds, for `by`, who had claimed it, cannot."""
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
