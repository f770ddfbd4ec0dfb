"""The runtime `lambda` on this machine: runs a step's folder with Lambda's runtime client, or calls a deployed one.

A folder's process starts in its folder, which is first on its path, and stays warm for the next invocations; changed
code gets a new process. A process can do everything as in Lambda: be cold or warm, raise, time out, die. Memory is not
limited here. An `arn` is invoked in AWS with the usual credentials, and waited for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.core.definition import Lambda
from tidemill.errors import TaskFailed, Unavailable
from tidemill.limits import MINUTE, SECOND
from tidemill.runtimes.extras import absent
from tidemill.runtimes.output import (
    PAYLOAD_BYTES,
    REFUSED,
    Clock,
    StepLog,
    checked,
    encoded,
    failed,
    timed_out,
    too_much,
)
from tidemill_local.runtimes import runtime_api
from tidemill_local.runtimes.runtime_wire import AnswerTooLargeError, LambdaExitedError
from tidemill_local.runtimes.warm import Code, Versions, Warm

if TYPE_CHECKING:
    from tidemill.aws.calls.client import Client
    from tidemill.task import Task

TIMEOUT = 15 * MINUTE  # the longest that a Lambda may run


class LambdaRuntime:
    """`clock` is the time in milliseconds; `client` calls AWS: it must not repeat a call that may have been carried
    out."""

    def __init__(
        self, clock: Clock, client: Client | None = None, warm: Warm | None = None, versions: Versions | None = None
    ) -> None:
        self._clock = clock
        self._client = client
        self._versions = versions if versions is not None else Versions()
        self.warm = warm if warm is not None else Warm()

    def __call__(self, task: Task) -> Any:
        runtime = task.step.runtime
        assert isinstance(runtime, Lambda)
        payload = encoded(task)
        if len(payload) > PAYLOAD_BYTES:
            said = f"step {task.step.id!r}: its input is {len(payload):,} bytes, and a Lambda takes {PAYLOAD_BYTES:,}"
            raise failed("InputTooLarge", f"{said}; let the steps before it hand on less", retriable=False)
        if runtime.arn is not None:
            body, error = self._deployed(task, runtime.arn, payload)
        else:
            body, error, _ = self._folder(task, runtime, payload)
        from tidemill.aws.messages.lambda_answers import failure_of, value_of

        if error:
            raise TaskFailed(failure_of(body))
        return checked(task, value_of(body), self._clock())

    def _folder(self, task: Task, runtime: Lambda, payload: bytes) -> runtime_api.Answer:
        folder = _folder(task)
        code = Code(folder, runtime.handler, runtime.memory, self._versions.of(folder))
        name = f"{task.function_id}-{task.step.id}".replace(".", "-")
        log = StepLog(task)
        while True:
            process, warm = self.warm.take(code, name)
            try:
                answer = process.invoke(payload, (task.step.timeout or TIMEOUT) / SECOND, log.take)
            except BaseException as error:
                self.warm.drop(process)
                if isinstance(error, LambdaExitedError) and warm and not error.asked:
                    continue  # an earlier cause ended the process: not a failure of this attempt
                log.end()
                raise _failure(task, error, process, log) from error
            log.end()
            if answer.last:
                self.warm.drop(process)
            else:
                self.warm.give(code, process)
            return answer

    def _deployed(self, task: Task, arn: str, payload: bytes) -> tuple[bytes, bool]:
        from tidemill.aws.calls.client import AwsError, Client

        if self._client is None:
            self._client = Client(tries=1)
        timeout = task.step.timeout or TIMEOUT
        try:
            path = f"/2015-03-31/functions/{arn}/invocations"
            reply = self._client.send("lambda", "POST", path, body=payload, timeout=timeout / SECOND)
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                raise timed_out(task, timeout, arn) from error
            raise failed("Unavailable", f"step {task.step.id!r}: {arn} did not answer: {error}") from error
        except AwsError as error:
            raise failed(error.code, f"step {task.step.id!r}: {arn} cannot be invoked: {error}") from error
        return reply.body, "x-amz-function-error" in reply.headers


def _folder(task: Task) -> Path:
    step = task.step
    problem = None
    folder = Path(task.folder, step.path or "").absolute()
    if step.path is None:
        problem = 'it has neither an "arn" nor a "path"; give it one of them'
    elif not folder.is_dir():
        problem = f"its path {step.path} is no folder"
    else:
        problem = absent("lambda")
    if problem is not None:
        raise failed(REFUSED, f"step {step.id!r} cannot be run: {problem}", retriable=False)
    return folder


def _failure(task: Task, error: BaseException, process: runtime_api.LambdaProcess, log: StepLog) -> BaseException:
    match error:
        case runtime_api.LambdaTimeoutError(init=True):
            return timed_out(task, int(runtime_api.INIT * SECOND), "the start of its process, with its imports,")
        case runtime_api.LambdaTimeoutError():
            return timed_out(task, task.step.timeout or TIMEOUT, "its handler")
        case LambdaExitedError():
            status = f"step {task.step.id!r}: its process exited before it had answered ({process.exit_status()})"
            return failed("Runtime.ExitError", status + (f": {log.last()}" if log.last() else ""))
        case AnswerTooLargeError():
            advice = "let it store the data, and return its address"
            return too_much(task, "what its handler returned", PAYLOAD_BYTES, advice)
        case _:
            return error
