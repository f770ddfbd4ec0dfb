"""Queues with their dead-letter queues: encrypted, over TLS only, their messages kept for 14 days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tidemill.aws.settings import dead_letter_name, queue_name
from tidemill_cdk.checks.nag import justified
from tidemill_cdk.names import Names
from tidemill_cdk.resources.removal import removal
from tidemill_cdk.settings import Settings

_KEPT = Duration.days(14)  # the longest that SQS keeps a message: time to notice, repair and redrive
# An hour of throttling is hundreds of receives, and must lose nothing. The engine itself recognizes poison messages.
_RECEIVES = 500
_BEYOND = 15  # seconds from the end of a Lambda's time to the next delivery


class QueuePair(Construct):
    """Queues of the platform. `queue` feeds a Lambda; messages that it cannot process wait in `dead` for people."""

    def __init__(self, scope: Construct, id: str, *, timeout: int, settings: Settings, name: str | None = None) -> None:
        """`timeout`: seconds that the Lambda may run. `name`: only if others refer to it."""
        super().__init__(scope, id)
        self.dead = sqs.Queue(
            self,
            "Dead",
            retention_period=_KEPT,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=removal(settings),
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
        for queue in (self.dead, self.queue):
            justified(queue, {"CKV_AWS_27": "It is encrypted, by SQS's own key; checkov looks for a key of KMS alone."})


class FunctionQueues(Construct):
    """Queues of a function: named, made by the registry's Lambda, which keeps existing ones (see decision 0016)."""

    def __init__(self, scope: Construct, id: str, *, names: Names, function_id: str) -> None:
        super().__init__(scope, id)
        self._names = names
        self._name, self._dead_name = (
            queue_name(names.deployment, function_id),
            dead_letter_name(names.deployment, function_id),
        )
        self.queue = sqs.Queue.from_queue_arn(self, "Queue", names.arn("sqs", self._name))
        self.dead = sqs.Queue.from_queue_arn(self, "Dead", names.arn("sqs", self._dead_name))

    def properties(self, *, timeout: int, keep: bool, rules: Sequence[str]) -> dict[str, Any]:
        """The properties of the registry's request. `rules`: the ARNs of the rules that send to both queues."""
        arn, dead = self.queue.queue_arn, self.dead.queue_arn
        every = {"MessageRetentionPeriod": str(_KEPT.to_seconds()), "SqsManagedSseEnabled": "true"}
        text = Stack.of(self).to_json_string
        redrive = {"deadLetterTargetArn": dead, "maxReceiveCount": _RECEIVES}
        return {
            "Name": self._name,
            "DeadName": self._dead_name,
            "Keep": str(keep).lower(),
            "Attributes": {
                **every,
                "VisibilityTimeout": str(timeout + _BEYOND),
                "RedrivePolicy": text(redrive),
                "Policy": text(_policy(arn, rules)),
            },
            "DeadAttributes": {**every, "Policy": text(_policy(dead, rules))},
        }


def _policy(arn: str, rules: Sequence[str]) -> dict[str, Any]:
    """No access without TLS, and from EventBridge only by these rules."""
    plain = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "sqs:*",
        "Resource": arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    sends = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": list(rules)}},
    }
    return {"Version": "2012-10-17", "Statement": [plain, *([sends] if rules else [])]}
