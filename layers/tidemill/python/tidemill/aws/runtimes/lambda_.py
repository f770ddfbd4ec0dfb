"""The runtime `lambda` in AWS: invokes a Lambda, and waits for seconds, because a waiting executor costs money.

*Its own folder*: the Lambda that CDK makes of it contains the wrapper `step_handler`. It is invoked as usual, and if it
answers within a few seconds that is all. The wrapper knows the time after which the executor no longer waits, and sends
a later result to the function's queue. A cold start counts as waiting, too: both sides use the same time, `late_at`,
and the executor waits a second longer than that, because clocks differ.

    now        late_at              give up             until
     |------------|---------------------|------ … --------|
       the answer    answer and message    only a message    no message: the attempt has failed

Giving up closes the connection; the Lambda continues. How long to wait is a question of cost: to suspend a run and to
resume it costs about as much as three seconds of an executor (docs/decisions/0007), so an executor that waits that long
pays at most twice the optimum.

*A foreign Lambda* (`arn`) has no wrapper. If the step's timeout is at most WAIT, the executor waits for the whole
timeout. Otherwise it invokes the Lambda asynchronously, by an alias that CDK makes for this function, with this
function's queue as the destination of success and failure: Lambda itself reports the end, and retries nothing.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from tidemill.aws.calls.client import AwsError, Reply
from tidemill.aws.messages.lambda_answers import failure_of, value_of
from tidemill.aws.runtimes.context import Places
from tidemill.aws.runtimes.step_handler import ANSWER_BYTES, ELSEWHERE
from tidemill.aws.settings import queue_name, step_name
from tidemill.core.definition import Lambda
from tidemill.errors import TaskFailed, Unavailable
from tidemill.limits import MINUTE, SECOND
from tidemill.runtimes.output import PAYLOAD_BYTES, TIMEOUT, checked, encoded, failed, timed_out
from tidemill.task import Handed, Task

LATE = 2_500  # milliseconds: a later end arrives as a message
WAIT = 4_000  # a foreign Lambda that may take longer is not waited for
LONGER = 1_000  # longer than `late_at`, for clocks that differ and the way back
LONGEST = 15 * MINUTE  # that any Lambda may run
_SLACK = 30 * SECOND  # a cold start, a message, a busy executor
QUEUED = 5 * MINUTE  # how long an asynchronous invocation may wait for its turn: CDK sets it
_TRIES = 6
_EARLY = 200  # milliseconds by which two clocks may differ about the end of the timeout
_NOT_TAKEN = (413,)  # too large: another attempt would not help


class LambdaSteps:
    """The runtime `lambda`."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __call__(self, task: Task) -> Any:
        runtime = task.step.runtime
        assert isinstance(runtime, Lambda)
        if runtime.arn is None:
            return self._own(task)
        if waited_for(task.step.timeout):
            return self._foreign(task, runtime.arn, task.step.timeout or WAIT)
        return self._handed(task, runtime.arn)

    def _own(self, task: Task) -> Any:
        settings = self._places.settings
        payload, given = encoded(task), None
        if len(payload) > ANSWER_BYTES:
            payload, given = b"{}", self._places.blobs.put(payload)
        beside = {
            "queue": settings.queue_url(task.function_id), "bucket": settings.bucket, "run_id": task.run_id,
            "step_id": task.step.id, "attempt": task.attempt, "given": given,
        }  # fmt: skip
        began = self._places.now()

        def headers() -> dict[str, str]:
            said = {"custom": {"tidemill": {**beside, "late_at": self._places.now() + LATE}}}
            return {"x-amz-client-context": base64.b64encode(msgspec.json.encode(said)).decode()}

        name = step_name(settings.deployment, task.function_id, task.step.id)
        reply = self._invoke(task, name, payload, headers, LATE + LONGER)
        answer = self._answer(task, reply) if reply is not None else ELSEWHERE
        if answer == ELSEWHERE:
            return Handed(began + (task.step.timeout or LONGEST) + _SLACK)
        return answer

    def _foreign(self, task: Task, arn: str, timeout: int) -> Any:
        reply = self._invoke(task, arn, self._payload(task), dict[str, str], timeout)
        if reply is None:
            raise timed_out(task, timeout, arn)
        return self._answer(task, reply)

    def _handed(self, task: Task, arn: str) -> Handed:
        alias = queue_name(self._places.settings.deployment, task.function_id)
        self._invoke(
            task, f"{arn}:{alias}", self._payload(task), lambda: {"x-amz-invocation-type": "Event"}, 10 * SECOND
        )
        return Handed(self._places.now() + QUEUED + (task.step.timeout or LONGEST) + _SLACK)

    def _payload(self, task: Task) -> bytes:
        payload = encoded(task)
        if len(payload) > PAYLOAD_BYTES:
            said = f"step {task.step.id!r}: its input is {len(payload):,} bytes, and a Lambda takes {PAYLOAD_BYTES:,}"
            raise failed("InputTooLarge", f"{said}; let the steps before it hand on less", retriable=False)
        return payload

    def _invoke(self, task: Task, name: str, payload: bytes, headers: Any, wait: int) -> Reply | None:
        """The answer; None if none came within this many milliseconds after the request was sent."""
        path = f"/2015-03-31/functions/{name}/invocations"
        for tries in range(1, _TRIES + 1):
            asked_at = self._places.now()
            try:
                return self._places.once.send(
                    "lambda", "POST", path, headers=headers(), body=payload, timeout=wait / SECOND
                )
            except AwsError as error:
                raise failed(
                    error.code,
                    f"step {task.step.id!r}: its Lambda cannot be invoked: {error}",
                    retriable=error.status not in _NOT_TAKEN,
                ) from error
            except Unavailable as error:
                # Connecting times out sooner: then no request was sent.
                if isinstance(error.__cause__, TimeoutError) and self._places.now() - asked_at >= wait - _EARLY:
                    return None
                if tries == _TRIES:  # throttled, or broken, each time
                    raise
            self._places.once.pause(tries)
        raise AssertionError

    def _answer(self, task: Task, reply: Reply) -> Any:
        if "x-amz-function-error" in reply.headers:
            failure = failure_of(reply.body)
            if failure.type == TIMEOUT:
                raise timed_out(task, task.step.timeout or LONGEST, "its Lambda")
            raise TaskFailed(failure)
        return checked(task, value_of(reply.body), self._places.now())


def waited_for(timeout: int | None) -> bool:
    """Whether a foreign Lambda with this timeout is waited for."""
    return timeout is not None and timeout <= WAIT
