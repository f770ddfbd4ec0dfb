"""Turns starts in dead-letter queues, which failed before any code of the platform ran, into runs.

A deploy whose code cannot be loaded fails every message before the layer can create a head: the run would be in no
list, and nothing would ever start it. So this module creates a head for these starts, unclaimed and due: a run that
people can see and cancel, and that continues by itself once the code is fixed. It deletes their messages, because the
table then has all of their content.

Everything else stays in the queue, for people to see: messages whose run exists (it fails by itself, see
`core.next_action`), and messages of other senders. A function's dead letters are counted every ten minutes, a tenth of
the functions each minute: nothing here is urgent, and each request costs money. Queues with dead letters are read while
there is time, one after the other, and again in the next minute: a bad deploy may leave a hundred thousand.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.messages import types as message
from tidemill.aws.messages.parse import read as read_message
from tidemill.aws.settings import Settings
from tidemill.engine.intake import receive, start
from tidemill.errors import Unavailable
from tidemill.limits import MINUTE
from tidemill.model import CronTrigger, Event, FunctionSpec
from tidemill.ports import World

ROUND = 10  # minutes in which every function's dead letters are read once
_HIDDEN = 60  # seconds for which a message that was read stays invisible, so that reading makes progress
_WAIT = 1  # second: a read without waiting asks only some of a queue's servers, and misses messages on others


def turn(specs: Sequence[FunctionSpec], now: int, busy: Collection[str] = ()) -> list[FunctionSpec]:
    """The functions whose dead letters are read in this minute; the `busy` ones, by id, in every minute."""
    minute = now // MINUTE
    known = sorted(specs, key=lambda spec: spec.id)
    return [spec for number, spec in enumerate(known) if (number - minute) % ROUND == 0 or spec.id in busy]


class Adopted(NamedTuple):
    """How many became runs, the errors, and the functions that have more dead letters."""

    runs: int
    problems: list[str]
    busy: set[str]


def adopt(
    world: World, client: Client, settings: Settings, specs: Sequence[FunctionSpec], more: Callable[[], bool]
) -> Adopted:
    """Read these functions' dead letters while `more()` is true, ten of each queue in turn."""
    adopted: Counter[str] = Counter()
    problems: list[str] = []
    left = deque(specs)
    while left and more():
        spec = left.popleft()
        url = settings.dead_letter_url(spec.id)
        try:
            found = letters(client, url) if _some(client, url) else []
            adopted[spec.id] += sum(take(world, client, url, spec, each) for each in found)
        except (AwsError, Unavailable) as error:
            problems.append(f"the dead letters of {spec.id}: {error}")
        else:
            left.extend([spec] if found else [])
    return Adopted(adopted.total(), problems, {spec.id for spec in left if adopted[spec.id]})


def _some(client: Client, url: str) -> bool:
    """Whether there are dead letters; the count may lag by a minute."""
    asked = {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]}
    found = client.call("sqs", "GetQueueAttributes", asked).get("Attributes", {})
    return int(found.get("ApproximateNumberOfMessages", 0)) > 0


def letters(client: Client, url: str) -> list[dict[str, Any]]:
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": _HIDDEN, "WaitTimeSeconds": _WAIT}
    found: list[dict[str, Any]] = client.call("sqs", "ReceiveMessage", asked).get("Messages", [])
    return found


def take(world: World, client: Client, url: str, spec: FunctionSpec, letter: dict[str, Any]) -> bool:
    if not _begun(world, spec, letter["Body"]):
        return False
    client.call("sqs", "DeleteMessage", {"QueueUrl": url, "ReceiptHandle": letter["ReceiptHandle"]})
    return True


def _begun(world: World, spec: FunctionSpec, body: str) -> bool:
    """Whether this message was a start without a run, and has one now."""
    try:
        found = read_message(body)
    except message.NotAMessage:
        return False
    trigger = _trigger(spec, found) if isinstance(found, message.Tick) else None
    if isinstance(found, message.Start):
        event = found.event
    elif isinstance(found, message.Tick) and trigger is not None:
        event = receive.timer(world, spec, trigger, found.at)
    else:
        return False
    if _in_a_run(world, spec, event):
        return False
    if isinstance(found, message.Tick) and trigger is not None:
        begun = receive.fire(world, spec, trigger, found.at)
    else:
        begun = start.begin(world, spec, event)
    # A run that was created just now may not be in the index yet; one that collects events and has this one is
    # found at once.
    return begun.created or _in_a_run(world, spec, event)


def _in_a_run(world: World, spec: FunctionSpec, event: Event) -> bool:
    return any(head.function_id == spec.id for head in world.runs.of_event(event.id))


def _trigger(spec: FunctionSpec, tick: message.Tick) -> CronTrigger | None:
    crons = [trigger for trigger in spec.triggers if isinstance(trigger, CronTrigger)]
    return next((cron for cron in crons if (cron.cron, cron.timezone) == (tick.cron, tick.timezone)), None)
