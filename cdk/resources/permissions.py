"""The permissions of each Lambda: every action and resource is listed, and every `*` has a reason.

The names contain the deployment's name, so a policy never changes when a function is added.
"""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aws_cdk import Stack, Tags
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

from tidemill_cdk.checks import limits
from tidemill_cdk.checks.nag import wildcard
from tidemill_cdk.names import ROLE_TAG, Names
from tidemill_cdk.problems import DeployError


@dataclass(frozen=True)
class Allow:
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    because: str = ""  # why a resource has a `*`
    only: Mapping[str, Any] = field(default_factory=dict[str, Any])  # conditions
    effect: iam.Effect = iam.Effect.ALLOW

    def statement(self) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            effect=self.effect,
            actions=list(self.actions),
            resources=list(self.resources),
            conditions=dict(self.only) or None,
        )


def grant(role: iam.IRole, allows: list[Allow]) -> None:
    for allow in allows:
        role.add_to_principal_policy(allow.statement())
    _justify(role, allows)


def managed(scope: Construct, id: str, role: iam.IRole, allows: list[Allow]) -> list[iam.ManagedPolicy]:
    """Managed policies for a long list, since a role's inline policies have 10,240 characters in all.

    Raises DeployError if the list is too long for a role.
    """
    made: list[iam.ManagedPolicy] = []
    for number, part in enumerate(_parts(Stack.of(scope), allows)):
        if number == limits.POLICIES_OF_A_ROLE:
            raise DeployError(
                f"{scope.node.path}: its role would need more than {limits.POLICIES_OF_A_ROLE} policies to list the"
                " queues of all functions; divide the folder, and add each part by add_definitions"
            )
        statements = [allow.statement() for allow in part]
        made.append(iam.ManagedPolicy(scope, f"{id}{number or ''}", roles=[role], statements=statements))
        _justify(made[-1], part)
    return made


def _parts(stack: Stack, allows: list[Allow]) -> Iterator[list[Allow]]:
    """The same rights, split into lists that each fit a managed policy."""
    part: dict[int, list[str]] = {}
    size = 0
    merged = _merged(allows)
    for number, allow in enumerate(merged):
        for resource in allow.resources:
            needs = limits.characters(stack.resolve(resource)) + _BESIDE
            if number not in part:
                needs += limits.characters(stack.resolve([*allow.actions, dict(allow.only)])) + _STATEMENT
            if part and size + needs > limits.MANAGED_POLICY - 100:
                yield _picked(merged, part)
                part, size = {}, 0
            part.setdefault(number, []).append(resource)
            size += needs
    if part:
        yield _picked(merged, part)


def _merged(allows: list[Allow]) -> list[Allow]:
    """Merges rights with the same actions into one, with all resources, each once."""
    found: dict[tuple[object, ...], Allow] = {}
    for allow in allows:
        key = (allow.actions, str(allow.only), allow.effect, allow.because)
        before = found[key].resources if key in found else ()
        found[key] = replace(allow, resources=tuple(dict.fromkeys((*before, *allow.resources))))
    return list(found.values())


_BESIDE = 4  # characters around a resource
_STATEMENT = 120  # characters of a statement besides its actions, resources and conditions


def _picked(allows: list[Allow], part: Mapping[int, list[str]]) -> list[Allow]:
    return [replace(allows[number], resources=tuple(resources)) for number, resources in part.items()]


def _justify(holder: IConstruct, allows: list[Allow]) -> None:
    for allow in allows:
        for resource in allow.resources:
            if "*" in resource:
                wildcard(holder, resource, allow.because)


# --- permissions that several Lambdas share ------------------------------------------------------------


def table(names: Names, *actions: str) -> Allow:
    return Allow(tuple(f"dynamodb:{action}" for action in actions), (names.table_arn,))


SCHEMAS = ("SCHEMAS", "SCHEMA#*")  # partitions: the schemas of events (tidemill.aws.dynamo.schemas)
_REGISTRY = ("FUNCTIONS", "LISTENS*", "WEBHOOKS", *SCHEMAS)  # partitions: what is declared (aws.dynamo.registry)


def _not_the_registry(names: Names) -> Allow:
    """No app can change another's declarations. Other keys contain no function's id that a policy could check."""
    denied = table(names, *_WRITE)
    only = {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": list(_REGISTRY)}}
    return replace(denied, only=only, effect=iam.Effect.DENY)


def indexes(names: Names) -> Allow:
    """Lists, and the search for overdue runs."""
    return Allow(("dynamodb:Query",), (f"{names.table_arn}/index/*",), "All of the one table's indexes.")


def gathering(names: Names) -> Allow:
    """Reads the runs that already have an event, for a function that collects events."""
    return Allow(("dynamodb:Query",), (f"{names.table_arn}/index/by-event",))


def payloads(names: Names) -> list[Allow]:
    """Read and put objects. Without the right to list, S3 answers 403 where there is no object, not 404."""
    objects = f"{names.bucket_arn}/blobs/*"
    return [
        Allow(("s3:GetObject", "s3:PutObject"), (objects,), "An object is named by its content."),
        Allow(("s3:ListBucket",), (names.bucket_arn,)),
    ]


def publish(names: Names) -> Allow:
    return Allow(("events:PutEvents",), (names.bus_arn,))


def wake(names: Names) -> Allow:
    """Send messages to functions' queues."""
    return Allow(
        ("sqs:SendMessage",),
        (names.function_queues_arn,),
        "Every function's queue of this deployment, by prefix: a list would change in every Lambda with each function.",
    )


def consume(queues: str | tuple[str, ...], because: str = "") -> Allow:
    """The calls that Lambda's poller makes with the Lambda's role."""
    return Allow(
        ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"),
        (queues,) if isinstance(queues, str) else queues,
        because,
    )


def schedules(names: Names) -> list[Allow]:
    """Create and delete one-shot schedules, which send with their own role."""
    return [
        Allow(
            ("scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"),
            (names.schedules_arn,),
            "A schedule is made for each long sleep; the group holds no others.",
        ),
        Allow(
            ("iam:PassRole",),
            (names.schedule_role_arn,),
            only={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
    ]


_READ = ("GetItem", "BatchGetItem", "Query")
_WRITE = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")


def engine(names: Names, *, lists: bool = False, declares: bool = False) -> list[Allow]:
    """The permissions to advance a run: journal and head, payloads, messages, events, schedules.

    `lists`: also read all of the table's indexes, as only lists and the sweep do. `declares`: also change the registry,
    as only the registry's Lambda does.
    """
    return [
        table(names, *_READ, *_WRITE),
        *(() if declares else (_not_the_registry(names),)),
        indexes(names) if lists else gathering(names),
        *payloads(names),
        wake(names),
        publish(names),
        *schedules(names),
    ]


def door(names: Names) -> list[Allow]:
    """What the door for events needs of the table: to read what is declared, and to keep what a webhook has sent and no
    schema admits."""

    def partitions(*keys: str) -> dict[str, Any]:
        return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(keys)}}

    read, put = table(names, "GetItem", "Query"), table(names, "GetItem", "PutItem")
    blobs = (f"{names.bucket_arn}/blobs/*",)
    return [
        replace(read, only=partitions(*_REGISTRY, "WAIT*")),
        replace(put, only=partitions("REJECTED#*")),
        Allow(("s3:GetObject", "s3:PutObject"), blobs, "An object is named by its content."),
    ]


def executor(names: Names, queues_arn: str) -> list[Allow]:
    """The permissions of an app's Lambda, which these queues feed."""
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


def role_of_lambda(
    scope: Construct, names: Names, log: logs.ILogGroup, allows: list[Allow], name: str | None = None
) -> iam.Role:
    """A role for one Lambda: its own log, its traces, and what it is allowed. `name`: where others name it."""
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), role_name=name)
    mark(role, names)
    grant(role, [Allow(("logs:CreateLogStream", "logs:PutLogEvents"), (log.log_group_arn,)), tracing(), *allows])
    return role


def mark(role: iam.IRole, names: Names) -> None:
    """Mark a role that runs the platform's code: the bus takes Tidemill events only from such roles."""
    Tags.of(role).add(ROLE_TAG, names.deployment)
