"""SQS, EventBridge and Scheduler as their documentation promises them, and no better: what the real adapters talk to.

- A queue delivers at least once, in any order; what is not deleted comes again when its visibility timeout ends, and
  goes to the dead-letter queue after so many times. Delays are whole seconds, 15 minutes at most.
- The bus delivers at least once, in any order; a request may be refused in part.
- A one-shot schedule fires up to a minute late and deletes itself; now and then never, or twice.

`Cloud` replaces `tidemill.aws.calls.client.Client`: any call may do nothing and fail, or do its work and look failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from simulation.loop import Loop

from tidemill.aws.calls.client import AwsError
from tidemill.aws.calls.transport import Reply
from tidemill.errors import Unavailable

Record = dict[str, Any]  # a message as Lambda gets it


@dataclass
class Queue:
    name: str
    handle: Callable[[Record], bool]  # whether the message is done with
    attempts: int
    dead: Callable[[Letter], None]
    deleted: bool = False


@dataclass
class Letter:
    id: str
    body: str
    sent: int
    received: int = 0
    over: bool = False
    hidden: int = 0  # tells one stretch of invisibility from the next


@dataclass
class Schedule:
    """`made` tells a schedule from another of the same name, and from itself before it was moved."""

    made: int
    body: dict[str, Any]


class Host(Protocol):
    """The system that this cloud is part of."""

    loop: Loop
    faults: float

    def pause(self) -> None: ...

    def deliver_letter(self, queue: Queue, letter: Letter) -> None:
        """Give this message to a Lambda."""
        ...

    def targets(self, envelope: Mapping[str, Any]) -> list[str]:
        """The queues that the bus's rules send this to."""
        ...


@dataclass
class Cloud:
    host: Host
    queues: dict[str, Queue] = field(default_factory=dict)
    letters: dict[str, list[Letter]] = field(default_factory=dict)  # dead ones, by their queue
    schedules: dict[str, Schedule] = field(default_factory=dict)
    open: int = 0  # messages under way
    calls: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, tuple[Queue, Letter]] = field(default_factory=dict)  # received, by their receipt handles
    _made: int = 0

    # What adapters call.

    def call(self, service: str, operation: str, body: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        return self._faulty(operation, lambda: getattr(self, f"_{operation}")(json.loads(json.dumps(body))))

    def send(self, service: str, method: str, path: str, *, body: bytes = b"", **_: Any) -> Reply:
        assert service == "scheduler"
        name = path.removeprefix("/schedules/")
        assert 1 <= len(name) <= 64
        self._faulty(f"{method} schedule", lambda: getattr(self, f"_{method}")(name, json.loads(body or b"{}")))
        return Reply(200, {}, b"{}")

    def _faulty(self, what: str, work: Callable[[], Any]) -> Any:
        self.host.pause()
        self.calls[what] = self.calls.get(what, 0) + 1
        chance = self.host.loop.random.random() / max(self.host.faults, 1e-9)
        if chance < 0.004:
            raise Unavailable(f"{what} did not answer")
        result = work()
        if chance < 0.008:
            raise Unavailable(f"{what} did not answer in time")
        return result

    # SQS.

    def _SendMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        delay = body.get("DelaySeconds", 0)
        assert isinstance(delay, int)
        assert 0 <= delay <= 900
        name = body["QueueUrl"].rpartition("/")[2]
        if name not in self.queues and not name.endswith("-dead"):
            raise AwsError("sqs", "SendMessage", "QueueDoesNotExist", "there is none", 400)
        self.put(name, body["MessageBody"], delay * 1_000)
        return {}

    def _ReceiveMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Of dead letters; the others go to Lambdas."""
        name = body["QueueUrl"].rpartition("/")[2]
        now = self.host.loop.now
        found = [each for each in self.letters.get(name, []) if each.sent <= now][: body["MaxNumberOfMessages"]]
        for each in found:
            each.sent = now + body["VisibilityTimeout"] * 1_000
        return {"Messages": [{"Body": each.body, "ReceiptHandle": each.id} for each in found]} if found else {}

    def _GetQueueAttributes(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = body["QueueUrl"].rpartition("/")[2]
        count = sum(each.sent <= self.host.loop.now for each in self.letters.get(name, []))
        return {"Attributes": {"ApproximateNumberOfMessages": str(count)}}

    def _DeleteMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = body["QueueUrl"].rpartition("/")[2]
        self.letters[name] = [each for each in self.letters[name] if each.id != body["ReceiptHandle"]]
        return {}

    def put(self, queue: str, body: str, after: int = 0) -> None:
        """A message: comes after a while, perhaps twice."""
        rng, faults = self.host.loop.random, self.host.faults
        if queue not in self.queues:  # a dead-letter queue, into which somebody puts a message himself
            self._bury(queue, Letter(self._id(), body, self.host.loop.now))
            return
        for _ in range(2 if rng.random() < 0.08 * faults else 1):
            late = rng.randint(2, 40) if rng.random() > 0.05 * faults else rng.randint(0, 30_000)
            self.open += 1
            self._later(self.queues[queue], Letter(self._id(), body, self.host.loop.now), after + late)

    def _later(self, queue: Queue, letter: Letter, after: int) -> None:
        self.host.loop.at(self.host.loop.now + after, lambda: self._receive(queue, letter))

    def _receive(self, queue: Queue, letter: Letter) -> None:
        if letter.over:
            return
        if queue.deleted:
            self.deleted(letter)
            return
        letter.received += 1
        self.under_way.pop(letter.id, None)
        if letter.received > queue.attempts:
            letter.over = True
            self.open -= 1
            queue.dead(letter)
        else:
            self.host.deliver_letter(queue, letter)

    def delete(self, name: str) -> None:
        """The queue is deleted, and what is in it."""
        self.queues.pop(name).deleted = True

    def deleted(self, letter: Letter) -> None:
        if not letter.over:
            letter.over = True
            self.open -= 1
            self.under_way.pop(letter.id, None)

    def again(self, queue: Queue, letter: Letter, after: int) -> None:
        """It is visible again after so long, if it has not been deleted, or its visibility changed, by then."""
        letter.hidden += 1
        stretch = letter.hidden

        def visible() -> None:
            if letter.hidden == stretch:
                self._receive(queue, letter)

        self.under_way[letter.id] = queue, letter
        self.host.loop.at(self.host.loop.now + after, visible)

    def _ChangeMessageVisibility(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        seconds = body["VisibilityTimeout"]
        assert isinstance(seconds, int)
        assert 0 <= seconds <= 43_200
        if body["ReceiptHandle"] not in self.under_way:  # it has come again meanwhile, or is done with
            raise AwsError("sqs", "ChangeMessageVisibility", "ReceiptHandleIsInvalid", "it is none of now", 400)
        queue, letter = self.under_way[body["ReceiptHandle"]]
        assert body["QueueUrl"].rpartition("/")[2] == queue.name
        if not letter.over:
            self.again(queue, letter, seconds * 1_000)
        return {}

    def once(self) -> Cloud:
        return self

    def _bury(self, name: str, letter: Letter) -> None:
        self.letters.setdefault(name, []).append(letter)

    def bury(self, name: str) -> Callable[[Letter], None]:
        return lambda letter: self._bury(name, Letter(letter.id, letter.body, self.host.loop.now))

    def redriven(self, queue: str, after: int) -> Callable[[Letter], None]:
        """Somebody sees the dead letter after so long, and sends it back."""
        return lambda letter: self.put(queue, letter.body, after)

    # EventBridge.

    def _PutEvents(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        entries: list[dict[str, str]] = body["Entries"]
        assert 1 <= len(entries) <= 10
        assert sum(len(part.encode()) for each in entries for part in each.values()) < 1_048_576
        results = []
        for each in entries:
            if self.host.loop.random.random() < 0.02 * self.host.faults:
                results.append({"ErrorCode": "InternalFailure", "ErrorMessage": "try again"})
            else:
                self.publish(each)
                results.append({"EventId": self._id()})
        return {"FailedEntryCount": sum("ErrorCode" in each for each in results), "Entries": results}

    def publish(self, entry: Mapping[str, str]) -> None:
        now = datetime.fromtimestamp(self.host.loop.now // 1_000, UTC)
        envelope = {
            "version": "0",
            "id": self._id(),
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": "123456789012",
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": "eu-west-1",
            "resources": [],
            "detail": json.loads(entry["Detail"]),
        }
        for queue in self.host.targets(envelope):
            self.put(queue, json.dumps(envelope))

    # Scheduler.

    def _POST(self, name: str, body: dict[str, Any]) -> None:  # noqa: N802
        if name in self.schedules:
            raise AwsError("scheduler", "POST", "ConflictException", "it exists", 409)
        self._set(name, body)

    def _PUT(self, name: str, body: dict[str, Any]) -> None:  # noqa: N802
        self._there(name)
        self._set(name, body)

    def _DELETE(self, name: str, _: dict[str, Any]) -> None:  # noqa: N802
        self._there(name)
        del self.schedules[name]

    def _there(self, name: str) -> None:
        if name not in self.schedules:
            raise AwsError("scheduler", "", "ResourceNotFoundException", "there is none", 404)

    def _set(self, name: str, body: dict[str, Any]) -> None:
        rng, faults = self.host.loop.random, self.host.faults
        assert body["ActionAfterCompletion"] == "DELETE"
        self._made += 1
        self.schedules[name] = schedule = Schedule(self._made, body)
        aimed = datetime.strptime(body["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        at = int(aimed.timestamp() * 1_000)
        assert at > self.host.loop.now
        if rng.random() < 0.03 * faults:
            return  # never
        for _ in range(2 if rng.random() < 0.03 * faults else 1):
            self.host.loop.at(at + rng.randint(0, 59_999), lambda: self._fire(name, schedule))

    def _fire(self, name: str, schedule: Schedule) -> None:
        current = self.schedules.get(name)
        if current is not None and current.made != schedule.made:
            return  # it was moved
        if current is None and self.host.loop.random.random() > self.host.faults * 0.2:
            return  # it was deleted, or has fired
        self.schedules.pop(name, None)
        queue = schedule.body["Target"]["Arn"].rpartition(":")[2]
        self.put(queue, schedule.body["Target"]["Input"])

    def _id(self) -> str:
        return f"{self.host.loop.random.getrandbits(64):016x}"
