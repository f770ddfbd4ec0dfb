"""Creates a function's two queues unless they exist: CloudFormation would refuse an existing name.

So a removed function keeps its dead letters until it comes back, and an app can move to its own stack in one
deployment. The queue of a removed function is deleted, and its messages become dead letters; the sweep starts the runs
of those that are starts once the function is declared again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidemill.aws.calls.client import AwsError, Client
from tidemill.errors import Unavailable

_NONE = ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
_DELETED_RECENTLY = ("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently")
_WAIT = 5.0  # seconds between attempts to take a name again
_ATTEMPTS = 14  # AWS keeps the name of a deleted queue for 60 seconds
_PAGES = 200  # of ten messages that are saved from a queue
_HIDDEN = 120  # seconds for which a message that is being saved stays invisible


class Queues(msgspec.Struct, frozen=True, rename="pascal"):
    """The property `Queues`. The attributes are those of SQS. `keep`: dead letters outlive the function."""

    name: str
    dead_name: str
    attributes: dict[str, str]
    dead_attributes: dict[str, str]
    keep: str = "true"  # CloudFormation turns every value into text


def queues(properties: Mapping[str, Any]) -> Queues | None:
    """The queues in a stack's request; None: the stack makes them itself. Raises msgspec.ValidationError."""
    found = properties.get("Queues")
    return None if found is None else msgspec.convert(found, Queues)


def make(client: Client, wanted: Queues, sleep: Callable[[float], None] = time.sleep) -> None:
    """Make both queues with these attributes; existing queues keep their messages."""
    _ensure(client, wanted.dead_name, wanted.dead_attributes, sleep)  # first: the other queue refers to it
    _ensure(client, wanted.name, wanted.attributes, sleep)


def retire(client: Client, wanted: Queues) -> None:
    """The function is gone: move its messages to the dead letters, then delete its queue."""
    url = _url(client, wanted.name)
    dead = _url(client, wanted.dead_name)
    if wanted.keep != "true":
        for each in (url, dead):
            if each is not None:
                client.call("sqs", "DeleteQueue", {"QueueUrl": each})
    elif url is not None and (dead is None or _saved(client, url, dead)):
        client.call("sqs", "DeleteQueue", {"QueueUrl": url})


def _ensure(client: Client, name: str, attributes: Mapping[str, str], sleep: Callable[[float], None]) -> None:
    url = _url(client, name)
    if url is None:
        _create(client, name, attributes, sleep)
    else:
        client.call("sqs", "SetQueueAttributes", {"QueueUrl": url, "Attributes": dict(attributes)})


def _create(client: Client, name: str, attributes: Mapping[str, str], sleep: Callable[[float], None]) -> None:
    for _ in range(_ATTEMPTS):
        try:
            client.call("sqs", "CreateQueue", {"QueueName": name, "Attributes": dict(attributes)})
        except AwsError as error:
            if error.code not in _DELETED_RECENTLY:
                raise
            sleep(_WAIT)
        else:
            return
    raise Unavailable(f"AWS does not give the queue's name {name} again, a minute after it was deleted")


def _url(client: Client, name: str) -> str | None:
    try:
        return str(client.call("sqs", "GetQueueUrl", {"QueueName": name})["QueueUrl"])
    except AwsError as error:
        if error.code in _NONE:
            return None
        raise


def _saved(client: Client, url: str, dead: str) -> bool:
    """Move the messages to the dead letters. True once two reads in a row found none."""
    empty = 0
    for _ in range(_PAGES):
        asked = {
            "QueueUrl": url,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 1,  # a long poll asks every server of SQS, a short poll only some
            "VisibilityTimeout": _HIDDEN,
            "MessageAttributeNames": ["All"],
        }
        found = client.call("sqs", "ReceiveMessage", asked).get("Messages", [])
        for each in found:
            _move(client, url, dead, each)
        empty = 0 if found else empty + 1
        if empty == 2:
            return True
    return False


def _move(client: Client, url: str, dead: str, found: Mapping[str, Any]) -> None:
    attributes = found.get("MessageAttributes", {})
    sent = {"QueueUrl": dead, "MessageBody": found["Body"], **({"MessageAttributes": attributes} if attributes else {})}
    client.call("sqs", "SendMessage", sent)
    client.call("sqs", "DeleteMessage", {"QueueUrl": url, "ReceiptHandle": found["ReceiptHandle"]})
