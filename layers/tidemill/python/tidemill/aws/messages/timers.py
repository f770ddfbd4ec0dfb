"""Timers beyond the longest delay of a queue, as one-shot schedules of EventBridge Scheduler.

Scheduler is precise to a minute. So a schedule fires two minutes early, and sends to a queue whose small Lambda sends a
message delayed by the rest: a wake after months is as punctual as one after seconds.

A schedule is named after its run, so that a run has at most one: setting it again moves it, and it deletes itself once
it has fired. Like every timer it is a hint: one that fires twice, or for a run that has ended, changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.messages import types as message
from tidemill.aws.settings import Settings
from tidemill.errors import Unavailable

EARLY = 120_000  # a schedule fires up to 60 s late; the rest is for two queues and a cold start
_JSON = {"content-type": "application/json"}
_TRIES = 5  # retries while another process changes the same schedule


class Timers:
    """The one-shot schedules of a deployment's runs."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    def set(self, run_id: str, function_id: str, at: int) -> None:
        """Schedule a message to the timers queue about this run, one to two minutes before `at`. Moves the run's."""
        schedule = msgspec.json.encode(self._schedule(run_id, function_id, at))
        for _ in range(_TRIES):
            if self._sent("POST", run_id, schedule, but="ConflictException"):
                return
            if self._sent("PUT", run_id, schedule, but="ResourceNotFoundException"):
                return
        raise Unavailable(f"the schedule of run {run_id} is being made and deleted by others; try again")

    def drop(self, run_id: str) -> None:
        """Delete the schedule of this run, if it has one."""
        query = {"groupName": self._settings.schedule_group}
        try:
            self._client.send("scheduler", "DELETE", f"/schedules/{run_id}", query=query)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise

    def _sent(self, method: str, run_id: str, schedule: bytes, *, but: str) -> bool:
        """False if AWS refuses with this error, or another process is changing the schedule."""
        try:
            self._client.send("scheduler", method, f"/schedules/{run_id}", headers=_JSON, body=schedule)
        except AwsError as error:
            if error.code not in (but, "ConflictException"):
                raise
            return False
        return True

    def _schedule(self, run_id: str, function_id: str, at: int) -> dict[str, Any]:
        return {
            "GroupName": self._settings.schedule_group,
            "ScheduleExpression": f"at({_second(at - EARLY)})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self._settings.timers_arn,
                "RoleArn": self._settings.schedule_role,
                "Input": message.text({"look": run_id, "function_id": function_id, "at": at}),
            },
        }


def _second(at: int) -> str:
    """The first whole second at or after `at`, in the form of an `at(...)` expression."""
    return datetime.fromtimestamp(-(-at // 1_000), UTC).strftime("%Y-%m-%dT%H:%M:%S")
