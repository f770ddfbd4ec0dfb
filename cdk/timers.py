"""Sleeps of more than 15 minutes: one-shot schedules send to a queue, whose Lambda sends the rest of the delay on."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from tidemill_cdk.permissions import consume, wake
from tidemill_cdk.platform_lambda import Platform, PlatformLambda
from tidemill_cdk.queues import QueuePair

_TIMEOUT = 30
_ATTEMPTS = 10
_BATCH = 10


class Timers(Construct):
    """The schedules' group, the role under which they send, the timers queue and its Lambda."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform) -> None:
        super().__init__(scope, id)
        names = platform.names
        self.queues = QueuePair(
            self,
            "Queues",
            name=names.own_queue("timers"),
            dead_name=names.own_queue("timers-dead"),
            timeout=_TIMEOUT,
            attempts=_ATTEMPTS,
            settings=platform.settings,
        )
        self.group = scheduler.ScheduleGroup(self, "Group", schedule_group_name=names.schedule_group)
        # Only the scheduler of this account may take the role, and only for schedules of this mill's group.
        self.role = iam.Role(
            self,
            "Role",
            role_name=names.schedule_role,
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": names.stack.account},
                    "ArnEquals": {
                        "aws:SourceArn": names.arn("scheduler", f"schedule-group/{names.schedule_group}"),
                    },
                },
            ),
        )
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.queues.queue.queue_arn])
        )
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
