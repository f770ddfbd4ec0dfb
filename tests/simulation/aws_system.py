"""The simulated cloud as AWS has it: the real adapters, executor, and Lambdas, over a modelled SQS, bus and Scheduler.

A sender's event goes on the bus, from there to the queue of every function that listens and to the events queue.
Executors begin runs with the message in hand, claim until their Lambda's deadline and ten seconds, and have no
connection by which anybody could tell that they are dead. Sleeps are messages with a delay, or schedules. Each minute
a sweep looks for what was lost. Stores fail as in `system`, and so does every call to a queue, the bus or Scheduler.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast
from unittest import mock

import msgspec
from simulation.cloud import Cloud, Letter, Queue, Record
from simulation.loop import Failed
from simulation.ports import Faulty
from simulation.scenario import Program, Scenario, Sent
from simulation.system import System

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.function import executor
from tidemill.aws.function.executor import Executor, Refused, turn
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.liveness import UntilThen
from tidemill.aws.messages import types as message
from tidemill.aws.messages.bus import EventBridgeBus
from tidemill.aws.messages.envelope import entry
from tidemill.aws.messages.parse import read as read_message
from tidemill.aws.messages.queue import SqsQueue
from tidemill.aws.messages.redelivery import received, sooner
from tidemill.aws.settings import Settings, dead_letter_name, queue_name
from tidemill.engine.drive.drive import drive
from tidemill.engine.intake import start
from tidemill.errors import Unavailable
from tidemill.model import Event
from tidemill.ports import World
from tidemill_lambdas import events
from tidemill_lambdas.sweeper import delayed
from tidemill_lambdas.sweeper.adopt import adopt
from tidemill_lambdas.sweeper.adopt import turn as whose_turn
from tidemill_lambdas.sweeper.sweep import sweep
from tidemill_lambdas.timers.forward import forward

DEPLOYMENT = "sim"
EVENTS, TIMERS = "sim-events", "sim-timers"
TIMEOUT = 30_000  # of every Lambda
VISIBILITY = TIMEOUT + 15_000
_STALLS = 30  # a Lambda makes dozens of calls: where nearly each stands still, none ever comes to its end
ATTEMPTS = 7  # before a message is a dead letter
HOUR = 3_600_000
SETTINGS = Settings(
    DEPLOYMENT, "table", "bucket", "bus", "https://sqs/", f"arn:aws:sqs:x:y:{TIMERS}", "runs", "arn:role"
)


class AwsSystem(System):
    def __init__(self, scenario: Scenario) -> None:
        self.cloud = Cloud(self)
        super().__init__(dataclasses.replace(scenario, stalls=min(scenario.stalls, _STALLS)))
        self._client = cast("Client", self.cloud)
        self._sweeps = 0
        self._again = sooner(self._client, "https://sqs/", self.loop.random.random)
        for name, handle in ((EVENTS, self._keep_event), (TIMERS, self._remind)):
            self.cloud.queues[name] = Queue(name, handle, ATTEMPTS, self.cloud.redriven(name, HOUR))

    def serve(self, programs: Sequence[Program]) -> None:
        """A queue for each function; one whose function is gone is deleted, with what is in it."""
        before = {queue_name(DEPLOYMENT, spec.id) for spec in self.registry.functions()}
        super().serve(programs)
        there = {queue_name(DEPLOYMENT, spec.id): spec.id for spec in self.registry.functions()}
        for name in before - there.keys():
            self.cloud.delete(name)
        for name, function_id in there.items():
            if name not in self.cloud.queues:
                dead = self.cloud.bury(dead_letter_name(DEPLOYMENT, function_id))
                self.cloud.queues[name] = Queue(name, self._execute, ATTEMPTS, dead)

    @property
    def faults(self) -> float:
        return self.scenario.faults

    def _world(self) -> World:
        client = cast("Client", self.cloud)
        bus = EventBridgeBus(
            client, "bus", sleep=lambda s: self.loop.pause(int(s * 1_000)), draw=self.loop.random.random
        )
        return World(
            runs=Faulty(self, self.stores.runs),
            events=Faulty(self, self.stores.events),
            waits=Faulty(self, self.stores.waits),
            blobs=Faulty(self, self.stores.blobs),
            queue=SqsQueue(client, SETTINGS, self.clock),
            bus=bus,
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            liveness=UntilThen(),
            flow=Faulty(self, self.stores.flow),
        )

    def run(self) -> None:
        with _alone(self):
            super().run()

    def idle(self) -> bool:
        return not self.cloud.open and super().idle() and not self._unadopted()

    def _unadopted(self) -> bool:
        """Whether a start lies among the dead letters that has not become a run yet."""
        for spec in self.registry.functions():
            for letter in self.cloud.letters.get(dead_letter_name(DEPLOYMENT, spec.id), []):
                found = read_message(letter.body)
                if isinstance(found, message.Start) and start.takes(spec, found.event):
                    runs = self.stores.runs.of_event(found.event.id)
                    if not any(head.function_id == spec.id for head in runs):
                        return True
        return False

    # Lambdas.

    def targets(self, envelope: Mapping[str, Any]) -> list[str]:
        if envelope["source"] != "tidemill":
            return [EVENTS]
        listeners = self.registry.listeners(envelope["detail"]["name"])
        return [EVENTS, *(queue_name(DEPLOYMENT, spec.id) for spec in listeners)]

    def deliver_letter(self, queue: Queue, letter: Letter) -> None:
        """A Lambda is started for the message; now and then its process is a new one, and takes a while to be there."""
        rng = self.loop.random
        record = {
            "messageId": letter.id,
            "body": letter.body,
            "eventSourceARN": f"arn:aws:sqs:x:y:{queue.name}",
            "receiptHandle": letter.id,
            "attributes": {"SentTimestamp": str(letter.sent), "ApproximateReceiveCount": str(letter.received)},
        }
        ended = False

        def end(done: bool) -> None:
            nonlocal ended
            if not ended:
                ended = True
                self.busy -= 1
            if done:
                self.cloud.deleted(letter)

        def work() -> None:
            try:
                done = queue.handle(record)
            except Unavailable as error:
                self._again(record)
                raise Failed from error
            except (Refused, AwsError) as error:
                raise Failed from error
            if not done:
                raise Failed

        self.busy += 1
        self.cloud.again(queue, letter, VISIBILITY)
        cold = rng.randint(150, 1_200) if rng.random() < 0.1 else rng.randint(1, 10)
        self.loop.at(self.loop.now + cold, lambda: self._spawn(f"{queue.name} {letter.body[:60]}", work, end))

    def _spawn(self, what: str, work: Any, end: Any) -> None:
        rng = self.loop.random
        actor = self.loop.spawn(self._name(what), work, end, rng.randint(-self.skew, self.skew))
        if rng.random() < 0.95:  # the process is killed at its timeout; where it is not, a zombie goes on
            self.loop.at(self.loop.now + TIMEOUT, lambda: self._kill(actor))

    def _execute(self, record: Record) -> bool:
        actor = self.loop.actor
        assert actor is not None
        this = dataclasses.replace(
            turn(f"{actor.name}@{self.loop.now}", self.clock.now(), TIMEOUT), again=received(record) > 1
        )
        actor.claim_until = this.until - actor.skew
        Executor(
            self.world,
            self.app.functions,
            deployment=DEPLOYMENT,
            version="1",
            dead=self._dead,
            metrics=Metrics(DEPLOYMENT, lambda _: None),
            sleep=self.loop.pause,
            hand_back=cast("SqsQueue", self.world.queue).hand_back,
        ).work(record["eventSourceARN"].rpartition(":")[2], record["body"], self.loop.now, this)
        return True

    def _dead(self, function_id: str, body: str, about: dict[str, str]) -> None:
        url = SETTINGS.dead_letter_url(function_id)
        self._client.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": body})

    def _keep_event(self, record: Record) -> bool:
        def later(body: str) -> None:
            self._client.call("sqs", "SendMessage", {"QueueUrl": f"https://sqs/{EVENTS}", "MessageBody": body})

        stopping = self.loop.random.random() < 0.2  # now and then the waiters are worked off one at a time
        events.work(record["body"], self.world, later=later, stopping=lambda: stopping, delay=self._delay)
        return True

    def _delay(self, body: str, seconds: int) -> None:
        sent = {"QueueUrl": f"https://sqs/{EVENTS}", "MessageBody": body, "DelaySeconds": seconds}
        self._client.call("sqs", "SendMessage", sent)

    def _remind(self, record: Record) -> bool:
        return not forward([record], cast("SqsQueue", self.world.queue), self._again)

    # The sweep.

    def _sweep(self) -> None:
        def work() -> None:
            try:
                sweep(self.world, lambda: True)
                delayed.sweep(self.world, lambda: True, self._delay)
                specs = whose_turn(self.registry.functions(), self.loop.now)
                adopt(self.world, self._client, SETTINGS, specs, lambda: True)
            except (Unavailable, AwsError) as error:
                raise Failed from error

        def end(_: bool) -> None:
            self.busy -= 1

        self.busy += 1
        actor = self.loop.spawn(self._name("sweep"), work, end, self.loop.random.randint(-self.skew, self.skew))
        self.loop.at(self.loop.now + TIMEOUT, lambda: self._kill(actor))
        self._sweep_later()

    # What arrives.

    def _send(self, sent: Sent) -> None:
        if sent.signal is not None:
            super()._send(sent)
            return
        now = self.loop.now
        self.unsent -= 1
        for event in self.events_of(sent, now):
            self.accepted.append(event)
            self._post(event, now)

    def _post(self, event: Event, now: int) -> None:
        rng = self.loop.random
        if rng.random() < 0.2:  # somebody puts it on the bus himself
            fields = {"id": event.id, "name": event.name, "data": event.data, "ts": event.ts, "user": event.user}
            self.cloud.publish({"Source": "legacy", "DetailType": event.name, "Detail": json.dumps(fields)})
            return
        self.cloud.publish(entry(event, "bus"))
        if rng.random() < 0.05 * self.faults:  # the sender's connection broke, and it sends the same again
            again = msgspec.structs.replace(event, received_at=now + 700)
            self.loop.at(now + 700, lambda: self.cloud.publish(entry(again, "bus")))


@contextmanager
def _alone(system: AwsSystem) -> Iterator[None]:
    """The executor's code without threads, for only one actor may be at work at a time; and without its log."""
    logger = logging.getLogger("tidemill")
    before, logger.disabled = logger.disabled, True

    def drives(function: Any, *args: Any, **kwargs: Any) -> None:
        every = system.scenario.snapshot_every
        drive(function, *args, **kwargs, threads=system.threads(function.id), snapshot_every=every)

    try:
        with mock.patch.object(executor, "drive", drives):
            yield
    finally:
        logger.disabled = before
