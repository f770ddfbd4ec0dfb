"""The handler of every user's Lambda: `tidemill.aws.function.entry.handler`.

Every import here is paid at each cold start (test_import_budget.py lists what is not imported).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tidemill.aws.calls.client import AwsError
from tidemill.aws.function import load_app, logs
from tidemill.aws.function.executor import Executor, Refused, Turn, turn
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.messages.redelivery import PATIENCE, Again, received, sooner
from tidemill.errors import Unavailable

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.aws.runtimes.ends import Ends

Event = Mapping[str, Any]


class Entry:
    """Answers invocations with an executor that is made once, when it is first needed."""

    def __init__(
        self,
        functions: Callable[[], load_app.Functions],
        metrics: Metrics | None = None,
        again: Again | None = None,
        bury: Callable[[str, str, str], object] | None = None,
    ) -> None:
        """`again`: returns a message to its queue before its visibility timeout ends. `bury`: puts a message into the
        dead-letter queue, with a reason."""
        self._functions = functions
        self._bury = bury or _bury
        self._again = again or _sooner
        self._metrics = metrics or Metrics(os.environ.get("TIDEMILL_NAME", ""))
        self._executor: Executor | None = None
        self.context: Any = None  # the context of the current invocation

    def handle(self, event: Event, context: Any) -> dict[str, Any]:
        """Processes SQS messages, and returns those to redeliver. Raises BadDeploy if the code cannot be loaded."""
        if not isinstance(event.get("Records"), list):
            raise ValueError(
                "this Lambda takes messages of its functions' queues; to start a function send it an event, or call "
                "POST /v1/functions/{id}/invoke"
            )
        logs.install()
        self.context = context
        records = cast("list[Event]", event["Records"])
        try:
            executor = self._ready()
        except load_app.BadDeploy as error:
            if not all(self._buried(record, str(error)) for record in records):
                raise
            return {"batchItemFailures": []}
        this = turn(context.aws_request_id, executor.now(), context.get_remaining_time_in_millis())
        failed = [record["messageId"] for record in records if not self._work(executor, record, this)]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def warm(self) -> None:
        """Do the work that is possible before the first message. A deploy that cannot be loaded fails later."""
        with suppress(load_app.BadDeploy):
            self._load()

    def _ready(self) -> Executor:
        try:
            return self._load()
        except load_app.BadDeploy as error:
            logs.logger.error("%s", error)
            raise

    def _load(self) -> Executor:
        if self._executor is None:
            self._executor = _executor(self._functions(), self._metrics)
        return self._executor

    def _buried(self, record: Event, reason: str) -> bool:
        """Whether a message that this deploy cannot process has come often enough to go to the dead-letter queue."""
        if received(record) < PATIENCE:
            return False
        try:
            self._bury(str(record["eventSourceARN"]).rpartition(":")[2], record["body"], reason)
        except (AwsError, Unavailable):
            return False
        return True

    def _failed(self, executor: Executor, record: Event, queue: str, error: Exception) -> bool:
        """Whether a message that failed for an unknown reason has failed often enough to be given up."""
        if isinstance(error, AwsError) or received(record) < PATIENCE:
            logs.logger.exception("a message of %s comes again: processing it failed", queue)
            return False
        reason = f"it failed {received(record)} times: {type(error).__name__}: {error}"
        try:
            executor.poison(queue, record["body"], reason)
        except (AwsError, Unavailable):
            logs.logger.exception("a message of %s comes again: its dead-letter queue did not take it", queue)
            return False
        return True

    def _work(self, executor: Executor, record: Event, this: Turn) -> bool:
        """Whether this message is processed and can be deleted."""
        sent = record.get("attributes", {}).get("SentTimestamp")
        queue = str(record["eventSourceARN"]).rpartition(":")[2]
        try:
            this = replace(this, again=received(record) > 1)
            executor.work(queue, record["body"], int(sent) if sent else None, this)
        except Unavailable as error:
            logs.logger.error("a message of %s comes again soon: %s", queue, error)
            self._again(record)
            return False
        except Refused as error:
            logs.logger.error("a message of %s comes again: %s", queue, error)
            return False
        except Exception as error:
            return self._failed(executor, record, queue, error)
        finally:
            self._metrics.flush(**logs.ids.now)
            logs.about()
        return True


def _sooner(record: Event) -> None:
    from tidemill.aws import world

    sooner(world.client(), world.settings().queues)(record)


def _bury(queue: str, body: str, reason: str) -> None:
    from tidemill.aws import world
    from tidemill.aws.messages import dead_letters as dead

    dead.bury(world.client(), world.settings().queues, queue, body, reason)


def handler(event: Event, context: Any) -> dict[str, Any]:
    """For TIDEMILL_APP="module:app", TIDEMILL_HANDLER="module.handler" with TIDEMILL_FUNCTION, or
    TIDEMILL_DEFINITIONS="definitions.json"."""
    return _entry.handle(event, context)


def serving(app: App) -> Entry:
    """The entry of one app, for `app.handler`."""
    return Entry(lambda: app.functions)


def _executor(functions: load_app.Functions, metrics: Metrics) -> Executor:
    from tidemill.aws import world

    return Executor(
        world.world(),
        functions,
        deployment=world.settings().deployment,
        version=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        dead=world.dead_letters(),
        metrics=metrics,
        sleep=lambda ms: time.sleep(ms / 1_000),
        ends=_ends,
        hand_back=world.queue().hand_back,
    )


def _ends() -> Ends:
    from tidemill.aws.runtimes import defined  # only definitions have remote steps

    return defined.ends(os.environ)


def _declared() -> load_app.Functions:
    return load_app.load(os.environ, lambda: _entry.context)


_entry = Entry(_declared)
_CODE = {"TIDEMILL_APP", "TIDEMILL_HANDLER", "TIDEMILL_DEFINITIONS"}  # one of them names the code of this Lambda

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ and _CODE & os.environ.keys():
    _entry.warm()  # Lambda gives a starting process a whole core, and later only the share of its memory
