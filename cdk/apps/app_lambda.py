"""The construct of a user's app: one Lambda with the layer, and the queue and rule of each function."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import Duration, Tags, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from tidemill_cdk.apps import events, manifest
from tidemill_cdk.apps.function import Function
from tidemill_cdk.bundles.assets import app_recipe, code, import_root
from tidemill_cdk.bundles.bundle import bundle
from tidemill_cdk.names import HANDLER, LOG_TAG
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.permissions import executor, network, role_of_lambda
from tidemill_cdk.resources.platform_lambda import architecture, chosen, log_group, runtime
from tidemill_cdk.wiring import Wiring

_OURS = ("handler", "runtime", "architecture", "role", "log_group", "function_name", "code")


class App(Construct):
    """`function` is the Lambda, `role` its role, `functions` the resources of each function, by id."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        wiring: Wiring,
        entry: str | Path,
        app: str,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, secretsmanager.ISecret] | None = None,
        memory: int = 512,
        timeout: Duration | None = None,
        vpc: ec2.IVpc | None = None,
        **options: Any,
    ) -> None:
        """See `Tidemill.add_app`."""
        super().__init__(scope, id)
        names, settings = wiring.names, wiring.settings
        _check(id, options)
        folder = Path(entry).resolve()
        time = timeout or Duration.minutes(5)
        variables = {**(environment or {}), **{name: one.secret_arn for name, one in (secrets or {}).items()}}
        known = {name: value for name, value in variables.items() if not Token.is_unresolved(value)}
        said = manifest.read(import_root(folder), app, known)
        declared = said.functions
        name = _app_name(declared, app)
        log = log_group(self, settings)
        allows = executor(names, names.app_queues_arn(name))
        self.role = role_of_lambda(self, names, log, [*allows, network()] if vpc else allows)
        for secret in (secrets or {}).values():
            secret.grant_read(self.role)
        wanted: dict[str, Any] = {
            "description": f"Tidemill app {name}",
            "tracing": lambda_.Tracing.ACTIVE,
            # JSON lines with the ids of run, function and event.
            "logging_format": lambda_.LoggingFormat.JSON,
            "application_log_level_v2": lambda_.ApplicationLogLevel.INFO,
            # Lambda sees a loop when a run wakes another by a message; it is not one.
            "recursive_loop": lambda_.RecursiveLoop.ALLOW,
            **options,
            "layers": [wiring.layer, *options.get("layers", ())],
        }
        self.function = lambda_.Function(
            self,
            "Function",
            **wanted,
            handler=HANDLER,
            runtime=runtime(settings),
            architecture=architecture(settings),
            code=code(bundle(app_recipe(folder, settings))),
            memory_size=memory,
            timeout=time,
            environment={**variables, **names.environment(), "TIDEMILL_APP": app},
            role=self.role,
            log_group=log,
            vpc=vpc,
        )
        chosen(self.function)
        events.declare(wiring, said.schemas, f"app={app!r}")
        wiring.admit(self, said.webhooks, secrets or {})
        Tags.of(log).add(LOG_TAG, names.deployment)
        self.functions: dict[str, Function] = {
            one.id: wiring.connect(
                self, declared=one, target=self.function, role=self.role, timeout=int(time.to_seconds()), log=log
            )
            for one in declared
        }


def _check(id: str, options: Mapping[str, Any]) -> None:
    problems = [
        f"add_app({id!r}): {name}= is the platform's own to set; leave it out" for name in _OURS if name in options
    ]
    if problems:
        raise DeployError(*problems)


def _app_name(declared: list[manifest.Declared], app: str) -> str:
    names = {str(one.spec["app"]) for one in declared}
    if len(names) != 1:
        raise DeployError(f"app={app!r} declares no function; give it one with @app.function, or leave it out")
    return names.pop()
