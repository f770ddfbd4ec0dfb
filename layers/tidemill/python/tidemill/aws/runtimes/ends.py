"""Turns a message about the end of a remote attempt into the result that the run's journal records."""

from __future__ import annotations

from collections.abc import Iterable

from tidemill import values
from tidemill.aws.calls.client import Client
from tidemill.aws.messages.lambda_answers import value_of
from tidemill.aws.messages.types import NotAMessage, StepFinished, Stopped
from tidemill.aws.runtimes import fargate, task_log
from tidemill.aws.runtimes.context import Places
from tidemill.aws.settings import step_mark, step_name
from tidemill.core.definition import Definition, StepSpec
from tidemill.errors import TaskFailed
from tidemill.limits import SECOND
from tidemill.model import Failure
from tidemill.runtimes.output import OUTPUT_BYTES, checked, failed, printed
from tidemill.task import Task


class Ends:
    """`log_group`: the log group of the containers."""

    def __init__(self, places: Places, definitions: Iterable[Definition], log_group: str) -> None:
        self._places = places
        self._log_group = log_group
        self._definitions = {one.spec.id: one for one in definitions}

    @property
    def _client(self) -> Client:
        return self._places.client

    def step_of(self, function_id: str, found: StepFinished | Stopped) -> str:
        """The step's id. Raises NotAMessage if the definition has no such step."""
        return self._step(function_id, found).id

    def end(self, function_id: str, found: StepFinished | Stopped, body: str) -> bytes | Failure | None:
        """The encoded value, or the failure. None: not known yet; the message will come again."""
        step = self._step(function_id, found)
        task = Task(function_id, found.run_id, found.attempt, step, ".", {})
        try:
            if isinstance(found, StepFinished):
                return self._told(task, found)
            return self._stopped(task, found, body)
        except TaskFailed as error:
            return error.failure

    def _told(self, task: Task, found: StepFinished) -> bytes | Failure:
        if found.failure is not None:
            return found.failure
        data = self._places.blobs.get(found.blob) if found.blob is not None else found.value
        return values.encode(checked(task, value_of(data or b"null"), self._places.now()), "result")

    def _stopped(self, task: Task, found: Stopped, body: str) -> bytes | Failure | None:
        if (failure := fargate.failure_in(task, found)) is not None:
            raise failure
        now = self._places.now()
        stopped_at = found.at if found.at is not None else now - task_log.PATIENCE
        if now < stopped_at + task_log.SETTLING:
            self._later(task, body, stopped_at + task_log.SETTLING - now)
            return None
        stream = task_log.stream_name(
            step_name(self._places.settings.deployment, task.function_id, task.step.id), found.task
        )
        try:
            text = task_log.standard_output(self._client, self._log_group, stream)
        except task_log.TooLong:
            said = f"step {task.step.id!r}: it has put out more than {OUTPUT_BYTES:,} bytes"
            raise failed(
                "OutputTooLarge", f"{said}; let it store the data, and put out its address", retriable=False
            ) from None
        failed_exit = bool(found.codes.get(fargate.STEP))  # such a program may have no output
        if not failed_exit and not task_log.looks_whole(text) and now < stopped_at + task_log.PATIENCE:
            self._later(task, body, task_log.AGAIN)
            return None
        output = printed(text or b"")
        if (exited := fargate.exited(task, found, output, now)) is not None:
            raise exited
        return values.encode(checked(task, output, now), "result")

    def _later(self, task: Task, body: str, ms: int) -> None:
        """Have this message come again later."""
        sent = {
            "QueueUrl": self._places.settings.queue_url(task.function_id),
            "MessageBody": body,
            "DelaySeconds": -(-ms // SECOND),
        }
        self._client.call("sqs", "SendMessage", sent)

    def _step(self, function_id: str, found: StepFinished | Stopped) -> StepSpec:
        steps = self._definitions[function_id].steps if function_id in self._definitions else ()
        for step in steps:
            if (step_mark(step.id) == found.mark) if isinstance(found, Stopped) else (step.id == found.step_id):
                return step
        named = found.mark if isinstance(found, Stopped) else repr(found.step_id)
        raise NotAMessage(f"{function_id} has no step {named}, which this message is about")
