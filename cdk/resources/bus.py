"""The bus, its archive, and the events Lambda with its queue, which stores every event and stamps foreign ones."""

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

SOURCE = "tidemill"  # the source of every Tidemill event
_TIMEOUT = 60
_BATCH = 10


class Bus(Construct):
    """The deployment's bus, and the archive from which it can be replayed."""

    def __init__(self, scope: Construct, id: str, *, names: Names, archive_days: int) -> None:
        super().__init__(scope, id)
        self.bus = events.EventBus(self, "Bus", event_bus_name=names.bus)
        cast("events.CfnEventBus", self.bus.node.default_child).policy = _only_ours(names)
        self.bus.archive(
            "Archive",
            archive_name=names.prefix,
            description="Every event of the deployment, for replays",
            event_pattern=events.EventPattern(source=[SOURCE]),
            retention=Duration.days(archive_days),
        )


def _only_ours(names: Names) -> dict[str, Any]:
    """Only the platform's roles, which have its tag, may send events with its source: others are not checked yet."""
    return {
        "Sid": "OnlyThePlatformSaysThatItIsThePlatform",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "events:PutEvents",
        "Resource": names.bus_arn,
        "Condition": {
            "ForAnyValue:StringEquals": {"events:source": [SOURCE]},
            "StringNotEquals": {f"aws:PrincipalTag/{ROLE_TAG}": names.deployment},
        },
    }


class Events(Construct):
    """One rule for Tidemill events, one for foreign events, one queue, one Lambda."""

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
                # For an event with very many waits the Lambda continues in a message to itself.
                Allow(("sqs:SendMessage",), (self.queues.queue.queue_arn,)),
            ],
            timeout=_TIMEOUT,
            reserved=platform.settings.events_reserved,
        )
        keeper.feed(self.queues.queue, batch=_BATCH)
