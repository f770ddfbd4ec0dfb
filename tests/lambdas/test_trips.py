"""How often the executor goes to DynamoDB and back: before the first line of user code, for a step, at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tidemill import App, Context
from tidemill.aws import world as worlds
from tidemill.aws.calls.client import Reply, Request
from tidemill.aws.dynamo.registry import register
from tidemill.aws.dynamo.table import Table
from tidemill.aws.function.executor import Executor, turn
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.settings import Settings, queue_name
from tidemill_local.testing import moto

STEPS = 10
READS = {"GetItem", "Query", "BatchGetItem"}


@dataclass
class Trips:
    """moto behind a wire that notes every call."""

    inner: moto.MotoTransport = field(default_factory=moto.MotoTransport)
    operations: list[str] = field(default_factory=list[str])

    def __call__(self, request: Request) -> Reply:
        self.operations.append(request.operation)
        return self.inner(request)


def test_a_run_that_never_suspends_is_one_trip_one_a_step_and_three_at_its_end() -> None:
    trips = Trips()
    before: list[int] = []  # in a new process, and in a warm one
    app = App("shop")

    @app.function(on="order/placed")
    def pack(ctx: Context) -> int:
        before.append(len(trips.operations))
        return sum(ctx.step.run(f"part {n}", lambda: n) for n in range(STEPS))  # noqa: B023 - it runs at once

    name = moto.fresh("trips")
    client = moto.client(trips)
    base = f"https://sqs.{moto.REGION}.amazonaws.com/{moto.ACCOUNT}/"
    settings = Settings("test", name, name, name, base, "arn:timers", name, "arn:role")
    moto.create_table(client, name)
    world = worlds.build(client, settings)
    register(Table(client, name), pack.spec, "test", 0, "1")
    metrics = Metrics("test", lambda _: None)
    executor = Executor(
        world,
        app.functions,
        deployment="test",
        version="1",
        dead=lambda *_: None,
        metrics=metrics,
        sleep=lambda _: None,
    )
    for event_id in ("cold", "warm"):
        now = world.clock.now()
        detail = {"id": event_id, "name": "order/placed", "data": {}, "ts": now, "received_at": now}
        trips.operations.clear()
        executor.work(queue_name("test", pack.spec.id), json.dumps({"detail": detail}), now, turn("r", now, 60_000))
    assert before == [2, 1]  # a process reads first which functions are paused, and again after half a minute
    assert trips.operations[: 1 + STEPS] == ["PutItem"] * (1 + STEPS)
    at_the_end = trips.operations[1 + STEPS :]
    assert len(at_the_end) == 3
    assert sum(operation in READS for operation in at_the_end) == 1
