"""The handler of a user's Lambda: `tidemill.aws.function.entry.handler`, whatever the app.

What is loaded here is paid at every cold start (test_import_budget.py lists what is not).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
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
        """`again`: has a message come again sooner than its visibility timeout ends. `bury`: puts one among the dead
        letters of its queue, with a reason."""
        self._functions = functions
        self._bury = bury or _bury
        self._again = again or _sooner
        self._metrics = metrics or Metrics(os.environ.get("TIDEMILL_NAME", ""))
        self._executor: Executor | None = None
        self.context: Any = None  # of the invocation that is under way

    def handle(self, event: Event, context: Any) -> dict[str, Any]:
        """SQS messages in, and those that are to come again out. Raises BadDeploy where the code cannot be loaded."""
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
        """Do now what can be done before the first message; a deploy that cannot be loaded is told with the message."""
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
        """Whether a message that this deploy cannot work off has come often enough: there the sweep makes it a run."""
        if received(record) < PATIENCE:
            return False
        try:
            self._bury(str(record["eventSourceARN"]).rpartition(":")[2], record["body"], reason)
        except (AwsError, Unavailable):
            return False
        return True

    def _failed(self, executor: Executor, record: Event, queue: str, error: Exception) -> bool:
        """Whether a message that failed for no reason known to pass is done with: it has failed often enough."""
        if isinstance(error, AwsError) or received(record) < PATIENCE:
            logs.logger.exception("a message of %s comes again: working it off failed", queue)
            return False
        reason = f"it failed {received(record)} times: {type(error).__name__}: {error}"
        try:
            executor.poison(queue, record["body"], reason)
        except (AwsError, Unavailable):
            logs.logger.exception("a message of %s comes again: its dead-letter queue did not take it", queue)
            return False
        return True

    def _work(self, executor: Executor, record: Event, this: Turn) -> bool:
        """Whether this message is done with."""
        sent = record.get("attributes", {}).get("SentTimestamp")
        queue = str(record["eventSourceARN"]).rpartition(":")[2]
        try:
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
    """The entry of one app: what `app.handler` is."""
    return Entry(lambda: app.functions)


def _executor(functions: load_app.Functions, metrics: Metrics) -> Executor:
    from tidemill.aws import world

    return Executor(
        world.world(),
        functions,
        mill=world.settings().mill,
        version=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        dead=world.dead_letters(),
        metrics=metrics,
        sleep=lambda ms: time.sleep(ms / 1_000),
        ends=_ends,
        hand_back=world.queue().hand_back,
    )


def _ends() -> Ends:
    from tidemill.aws.runtimes import defined  # only steps of definitions go on elsewhere

    return defined.ends(os.environ)


def _declared() -> load_app.Functions:
    return load_app.load(os.environ, lambda: _entry.context)


_entry = Entry(_declared)
_CODE = {"TIDEMILL_APP", "TIDEMILL_HANDLER", "TIDEMILL_DEFINITIONS"}  # one of them says what this Lambda runs

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ and _CODE & os.environ.keys():
    _entry.warm()  # while Lambda starts a process it gives it a whole core; afterwards what its memory buys
