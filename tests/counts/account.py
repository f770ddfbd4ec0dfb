"""A mill in an AWS account on this machine, in which every call and unit is counted.

DynamoDB and S3 are moto's. The bus, the queues and the scheduler are below: a few lines each, on a clock that stands
still until it is moved, so that what was counted does not depend on how fast this machine is. The handlers and the
adapters are the real ones, warm: a first event has gone through before anything is counted.

What AWS does by itself is counted as it bills it: EventBridge sends to a queue (one SQS request), Lambda receives and
deletes (two more), Scheduler sends to the timers queue. A queue hands over one message at a time, which is what happens
at a low rate, and the dearest: at high rates the events and timers queues are read ten messages at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from counts.meter import KeyMeter, Used
from support.doubles import Clock, Entropy

from tidemill import App
from tidemill.aws.blobs import S3Blobs
from tidemill.aws.calls.transport import Reply, Request
from tidemill.aws.dynamo import schemas, webhooks
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.flow import DynamoFlow
from tidemill.aws.dynamo.jobs import DynamoJobs
from tidemill.aws.dynamo.pauses import DynamoPauses
from tidemill.aws.dynamo.registry import DynamoRegistry, register
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.table import Item, Table, item_of
from tidemill.aws.dynamo.waits import DynamoWaits
from tidemill.aws.function.executor import Executor, turn
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.liveness import UntilThen
from tidemill.aws.messages.bus import EventBridgeBus
from tidemill.aws.messages.queue import SqsQueue
from tidemill.aws.settings import Settings, queue_name
from tidemill.engine.intake.start import takes
from tidemill.engine.runs.end import cancel
from tidemill.model import CronTrigger, Event, EventSchema, Head, WebhookSpec
from tidemill.ports import World
from tidemill_lambdas import ingest
from tidemill_lambdas.keys import AnyKey
from tidemill_lambdas.sweeper import delayed, jobs, resumed
from tidemill_lambdas.sweeper.adopt import adopt
from tidemill_lambdas.sweeper.sweep import sweep
from tidemill_lambdas.timers.forward import forward
from tidemill_local.testing import moto

TIMEOUT = 60_000
CHUNK = 64 * 1_024  # SQS and EventBridge count a request or an event for each
EVENTS, TIMERS = "events", "timers"
_numbers = itertools.count(1)


def _never(_: object) -> None:
    raise AssertionError("nothing is throttled here")


@dataclass(order=True)
class Message:
    at: int
    queue: str
    body: str = field(compare=False)


class Account:
    """One mill: `app` deployed, its Lambdas warm."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.clock = Clock()
        number = next(_numbers)
        base = f"https://sqs.{moto.REGION}.amazonaws.com/{moto.ACCOUNT}/"
        self.settings = Settings(
            f"m{number}", f"counts-{number}", f"counts-{number}", f"counts-{number}", base, "arn:timers", "g", "arn:r"
        )
        peek = moto.client()
        moto.create_table(peek, self.settings.table)
        moto.create_bucket(peek, self.settings.bucket)
        self.meter = KeyMeter(moto.MotoTransport())
        self.client = moto.client(self._answer)
        table, blobs = Table(self.client, self.settings.table), S3Blobs(self.client, self.settings.bucket)
        self.world = World(
            runs=DynamoRuns(table, blobs, self.clock),
            events=DynamoEvents(table, blobs),
            waits=DynamoWaits(table),
            blobs=blobs,
            queue=SqsQueue(self.client, self.settings, self.clock),
            bus=EventBridgeBus(self.client, self.settings.bus),
            registry=DynamoRegistry(table, Clock()),
            clock=self.clock,
            entropy=Entropy(),
            liveness=UntilThen(),
            flow=DynamoFlow(table),
            pauses=DynamoPauses(Table(peek, self.settings.table), Clock()),
        )
        for function in app.functions.values():
            register(Table(peek, self.settings.table), function.spec, "counts", self.clock.now(), "1")
        self.executor = Executor(
            self.world,
            app.functions,
            deployment=self.settings.deployment,
            version="1",
            dead=lambda *told: self.dead.append(told),
            metrics=Metrics("counts", lambda _: None, self.clock.now),
            sleep=self.clock.sleep,
        )
        self.dead: list[Any] = []
        self.waiting: list[Message] = []
        self.schedules: dict[str, tuple[int, str]] = {}  # by name: when, and what is sent
        self._kind = ""  # of the Lambda at work now
        self._functions = {queue_name(self.settings.deployment, one): one for one in app.functions}

    # What people do.

    def post(self, *events: dict[str, Any]) -> None:
        """One HTTP request with these events, and all that follows from it now."""
        self.used.units["http-requests"] += 1
        with_body = {
            "rawPath": "/e/key",
            "requestContext": {"http": {"method": "POST", "path": "/e/key"}},
            "headers": {"content-type": "application/json"},
            "body": json.dumps(list(events)),
            "isBase64Encoded": False,
        }
        answer = self._invoked("ingest", lambda: ingest.handle(with_body, self.world, AnyKey(), ingest.publish))
        assert answer["statusCode"] == 200, answer
        self.settle()

    def deliver(self, number: int) -> None:
        """One signed webhook, and all that follows from it now."""
        body = json.dumps({"order_id": f"o{number:06d}", "steps": 0}).encode()
        signature = hmac.new(b"s", body, hashlib.sha256).hexdigest()
        self.used.units["http-requests"] += 1
        request = {
            "rawPath": "/w/key/orders",
            "requestContext": {"http": {"method": "POST", "path": "/w/key/orders"}},
            "headers": {"x-signature": signature, "webhook-id": f"event-{number:020d}"},
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        answer = self._invoked("ingest", lambda: ingest.handle(request, self.world, AnyKey(), ingest.publish))
        assert answer["statusCode"] == 200, answer
        self.settle()

    def declare_webhook(self) -> None:
        """A webhook whose events are `order/unheard`."""
        peek = moto.client()
        secret = {"Name": self.settings.table, "SecretString": "s"}
        arn = peek.call("secretsmanager", "CreateSecret", secret)["ARN"]
        webhook = WebhookSpec("orders", "hmac-sha256", arn, "'order/unheard'", header="x-signature")
        webhooks.register(Table(peek, self.settings.table), webhook, "counts")

    def declare_schema(self, name: str) -> None:
        """Of the events that `Counted.event` makes."""
        properties = {"order_id": {"type": "string"}, "steps": {"type": "integer"}}
        schema = json.dumps({"type": "object", "properties": properties})
        schemas.declare(Table(moto.client(), self.settings.table), [EventSchema(name, "1", schema)], "counts")

    def forget_declarations(self) -> None:
        """As a process does after a minute."""
        registry = DynamoRegistry(Table(self.client, self.settings.table), Clock())
        self.world = replace(self.world, registry=registry)

    def settle(self) -> None:
        """Hand over all messages that may be handed over now."""
        while due := [message for message in self.waiting if message.at <= self.clock.now()]:
            message = due[0]
            self.waiting.remove(message)
            self.used.units["sqs-requests"] += 2 * _chunks(len(message.body))  # received, deleted
            self._deliver(message)

    def advance(self, ms: int) -> None:
        """Let time pass, from one thing that is due to the next."""
        end = self.clock.now() + ms
        while True:
            self.settle()
            times = [message.at for message in self.waiting] + [at for at, _ in self.schedules.values()]
            following = min(times, default=end + 1)
            if following > end:
                break
            self.clock.ms = max(following, self.clock.ms)
            self._fire()
        self.clock.ms = max(end, self.clock.ms)

    def cancel(self, run_id: str) -> None:
        assert self._invoked("api", lambda: cancel(self.world, run_id, "enough"))
        self.settle()

    def tick(self, function_id: str) -> None:
        """A recurring schedule fires: its message goes straight to the function's queue."""
        (trigger,) = self.app.functions[function_id].spec.triggers
        assert isinstance(trigger, CronTrigger)
        at = datetime.fromtimestamp(self.clock.now() / 1_000, UTC).isoformat()
        self.used.units["schedules"] += 1
        body = {"cron": {"cron": trigger.cron, "timezone": trigger.timezone}, "at": at}
        self._send(queue_name(self.settings.deployment, function_id), json.dumps(body))
        self.settle()

    def sweep(self) -> None:
        """What the sweeper does each minute, but for the dead letters."""

        def work() -> None:
            sweep(self.world, lambda: True)
            delayed.sweep(self.world, lambda: True, lambda _body, _seconds: None)
            jobs.sweep(replace(self.world, jobs=DynamoJobs(Table(self.client, self.settings.table))), lambda: True)
            resumed.sweep(replace(self.world, pauses=self._pauses()), lambda: True)
            self.world.registry.functions()
            self.world.runs.counts()

        self._invoked("sweeper", work)

    def look_at_pauses(self) -> None:
        """What a process that runs code does twice a minute."""
        before = self.used.invocations["executor"]
        self._invoked("executor", lambda: self._pauses().of("shop.plain"))
        self.used.invocations["executor"] = before  # it rides along with a message

    def _pauses(self) -> DynamoPauses:
        return DynamoPauses(Table(self.client, self.settings.table), self.clock)

    def look_at_dead_letters(self, function_id: str) -> None:
        """What the sweeper does for each function every ten minutes."""
        spec = self.app.functions[function_id].spec
        before = self.used.invocations["sweeper"]
        self._invoked("sweeper", lambda: adopt(self.world, self.client, self.settings, [spec], lambda: True))
        self.used.invocations["sweeper"] = before  # it rides along with the sweep

    def heads(self, event_id: str) -> list[Head]:
        return self.world.runs.of_event(event_id)

    def items(self) -> list[Item]:
        """All that is in the table."""
        found = self.client.call("dynamodb", "Scan", {"TableName": self.settings.table})["Items"]
        return [item_of(one) for one in found]

    @property
    def used(self) -> Used:
        return self.meter.used

    def measured(self, work: Callable[[], object]) -> Used:
        """What is used by this."""
        self.meter.used = Used()
        work()
        return self.meter.used

    # What AWS does.

    def _deliver(self, message: Message) -> None:
        if message.queue == EVENTS:
            self._invoked("events", lambda: self._keep(message.body))
        elif message.queue == TIMERS:
            record = {"messageId": "1", "body": message.body}
            failed = self._invoked("timers", lambda: forward([record], self.world.queue, _never))  # type: ignore[arg-type]
            assert not failed, failed
        else:
            this = turn(f"request-{self.used.invocations['executor']}", self.clock.now(), TIMEOUT)
            self._invoked("executor", lambda: self.executor.work(message.queue, message.body, self.clock.now(), this))

    def _keep(self, body: str) -> None:
        from tidemill_lambdas.events import work

        work(body, self.world, later=lambda text: self._send(EVENTS, text))

    def _fire(self) -> None:
        for name, (at, body) in list(self.schedules.items()):
            if at <= self.clock.now():
                del self.schedules[name]
                self.used.units["schedules"] += 1
                self._send(TIMERS, body)

    def _send(self, queue: str, body: str, seconds: int = 0) -> None:
        self.used.units["sqs-requests"] += _chunks(len(body))
        self.waiting.append(Message(self.clock.now() + seconds * 1_000, queue, body))

    def _invoked(self, kind: str, work: Callable[[], Any]) -> Any:
        self._kind = kind
        self.used.invocations[kind] += 1
        try:
            return work()
        finally:
            self._kind = ""

    def _answer(self, request: Request) -> Reply:
        """The transport of the client: counts the call, and answers it. What a test looks up is not counted."""
        if not self._kind:
            return self.meter.transport(request)
        self.used.calls[f"{request.service} {request.operation}"] += 1
        self.used.trips[self._kind] += 1
        if request.operation in ("ReceiveMessage", "GetQueueAttributes"):
            self.used.units["sqs-requests"] += 1
            return _json({})
        if request.service == "sqs":
            sent = json.loads(request.body)
            self._send(sent["QueueUrl"].rpartition("/")[2], sent["MessageBody"], sent.get("DelaySeconds", 0))
            return _json({"MessageId": "1", "MD5OfMessageBody": ""})
        if request.service == "events":
            return self._put_events(json.loads(request.body)["Entries"])
        if request.service == "scheduler":
            return self._schedule(request)
        return self.meter(request)

    def _put_events(self, entries: Sequence[dict[str, str]]) -> Reply:
        for entry in entries:
            self.used.units["bus-events"] += _chunks(len(entry["Detail"]))
            event = Event(**json.loads(entry["Detail"]))
            envelope = {
                "version": "0",
                "id": "00000000-0000-0000-0000-000000000000",
                "detail-type": entry["DetailType"],
                "source": entry["Source"],
                "account": moto.ACCOUNT,
                "time": datetime.fromtimestamp(self.clock.now() / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "region": moto.REGION,
                "resources": [],
                "detail": json.loads(entry["Detail"]),
            }
            body = json.dumps(envelope)
            self._send(EVENTS, body)
            for queue, function_id in self._functions.items():
                if takes(self.app.functions[function_id].spec, event):
                    self._send(queue, body)
        return _json({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]})

    def _schedule(self, request: Request) -> Reply:
        name = unquote(request.target.partition("?")[0]).rpartition("/")[2]
        there = name in self.schedules
        if request.method == "DELETE" and there:
            del self.schedules[name]
        elif request.method == "POST" and there:
            return _refused("ConflictException", 409)
        elif request.method != "POST" and not there:
            return _refused("ResourceNotFoundException", 404)
        else:
            body = json.loads(request.body)
            moment = datetime.fromisoformat(body["ScheduleExpression"][3:-1]).replace(tzinfo=UTC)
            self.schedules[name] = (round(moment.timestamp() * 1_000), body["Target"]["Input"])
        return _json({})


def _chunks(size: int) -> int:
    return -(-size // CHUNK)


def _json(body: dict[str, Any]) -> Reply:
    return Reply(200, {"content-type": "application/json"}, json.dumps(body).encode())


def _refused(code: str, status: int) -> Reply:
    return Reply(status, {"x-amzn-errortype": code}, json.dumps({"message": code}).encode())
