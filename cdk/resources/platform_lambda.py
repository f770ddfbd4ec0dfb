"""One of the platform's own Lambdas: its code from the one bundle, the layer, a role and a log of its own."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tidemill_cdk.checks.nag import accepted, justified
from tidemill_cdk.names import Names
from tidemill_cdk.resources.permissions import Allow, role_of_lambda
from tidemill_cdk.resources.removal import removal
from tidemill_cdk.settings import Settings


@dataclass(frozen=True)
class Platform:
    """The settings that all of the platform's Lambdas share."""

    names: Names
    settings: Settings
    layer: lambda_.ILayerVersion
    code: lambda_.Code


def runtime(settings: Settings) -> lambda_.Runtime:
    return lambda_.Runtime(f"python{settings.python}", lambda_.RuntimeFamily.PYTHON)


def chosen(function: lambda_.IFunction) -> None:
    """Accept the findings that apply to every Lambda."""
    accepted(
        function,
        "AwsSolutions-L1",
        "The Python that the code is developed and tested with; tidemill:python changes it.",
    )
    justified(
        function,
        {
            "CKV_AWS_115": "Concurrency that is reserved is taken from all other Lambdas: settings do it where wanted.",
            "CKV_AWS_116": "It is fed by a queue, whose dead letters keep what fails, or called by somebody who waits.",
            "CKV_AWS_117": "It calls AWS's own endpoints, over TLS; apps are placed in a network by vpc=.",
            "CKV_AWS_173": "Its variables hold names and ARNs, no secret, and are encrypted by AWS's key.",
        },
    )


def architecture(settings: Settings) -> lambda_.Architecture:
    return lambda_.Architecture.ARM_64 if settings.architecture == "arm64" else lambda_.Architecture.X86_64


def log_group(scope: Construct, settings: Settings) -> logs.LogGroup:
    """AWS chooses the name, so that a Lambda that is added again does not collide with its old log."""
    group = logs.LogGroup(
        scope,
        "Log",
        retention=logs.RetentionDays(_RETENTION[settings.log_days]),
        removal_policy=removal(settings),
    )
    justified(group, {"CKV_AWS_158": "CloudWatch encrypts it by a key of its own; payloads are not logged."})
    return group


class PlatformLambda(Construct):
    """`what` determines its handler: tidemill_lambdas.<what>.entry.handler."""

    function: lambda_.Function
    role: iam.Role

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        platform: Platform,
        what: str,
        description: str,
        allows: list[Allow],
        memory: int = 256,
        timeout: int = 30,
        environment: Mapping[str, str] | None = None,
        reserved: int = 0,
        role_name: str | None = None,
    ) -> None:
        """`memory`: MiB; `timeout`: seconds; `reserved`: concurrent executions, 0 for none of its own. `role_name`:
        where other stacks name its role."""
        super().__init__(scope, id)
        names, settings = platform.names, platform.settings
        log = log_group(self, settings)
        self.role = role_of_lambda(self, names, log, allows, role_name)
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=runtime(settings),
            architecture=architecture(settings),
            handler=f"tidemill_lambdas.{what}.entry.handler",
            code=platform.code,
            layers=[platform.layer],
            memory_size=memory,
            timeout=Duration.seconds(timeout),
            environment={**names.environment(), **(environment or {})},
            role=self.role,
            log_group=log,
            tracing=lambda_.Tracing.ACTIVE,
            reserved_concurrent_executions=reserved or None,
            # Lambda sees a loop when a run wakes another by a message; it is not one.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        chosen(self.function)

    def feed(self, queue: sqs.IQueue, *, batch: int, window: int = 0) -> None:
        """Feed the queue's messages to the Lambda, `batch` at a time. The role must allow it."""
        source = lambda_.EventSourceMapping(
            self,
            "Source",
            target=self.function,
            event_source_arn=queue.queue_arn,
            batch_size=batch,
            max_batching_window=Duration.seconds(window) if window else None,
            report_batch_item_failures=True,
        )
        # Lambda checks the role when the source is created.
        source.node.add_dependency(self.role)


_RETENTION = {
    1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS", 30: "ONE_MONTH",
    60: "TWO_MONTHS", 90: "THREE_MONTHS", 120: "FOUR_MONTHS", 150: "FIVE_MONTHS", 180: "SIX_MONTHS",
    365: "ONE_YEAR", 400: "THIRTEEN_MONTHS", 545: "EIGHTEEN_MONTHS", 731: "TWO_YEARS", 1096: "THREE_YEARS",
    1827: "FIVE_YEARS", 2192: "SIX_YEARS", 2557: "SEVEN_YEARS", 2922: "EIGHT_YEARS", 3288: "NINE_YEARS",
    3653: "TEN_YEARS",
}  # fmt: skip
