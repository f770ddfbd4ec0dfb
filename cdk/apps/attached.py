"""Attaches an existing Lambda as a function: adds the layer, a queue, a rule and permissions to it.

The executor becomes the Lambda's handler, and calls the original handler.
"""

from __future__ import annotations

from typing import Any, cast

from aws_cdk import Duration, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from tidemill.aws.settings import queue_name
from tidemill_cdk.apps import declaration, manifest
from tidemill_cdk.apps.function import Function
from tidemill_cdk.names import HANDLER
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.permissions import executor, grant, mark
from tidemill_cdk.settings import Settings
from tidemill_cdk.wiring import Wiring

_DEFAULT_TIMEOUT = 3  # seconds, Lambda's own


class Attached(Construct):
    """`function` has the function's own resources."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        wiring: Wiring,
        existing: lambda_.IFunction,
        function_id: str,
        on: Any,
        options: dict[str, Any],
    ) -> None:
        """See `Deployment.attach`."""
        super().__init__(scope, id)
        resource = _resource(existing, function_id, wiring.settings)
        declared = manifest.plain(function_id, declaration.written(function_id, on, options))
        own = cast("lambda_.Function", existing)
        environment = {
            **wiring.names.environment(),
            "TIDEMILL_HANDLER": str(resource.handler),
            "TIDEMILL_FUNCTION": declared.text,
        }
        for name, value in environment.items():
            own.add_environment(name, value)
        own.add_layers(wiring.layer)
        resource.handler = HANDLER
        resource.recursive_loop = "Allow"  # Lambda sees a loop when a run wakes another by a message; it is not one
        role = _role(own, function_id)
        queue = wiring.names.arn("sqs", queue_name(wiring.names.deployment, function_id))
        mark(role, wiring.names)
        grant(role, executor(wiring.names, queue))
        self.function: Function = wiring.connect(
            self, declared=declared, target=existing, role=role, timeout=_timeout(own.timeout)
        )


def _resource(existing: lambda_.IFunction, function_id: str, settings: Settings) -> lambda_.CfnFunction:
    resource = existing.node.default_child
    if not isinstance(resource, lambda_.CfnFunction):
        raise DeployError(
            f"attach({function_id!r}): this Lambda is not made by this CDK app, so its handler and layers cannot be"
            " changed here; attach it in the stack that makes it (Tidemill.import_), or by hand (docs/aws/attach.md)"
        )
    machine = resource.architectures or ["x86_64"]
    if (resource.runtime, machine) != (f"python{settings.python}", [settings.architecture]):
        raise DeployError(
            f"attach({function_id!r}): this Lambda runs {resource.runtime or 'an image'} on {machine[0]}, the"
            f" deployment's layer python{settings.python} on {settings.architecture}; give it these, or set"
            " tidemill:python and tidemill:architecture"
        )
    if resource.handler == HANDLER:
        raise DeployError(f"attach({function_id!r}): this Lambda is a function already; one Lambda is one of them")
    return resource


def _role(own: lambda_.Function, function_id: str) -> iam.IRole:
    if own.role is None:
        raise DeployError(f"attach({function_id!r}): this Lambda has no role that permissions could be added to")
    return own.role


def _timeout(given: Duration | None) -> int:
    if given is None:
        return _DEFAULT_TIMEOUT
    seconds = given.to_seconds()
    return int(seconds) if not Token.is_unresolved(seconds) else 900
