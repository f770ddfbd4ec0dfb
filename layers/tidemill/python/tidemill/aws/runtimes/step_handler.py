"""The handler of a step's Lambda, `tidemill.aws.runtimes.step_handler.handler`, which wraps the user's handler.

It calls the user's handler with the event as it came. The executor that invoked it waits for the answer only for a
short time: beside the event it says until when (`late_at`), and where to send a later result. So an early answer
returns like any Lambda's, and a late one is also sent to the function's queue.

    ends before `late_at`    only the answer: the executor waits a second longer than that, for clocks that differ
    ends after it            the answer, and a message to the queue; if the executor got the answer after all, the
                             message changes nothing
    dies, or is cut off      nothing: the executor's deadline for this attempt passes, and the attempt has failed

Values that are too large for an answer (6 MB) or a message go through the deployment's bucket, in both directions. An
event without an executor's instructions goes straight to the user's handler.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import msgspec

from tidemill import characters

ANSWER_BYTES = 5_000_000  # below the 6 MB of Lambda's input and output
MESSAGE_BYTES = 240_000  # beyond it the bucket is cheaper than a queue
ELSEWHERE = {"$tidemill": "sent to the queue"}  # the answer in place of one that is too large

Handler = Callable[[Any, Any], Any]


class Reply(msgspec.Struct, frozen=True):
    """The executor's instructions beside the event: the run and step, and where to send a late result.

    `given`: the name of the blob with the event, if the event was too large to send.
    """

    queue: str  # its URL
    bucket: str
    run_id: str
    step_id: str
    attempt: int
    late_at: int  # milliseconds since the epoch
    given: str | None = None


def call(user: Handler, event: Any, context: Any, now: Callable[[], int], send: Callable[[Reply, bytes], None]) -> Any:
    """One invocation. `send`: sends an outcome, made by `_outcome` or `_failure`, to the reply's queue."""
    reply = reply_of(context)
    if reply is None:
        return user(event, context)
    try:
        answer = user(_blob(reply, reply.given) if reply.given else event, context)
        text = json.dumps(answer, default=_plain, separators=(",", ":"), allow_nan=False).encode()
    except BaseException as error:
        if now() > reply.late_at:
            send(reply, _told(reply, failure=_failure(error)))
        raise
    if now() <= reply.late_at and len(text) <= ANSWER_BYTES:
        return answer
    if len(text) <= MESSAGE_BYTES:
        send(reply, _told(reply, value=msgspec.Raw(text)))
    else:
        send(reply, _told(reply, blob=_kept(reply, text)))
    return answer if len(text) <= ANSWER_BYTES else ELSEWHERE


def reply_of(context: Any) -> Reply | None:
    beside = getattr(context, "client_context", None)
    custom = getattr(beside, "custom", None)
    said = cast("Mapping[str, Any]", custom).get("tidemill") if isinstance(custom, Mapping) else None
    return msgspec.convert(said, Reply) if said is not None else None


def _told(reply: Reply, **outcome: Any) -> bytes:
    about = {"run_id": reply.run_id, "step_id": reply.step_id, "attempt": reply.attempt}
    return msgspec.json.encode({"ended": {**about, **outcome}})


def _failure(error: BaseException) -> dict[str, Any]:
    stack = "".join(traceback.format_exception(error))
    return {"type": type(error).__name__, "message": str(error)[:8_000], "stack": stack[-8_000:]}


def _plain(value: object) -> object:
    """Values that Lambda's own runtime can write although JSON lacks them."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"the handler returned a value of type {type(value).__name__}, which is no JSON")


def _client() -> Any:
    from tidemill.aws.calls.client import Client  # few invocations need it

    return Client()


def _send(reply: Reply, body: bytes) -> None:
    _client().call("sqs", "SendMessage", {"QueueUrl": reply.queue, "MessageBody": characters.escaped(body.decode())})


def _kept(reply: Reply, data: bytes) -> str:
    return str(_blobs(reply).put(data))


def _blob(reply: Reply, name: str) -> Any:
    return json.loads(_blobs(reply).get(name))


def _blobs(reply: Reply) -> Any:
    from tidemill.aws.blobs import S3Blobs  # few invocations need it
    from tidemill.aws.settings import account_of

    return S3Blobs(_client(), reply.bucket, account_of(reply.queue))


def load(named: str) -> Handler:
    """`module.function`, from the Lambda's folder."""
    module, _, name = named.rpartition(".")
    return cast("Handler", getattr(importlib.import_module(module.replace("/", ".")), name))


def handler(event: Any, context: Any) -> Any:
    """For TIDEMILL_STEP_HANDLER="module.function"."""
    return call(_user, event, context, lambda: time.time_ns() // 1_000_000, _send)


def _missing(*_: Any) -> Any:
    raise RuntimeError("TIDEMILL_STEP_HANDLER is not set; set it to what this Lambda runs: module.function")


_user: Handler = _missing
if "TIDEMILL_STEP_HANDLER" in os.environ:
    if (_root := os.environ.get("LAMBDA_TASK_ROOT")) and _root not in sys.path:
        sys.path.insert(0, _root)
    _user = load(os.environ["TIDEMILL_STEP_HANDLER"])  # Lambda gives a starting process a whole core
