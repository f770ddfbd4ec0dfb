"""The world of a Lambda: makes every adapter from the environment, once per process, on first use.

from tidemill.aws.world import client, settings, world
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from tidemill.aws import settings as environment
from tidemill.aws.calls.client import Client
from tidemill.aws.messages import dead_letters as dead
from tidemill.ports import World

if TYPE_CHECKING:
    from tidemill.aws.messages.queue import SqsQueue


@cache
def settings() -> environment.Settings:
    """Raises KeyError if a variable is missing."""
    return environment.settings(os.environ)


@cache
def client() -> Client:
    return Client()


@cache
def world() -> World:
    return build(client(), settings())


@cache
def queue() -> SqsQueue:
    from tidemill.aws.messages.queue import SqsQueue
    from tidemill.aws.system import SystemClock

    return SqsQueue(client(), settings(), SystemClock())


@cache
def dead_letters() -> dead.DeadLetters:
    return dead.dead_letters(client(), settings())


def build(client: Client, settings: environment.Settings) -> World:
    """The adapters over this client; tests use it too."""
    from tidemill.aws.blobs import S3Blobs
    from tidemill.aws.dynamo.events import DynamoEvents
    from tidemill.aws.dynamo.flow import DynamoFlow
    from tidemill.aws.dynamo.held import due_now
    from tidemill.aws.dynamo.jobs import DynamoJobs
    from tidemill.aws.dynamo.pauses import DynamoPauses
    from tidemill.aws.dynamo.registry import DynamoRegistry
    from tidemill.aws.dynamo.runs import DynamoRuns
    from tidemill.aws.dynamo.table import Table
    from tidemill.aws.dynamo.waits import DynamoWaits
    from tidemill.aws.liveness import UntilThen
    from tidemill.aws.messages.bus import EventBridgeBus
    from tidemill.aws.messages.queue import SqsQueue
    from tidemill.aws.run_logs import CloudWatchLogs
    from tidemill.aws.system import SystemClock, SystemEntropy

    clock = SystemClock()
    blobs = S3Blobs(client, settings.bucket, settings.account)
    table = Table(client, settings.table)
    runs = DynamoRuns(table, blobs, clock)
    registry = DynamoRegistry(table, clock)
    return World(
        runs,
        DynamoEvents(table, blobs),
        DynamoWaits(table),
        blobs,
        SqsQueue(client, settings, clock, lambda run_id: due_now(runs, clock, run_id)),
        EventBridgeBus(client, settings.bus),
        registry,
        clock,
        SystemEntropy(),
        UntilThen(),
        DynamoFlow(table),
        logs=CloudWatchLogs(client, registry.log_group),
        pauses=DynamoPauses(table, clock),
        jobs=DynamoJobs(table),
    )
