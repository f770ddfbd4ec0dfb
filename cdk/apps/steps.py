"""Constructs for steps that are Lambdas: those made from a folder, and foreign Lambdas."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from tidemill.aws.settings import queue_name, step_name
from tidemill_cdk.apps.manifest import Defined
from tidemill_cdk.bundles.assets import code, step_recipe
from tidemill_cdk.bundles.bundle import bundle
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.permissions import Allow, network, payloads, role_of_lambda
from tidemill_cdk.resources.platform_lambda import architecture, chosen, log_group, runtime
from tidemill_cdk.wiring import Wiring

_LONGEST = 900  # seconds that any Lambda may run
_WAITED = (
    4_000  # milliseconds: a foreign Lambda with a longer timeout is not waited for (tidemill.aws.runtimes.lambda_)
)
_QUEUED = 300  # seconds that an asynchronous invocation may wait for its turn (the same)
_QUALIFIED = 8  # parts of an ARN that names a version or an alias


@dataclass(frozen=True)
class Room:
    """The context that the steps of one function share."""

    wiring: Wiring
    defined: Defined
    environment: dict[str, str]
    vpc: ec2.IVpc | None

    @property
    def queue_arn(self) -> str:
        names = self.wiring.names
        return names.arn("sqs", queue_name(names.deployment, self.defined.id))

    def name(self, step: dict[str, Any]) -> str:
        return step_name(self.wiring.names.deployment, self.defined.id, step["id"])

    def folder(self, step: dict[str, Any]) -> Path:
        return (self.defined.folder / str(step["path"])).resolve()


class StepLambda(Construct):
    """A Lambda of the step's folder, with the wrapper that sends late results."""

    def __init__(self, scope: Construct, id: str, *, room: Room, step: dict[str, Any]) -> None:
        super().__init__(scope, id)
        names, settings, name = room.wiring.names, room.wiring.settings, room.name(step)
        late = Allow(("sqs:SendMessage",), (room.queue_arn,))
        allows = [late, *payloads(names), *([network()] if room.vpc else [])]
        log = log_group(self, settings)
        folder = room.folder(step)
        if not (folder / _module(step)).is_file():
            raise DeployError(
                f"{room.defined.id}: the step {step['id']!r} has no {_module(step)} in {folder}; write one with"
                " def handler(event, context), or name another in runtime.handler"
            )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            description=f"Step {step['id']} of {room.defined.id}"[:256],
            runtime=runtime(settings),
            architecture=architecture(settings),
            handler="tidemill.aws.runtimes.step_handler.handler",
            code=code(bundle(step_recipe(folder, settings))),
            layers=[room.wiring.layer],
            memory_size=step["runtime"]["memory"],
            timeout=Duration.seconds(_seconds(step)),
            environment={**room.environment, "TIDEMILL_STEP_HANDLER": step["runtime"]["handler"]},
            role=role_of_lambda(self, names, log, allows),
            log_group=log,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
            # Late results come back by the queue: Lambda may see a long graph as a loop, which it is not.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
            vpc=room.vpc,
        )
        chosen(self.function)


class Foreign:
    """Foreign Lambdas, by their ARNs. A long one gets an alias for this function, through which Lambda reports its end
    to the function's queue."""

    def __init__(self, scope: Construct, room: Room) -> None:
        self._scope, self._room = scope, room
        self._known: set[str] = set()

    def allow(self, step: dict[str, Any]) -> Allow:
        arn, timeout = str(step["runtime"]["arn"]), step["timeout"]
        if timeout is not None and timeout <= _WAITED:
            return Allow(("lambda:InvokeFunction",), (arn,))
        if arn.count(":") + 1 >= _QUALIFIED:
            raise DeployError(
                f"{self._room.defined.id}: the step {step['id']!r} names a version or an alias of a Lambda that may"
                " take longer than 4 s; name the function itself, or give the step a timeout of at most 4s"
            )
        alias = queue_name(self._room.wiring.names.deployment, self._room.defined.id)
        if arn not in self._known:
            self._known.add(arn)
            self._tell(arn, alias)
        return Allow(("lambda:InvokeFunction",), (f"{arn}:{alias}",))

    def _tell(self, arn: str, alias: str) -> None:
        named = arn.rpartition(":")[2]
        here = lambda_.CfnAlias(
            self._scope, f"{named}-alias", function_name=arn, function_version="$LATEST", name=alias,
            description=f"For the Tidemill function {self._room.defined.id}"[:256],
        )  # fmt: skip
        kinds, queue = lambda_.CfnEventInvokeConfig, self._room.queue_arn
        told = kinds.DestinationConfigProperty(
            on_success=kinds.OnSuccessProperty(destination=queue), on_failure=kinds.OnFailureProperty(destination=queue)
        )
        ends = lambda_.CfnEventInvokeConfig(
            self._scope,
            f"{named}-ends",
            function_name=arn,
            qualifier=alias,
            maximum_retry_attempts=0,  # the engine retries, not Lambda
            maximum_event_age_in_seconds=_QUEUED,
            destination_config=told,
        )
        ends.node.add_dependency(here)


def _module(step: dict[str, Any]) -> str:
    return str(step["runtime"]["handler"]).rpartition(".")[0].replace(".", "/") + ".py"


def _seconds(step: dict[str, Any]) -> int:
    """Lambda counts whole seconds. The definition's check enforces its fifteen minutes."""
    return max(-(-int(step["timeout"]) // 1_000), 1) if step["timeout"] is not None else _LONGEST
