"""What each Lambda may do: every action and resource spelled out, every `*` with its reason.

The names come from the mill's name, so a policy never changes when a function is added.
"""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

from tidemill_cdk.nag import wildcard
from tidemill_cdk.names import Names


@dataclass(frozen=True)
class Allow:
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    because: str = ""  # why a resource holds a `*`
    only: Mapping[str, Any] = field(default_factory=dict[str, Any])  # conditions

    def statement(self) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            actions=list(self.actions), resources=list(self.resources), conditions=dict(self.only) or None
        )


def grant(role: iam.IRole, allows: list[Allow]) -> None:
    for allow in allows:
        role.add_to_principal_policy(allow.statement())
    _justify(role, allows)


def policy(scope: Construct, id: str, role: iam.IRole, allows: list[Allow]) -> iam.Policy:
    """A policy of its own for the role: what it allows comes and goes without a change of the others."""
    made = iam.Policy(scope, id, roles=[role], statements=[allow.statement() for allow in allows])
    _justify(made, allows)
    return made


def _justify(holder: IConstruct, allows: list[Allow]) -> None:
    for allow in allows:
        for resource in allow.resources:
            if "*" in resource:
                wildcard(holder, resource, allow.because)


# --- what the parts of a mill have in common -----------------------------------------------------------


def table(names: Names, *actions: str) -> Allow:
    return Allow(tuple(f"dynamodb:{action}" for action in actions), (names.table_arn,))


def indexes(names: Names) -> Allow:
    """Lists, and the search for overdue runs."""
    return Allow(("dynamodb:Query",), (f"{names.table_arn}/index/*",), "All of the one table's indexes.")


def gathering(names: Names) -> Allow:
    """Which runs an event is in already, for a function that gathers events."""
    return Allow(("dynamodb:Query",), (f"{names.table_arn}/index/by-event",))


def payloads(names: Names, *actions: str) -> Allow:
    return Allow(
        tuple(f"s3:{action}" for action in actions),
        (f"{names.bucket_arn}/blobs/*",),
        "An object is named by its content.",
    )


def publish(names: Names) -> Allow:
    return Allow(("events:PutEvents",), (names.bus_arn,))


def wake(names: Names) -> Allow:
    """Send messages to the queues of functions."""
    return Allow(
        ("sqs:SendMessage",),
        (names.function_queues_arn,),
        "Every function's queue of this mill, by prefix: a list would change in every Lambda with each function.",
    )


def consume(queue_arn: str, because: str = "") -> Allow:
    """What Lambda's poller does in the name of the Lambda."""
    return Allow(
        ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"),
        (queue_arn,),
        because,
    )


def schedules(names: Names) -> list[Allow]:
    """Make and delete one-shot schedules, which send under the role given to them."""
    return [
        Allow(
            ("scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"),
            (names.schedules_arn,),
            "A schedule is made for each long sleep; the group holds no others.",
        ),
        Allow(("iam:PassRole",), (names.schedule_role_arn,)),
    ]


_READ = ("GetItem", "BatchGetItem", "Query")
_WRITE = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")


def engine(names: Names, *, lists: bool = False) -> list[Allow]:
    """What it takes to bring a run on, or to its end: journal and head, payloads, messages, events, schedules.

    `lists`: and to read all of the table's indexes, as only lists and the sweep do.
    """
    return [
        table(names, *_READ, *_WRITE),
        indexes(names) if lists else gathering(names),
        payloads(names, "GetObject", "PutObject"),
        wake(names),
        publish(names),
        *schedules(names),
    ]


def executor(names: Names, queues_arn: str) -> list[Allow]:
    """What runs may do, in the Lambda of their app, which is fed by these queues."""
    because = "The queues of this app's functions, by prefix: one is added with each." if "*" in queues_arn else ""
    return [*engine(names), consume(queues_arn, because)]


def tracing() -> Allow:
    return Allow(
        ("xray:PutTraceSegments", "xray:PutTelemetryRecords"), ("*",), "X-Ray knows no resources for these actions."
    )


def network() -> Allow:
    """For a Lambda in a VPC."""
    return Allow(
        (
            *("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
            *("ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
        ),
        ("*",),
        "Lambda makes network interfaces whose ids nobody knows before.",
    )


def role_of_lambda(scope: Construct, log_group_arn: str, allows: list[Allow]) -> iam.Role:
    """A role for one Lambda: its own log, its traces, and what it is allowed."""
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log = Allow(
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (f"{log_group_arn}:*",),
        "The streams of the Lambda's own log group.",
    )
    grant(role, [log, tracing(), *allows])
    return role
