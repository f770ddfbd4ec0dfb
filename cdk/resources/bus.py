"""The bus, its archive, and the way of every event to the events Lambda: stored, found by waits, stamped if foreign."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from typing import Any, cast

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from tidemill_cdk.names import ROLE_TAG, Names
from tidemill_cdk.resources.permissions import Allow, consume, engine
from tidemill_cdk.resources.platform_lambda import Platform, PlatformLambda
from tidemill_cdk.resources.queues import QueuePair

SOURCE = "tidemill"  # what every event of ours says it comes from
_TIMEOUT = 60
_BATCH = 10


class Bus(Construct):
    """The mill's bus and the archive from which it can be replayed."""

    def __init__(self, scope: Construct, id: str, *, names: Names, archive_days: int) -> None:
        super().__init__(scope, id)
        self.bus = events.EventBus(self, "Bus", event_bus_name=names.bus)
        cast("events.CfnEventBus", self.bus.node.default_child).policy = _only_ours(names)
        self.bus.archive(
            "Archive",
            archive_name=names.prefix,
            description="Every event of the mill, for replays",
            event_pattern=events.EventPattern(source=[SOURCE]),
            retention=Duration.days(archive_days),
        )


def _only_ours(names: Names) -> dict[str, Any]:
    """What says that it comes from the platform was checked by it: only its roles, which carry its tag, may say so."""
    return {
        "Sid": "OnlyThePlatformSaysThatItIsThePlatform",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "events:PutEvents",
        "Resource": names.bus_arn,
        "Condition": {
            "ForAnyValue:StringEquals": {"events:source": [SOURCE]},
            "StringNotEquals": {f"aws:PrincipalTag/{ROLE_TAG}": names.mill},
        },
    }


class Events(Construct):
    """One rule for all events of ours, one for foreign ones, one queue, one Lambda."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform, bus: events.IEventBus) -> None:
        super().__init__(scope, id)
        names = platform.names
        self.queues = QueuePair(
            self,
            "Queues",
            timeout=_TIMEOUT,
            settings=platform.settings,
        )
        for rule, pattern in (
            ("Ours", events.EventPattern(source=[SOURCE])),
            ("Foreign", events.EventPattern(source=events.Match.anything_but(SOURCE))),
        ):
            target = targets.SqsQueue(self.queues.queue, dead_letter_queue=self.queues.dead)
            events.Rule(self, rule, event_bus=bus, event_pattern=pattern, targets=[target])
        keeper = PlatformLambda(
            self,
            "Keeper",
            platform=platform,
            what="events",
            description="Stores events, wakes and cancels the runs that they concern, stamps foreign ones",
            allows=[
                *engine(names),
                consume(self.queues.queue.queue_arn),
                # An event with very many waiters goes on in a message to itself.
                Allow(("sqs:SendMessage",), (self.queues.queue.queue_arn,)),
            ],
            timeout=_TIMEOUT,
            reserved=platform.settings.events_reserved,
        )
        keeper.feed(self.queues.queue, batch=_BATCH)
