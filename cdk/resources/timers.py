"""Timers beyond 15 minutes: one-shot schedules send to a queue, whose Lambda sends delayed messages."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from tidemill_cdk.resources.permissions import Allow, consume, grant, wake
from tidemill_cdk.resources.platform_lambda import Platform, PlatformLambda
from tidemill_cdk.resources.queues import QueuePair

_TIMEOUT = 30
_BATCH = 10


class Timers(Construct):
    """The groups of one-shot and cron schedules, the role with which they send, the timers queue and its Lambda."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform) -> None:
        super().__init__(scope, id)
        names = platform.names
        self.queues = QueuePair(
            self,
            "Queues",
            name=names.own_queue("timers"),
            timeout=_TIMEOUT,
            settings=platform.settings,
        )
        groups = (names.schedule_group, names.cron_group)
        for id_, group in zip(("Group", "CronGroup"), groups, strict=True):
            # The table's due times restore them, so they are not kept.
            scheduler.ScheduleGroup(self, id_, schedule_group_name=group, removal_policy=RemovalPolicy.DESTROY)
        # Only this account's scheduler may assume the role, and only for schedules of this deployment's groups.
        self.role = iam.Role(
            self,
            "Role",
            role_name=names.schedule_role,
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": names.stack.account},
                    "ArnEquals": {
                        "aws:SourceArn": [names.arn("scheduler", f"schedule-group/{group}") for group in groups]
                    },
                },
            ),
        )
        # One-shot schedules send to the timers queue, those of cron triggers to the functions' own.
        grant(self.role, [Allow(("sqs:SendMessage",), (self.queues.queue.queue_arn,)), wake(names)])
        waker = PlatformLambda(
            self,
            "Waker",
            platform=platform,
            what="timers",
            description="Turns schedules that came due into delayed messages",
            allows=[wake(names), consume(self.queues.queue.queue_arn)],
            timeout=_TIMEOUT,
        )
        waker.feed(self.queues.queue, batch=_BATCH)
