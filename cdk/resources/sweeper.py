"""The Lambda of the sweep: once a minute it sends messages for overdue runs and for due delayed events."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tidemill_cdk.resources.permissions import Allow, engine
from tidemill_cdk.resources.platform_lambda import Platform, PlatformLambda

_TIMEOUT = 60


class Sweeper(Construct):
    """A Lambda that runs each minute."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform, events_queue: sqs.IQueue) -> None:
        super().__init__(scope, id)
        names = platform.names
        sweep = PlatformLambda(
            self,
            "Sweep",
            platform=platform,
            what="sweeper",
            description="Finds runs that nobody looked at when they were due",
            allows=[
                *engine(names, lists=True),
                # A delayed event takes effect by a message to the events queue.
                Allow(("sqs:SendMessage",), (events_queue.queue_arn,)),
                Allow(
                    ("sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage"),
                    (names.dead_letters_arn,),
                    "Every function's dead letters, by prefix: a list would change with each function.",
                ),
            ],
            timeout=_TIMEOUT,
            environment={"TIDEMILL_EVENTS_QUEUE": events_queue.queue_url},
        )
        self.function = sweep.function
        events.Rule(
            self,
            "Minute",
            description="Starts the sweep",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.LambdaFunction(sweep.function, retry_attempts=0)],  # the next minute repeats it
        )
