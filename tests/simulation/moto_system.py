"""The simulated cloud on DynamoDB and S3: the adapters of AWS over moto, through a transport that fails as AWS does.

Far slower than SQLite, so for a few seeds. Between any two requests the process may be killed, not only between two
calls of a port: a write of several parts is left half done. Each process has adapters of its own, with whatever they
remember, and works off one message at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from simulation.aws_system import SETTINGS, AwsSystem
from simulation.loop import Actor
from simulation.scenario import Scenario
from simulation.stores import Stores
from simulation.system import START
from support.faults import Faults, FaultyTransport
from support.stale import Copy, StaleTransport

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.calls.client import Client
from tidemill.aws.calls.transport import Reply, Request, Transport
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.flow import DynamoFlow
from tidemill.aws.dynamo.keys import BY_DUE, PK, SK, TTL
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.table import Table
from tidemill.aws.dynamo.waits import DynamoWaits
from tidemill.aws.liveness import UntilThen
from tidemill.aws.messages.bus import EventBridgeBus
from tidemill.aws.messages.queue import SqsQueue
from tidemill.model import Wait
from tidemill.ports import Clock, World
from tidemill.warm import Warm
from tidemill_local.testing import moto

DAY = 86_400_000
_SENT = 4  # events of a scenario: a request to moto takes a hundred times as long as one to SQLite
_STALLS = 3  # a call of a port is many requests, each of which may stand still: more, and no Lambda gets anything done
_LAG = 1_500  # ms after which a read that is not marked strong has heard of a write
_TRIES = 3  # of a request, before a store is unavailable; in AWS it is more, and takes longer than a process lives here


class InMoto:
    """A table and a bucket of its own."""

    def __init__(self, clock: Clock, lag: Callable[[], int]) -> None:
        client = moto.client()
        self.name = moto.fresh("simulation")
        moto.create_table(client, self.name)
        self.bucket = moto.fresh("simulation-bucket")
        moto.create_bucket(client, self.bucket)
        self._table = Table(client, self.name)
        self.copy = Copy(client, self.name, clock.now, lag)
        self.blobs = S3Blobs(client, self.bucket)
        self.runs = DynamoRuns(self._table, self.blobs, clock)
        self.events = DynamoEvents(self._table, self.blobs)
        self.waits = DynamoWaits(self._table)
        self.flow = DynamoFlow(self._table)

    def next_due(self) -> int | None:
        """From the whole index of due times at once: the port asks each of its partitions."""
        return min(
            (int(item[BY_DUE.sk]["S"]) for item in self._scanned(IndexName=BY_DUE.name) if _open(item)), default=None
        )

    def all_runs(self) -> list[str]:
        return sorted(pk.removeprefix("RUN#") for pk, sk in self._keys() if pk.startswith("RUN#") and sk == "#")

    def waits_left(self) -> list[tuple[str, str]]:
        found = [sk.split("#")[:2] for pk, sk in self._keys() if pk.startswith("WAIT#")]
        return [(run_id, key) for run_id, key in found]

    def lines(self) -> dict[str, list[str]]:
        """Not looked at here: it takes too long."""
        return {}

    def in_line(self) -> list[str]:
        return [sk.partition("#")[2] for pk, sk in self._keys() if pk.startswith("LINE#")]

    def places_held(self) -> list[tuple[str, str, int]]:
        keys = [pk.removeprefix("FLOW#") for pk, _ in self._keys() if pk.startswith("FLOW#")]
        return [(key, holder.run_id, holder.until) for key in keys for holder in self.flow.holders(key)]

    def reap(self, now: int) -> None:
        """Delete what has expired, as DynamoDB does, sooner or later; what tells of runs that have ended is kept."""
        for item in self._scanned():
            if TTL in item and int(item[TTL]["N"]) * 1_000 < now and not self._of_an_ended_run(item[PK]["S"]):
                key = {PK: item[PK], SK: item[SK]}
                self._table.client.call("dynamodb", "DeleteItem", {"TableName": self.name, "Key": key})

    def _of_an_ended_run(self, pk: str) -> bool:
        head = self.runs.head(pk.removeprefix("RUN#")) if pk.startswith("RUN#") else None
        return head is not None and head.due is None

    def close(self) -> None:
        self.copy.drop()
        self._table.client.call("dynamodb", "DeleteTable", {"TableName": self.name})

    def _keys(self) -> list[tuple[str, str]]:
        return [(item[PK]["S"], item[SK]["S"]) for item in self._scanned(ProjectionExpression=f"{PK}, {SK}")]

    def _scanned(self, **options: Any) -> list[dict[str, dict[str, str]]]:
        found: list[dict[str, dict[str, str]]] = []
        body: dict[str, Any] = {"TableName": self.name, **options}
        while True:
            answer = self._table.client.call("dynamodb", "Scan", body)
            found += answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return found
            body["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _open(item: dict[str, dict[str, str]]) -> bool:
    return item[BY_DUE.pk]["S"].startswith("DUE#")


class WatchedWaits:
    """Notes who put a wait last."""

    def __init__(self, system: MotoSystem, waits: DynamoWaits) -> None:
        self._system = system
        self._waits = waits

    def put(self, wait: Wait) -> None:
        if self._system.loop.actor is not None:
            self._system.waiters[wait.run_id, wait.key] = self._system.loop.actor
        self._waits.put(wait)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._waits, name)


class MotoSystem(AwsSystem):
    def __init__(self, scenario: Scenario) -> None:
        self._reaped = START
        self._processes: list[tuple[World, Actor]] = []
        stalls = min(scenario.stalls, _STALLS)
        super().__init__(dataclasses.replace(scenario, sent=scenario.sent[:_SENT], stalls=stalls))

    def _stores(self) -> Stores:
        return cast("Stores", InMoto(self.clock, lambda: self.loop.random.randint(0, _LAG)))

    @property
    def world(self) -> World:
        """The adapters of the process that the current actor is."""
        actor = self.loop.actor
        assert actor is not None
        for world, owner in self._processes:
            if owner is actor:
                return world
        idle = [n for n, (_, owner) in enumerate(self._processes) if owner.over and not owner.killed]
        if idle and self.loop.random.random() < 0.7:
            number = self.loop.random.choice(idle)
            world = self._processes[number][0]
            self._processes[number] = (world, actor)
            return world
        world = self._made()
        self._processes.append((world, actor))
        return world

    @world.setter
    def world(self, _: World) -> None:
        """Each process makes its own."""

    def _sweep(self) -> None:
        """Before anybody looks after a long time, the reaper has been there."""
        if self.loop.now - self._reaped > DAY:
            self._reaped = self.loop.now
            cast("InMoto", self.stores).reap(self.loop.now - 2 * DAY)
        super()._sweep()

    def _made(self) -> World:
        stores = cast("InMoto", self.stores)
        rng, faults = self.loop.random, self.faults
        often = Faults(0.01 * faults, 0.01 * faults, 0.01 * faults, 0.02 * faults, 0.05 * faults)
        moto_as_aws = StaleTransport(moto.MotoTransport(), stores.copy)
        transport = Paced(self, FaultyTransport(moto_as_aws, rng, often))
        client = moto.client(transport, sleep=lambda s: self.loop.pause(int(s * 1_000)), draw=rng.random, tries=_TRIES)
        table, blobs = Table(client, stores.name), S3Blobs(client, stores.bucket)
        cloud = cast("Client", self.cloud)
        return World(
            runs=DynamoRuns(table, blobs, self.clock, Warm(least=0)),  # the journals here are short
            events=DynamoEvents(table, blobs),
            waits=cast("DynamoWaits", WatchedWaits(self, DynamoWaits(table))),
            blobs=blobs,
            queue=SqsQueue(cloud, SETTINGS, self.clock),
            bus=EventBridgeBus(cloud, "bus", sleep=lambda s: self.loop.pause(int(s * 1_000)), draw=rng.random),
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            liveness=UntilThen(),
            flow=DynamoFlow(table),
        )


class Paced:
    """A request takes time, and its process may not live to hear the answer."""

    def __init__(self, system: MotoSystem, inner: Transport) -> None:
        self._system = system
        self._inner = inner

    def __call__(self, request: Request) -> Reply:
        self._system.pause()
        return self._inner(request)
