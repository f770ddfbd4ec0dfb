"""A queue with its dead-letter queue: encrypted, over TLS only, its messages kept for 14 days."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tidemill_cdk.settings import Settings

_KEPT = Duration.days(14)  # the longest that SQS keeps a message: time to notice, repair and redrive
# An hour of throttling is hundreds of receives, and nothing may be lost by it. What is poison the engine tells itself.
_RECEIVES = 500
_BEYOND = 15  # seconds from the end of a Lambda's time to the next delivery


class QueuePair(Construct):
    """`queue` feeds a Lambda; what it cannot work off waits in `dead` for people."""

    def __init__(
        self, scope: Construct, id: str, *, name: str, dead_name: str, timeout: int, settings: Settings
    ) -> None:
        """`timeout`: seconds that the Lambda may run."""
        super().__init__(scope, id)
        self.dead = sqs.Queue(
            self,
            "Dead",
            queue_name=dead_name,
            retention_period=_KEPT,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.RETAIN if settings.removal == "retain" else RemovalPolicy.DESTROY,
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=name,
            retention_period=_KEPT,
            visibility_timeout=Duration.seconds(timeout + _BEYOND),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=_RECEIVES),
        )
