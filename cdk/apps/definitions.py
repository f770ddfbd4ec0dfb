"""The construct of a folder of definitions: one Lambda runs their graphs and calls their steps.

Each function has its own queue, rule and registry entry, like an app's; the resources of its steps (`steps`, `tasks`)
are beside them. So adding a definition changes only the file that the executor reads, and the policy that lists the
queues.
"""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from tidemill.aws.settings import queue_name
from tidemill_cdk.apps import manifest
from tidemill_cdk.apps.function import Function
from tidemill_cdk.apps.manifest import Defined
from tidemill_cdk.apps.steps import Foreign, Room, StepLambda
from tidemill_cdk.apps.tasks import StepTask, Tasks
from tidemill_cdk.bundles.assets import code, definitions_recipe, own_bundle, wasm_recipe
from tidemill_cdk.bundles.bundle import Bundle, bundle
from tidemill_cdk.checks.nag import accepted, justified
from tidemill_cdk.names import HANDLER
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.keys import KEY
from tidemill_cdk.resources.permissions import Allow, consume, engine, managed, network, role_of_lambda
from tidemill_cdk.resources.platform_lambda import architecture, chosen, log_group, runtime
from tidemill_cdk.resources.removal import removal
from tidemill_cdk.wiring import Wiring

_FILE = "definitions.json"
_LEAST, _MOST = 60, 900  # seconds that the executor may run
_BESIDE = 30  # seconds more than its longest step in process
_MEMORY = {False: 256, True: 512}  # MiB, without and with WebAssembly steps
_HTTP, _WASM = 30_000, 60_000  # milliseconds: the default timeout of a step


class Definitions(Construct):
    """`executor` is the Lambda and `role` its role, `functions` the resources of each function, by id; `lambdas` and
    `tasks` the resources of steps, by function and step: grant them the rights that their programs need."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        wiring: Wiring,
        path: Path,
        environment: Mapping[str, str],
        memory: int | None,
        vpc: ec2.IVpc | None,
    ) -> None:
        """See `Deployment.add_definitions`."""
        super().__init__(scope, id)
        self._wiring, self._vpc = wiring, vpc
        self._given = dict(environment)
        self._defined = manifest.definitions(path)
        kinds = {step["runtime"]["type"] for one in self._defined for step in one.steps}
        self.lambdas: dict[tuple[str, str], lambda_.Function] = {}
        self.tasks: dict[tuple[str, str], StepTask] = {}
        log = log_group(self, wiring.settings)
        allows = [*engine(wiring.names), *self._steps_of(kinds), *([network()] if vpc else [])]
        self.role = role_of_lambda(self, wiring.names, log, allows)
        timeout = _timeout(self._defined)
        self.executor = lambda_.Function(
            self,
            "Executor",
            description=f"Tidemill definitions {id}",
            tracing=lambda_.Tracing.ACTIVE,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            # Lambda sees a loop when a run wakes another by a message; it is not one.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
            layers=[wiring.layer, *([self._wasm()] if "wasm" in kinds else [])],
            handler=HANDLER,
            runtime=runtime(wiring.settings),
            architecture=architecture(wiring.settings),
            code=code(_asset(self._defined, wiring)),
            memory_size=memory or _MEMORY["wasm" in kinds],
            timeout=Duration.seconds(timeout),
            environment={**wiring.names.environment(), "TIDEMILL_DEFINITIONS": _FILE, **self._told(kinds)},
            role=self.role,
            log_group=log,
            vpc=vpc,
        )
        chosen(self.executor)
        rooms = {one.id: Construct(self, f"{one.id}-steps") for one in self._defined}
        listed = [
            consume(self._queue_arns()),
            *(allow for one in self._defined for allow in self._foreign_steps(rooms[one.id], one)),
        ]
        policies = managed(self, "Allowed", self.role, listed)
        self.functions: dict[str, Function] = {
            one.id: self._add(rooms[one.id], one, timeout, policies) for one in self._defined
        }

    def _queue_arns(self) -> tuple[str, ...]:
        names = self._wiring.names
        return tuple(
            names.arn("sqs", queue_name(names.deployment, id)) for id in sorted(one.id for one in self._defined)
        )

    def _add(self, room: Construct, defined: Defined, timeout: int, policies: list[iam.ManagedPolicy]) -> Function:
        rules: list[events.IRule] = []
        if any(step["runtime"]["type"] == "docker" for step in defined.steps):
            rules.append(self._containers.tell(room, defined.id))
        function = self._wiring.connect(
            self, declared=defined.declared, target=self.executor, role=self.role, timeout=timeout, rules=rules
        )
        function.node.find_child("Source").node.add_dependency(*policies)  # Lambda checks the role when it is created
        return function

    def _steps_of(self, kinds: set[str]) -> Iterator[Allow]:
        """The executor's permissions for steps, the same for all functions."""
        names = self._wiring.names
        if "lambda" in kinds:
            because = "The Lambdas of this deployment's steps: a list would outgrow the role."
            yield Allow(("lambda:InvokeFunction",), (names.step_lambdas_arn,), because)
        if "docker" in kinds:
            yield from self._containers.allows()
        if "http" in kinds:
            yield Allow(("secretsmanager:GetSecretValue",), (self._signing_key.secret_arn,))

    def _foreign_steps(self, scope: Construct, defined: Defined) -> Iterator[Allow]:
        """Makes the resources of a function's steps. Returns the executor's permissions for foreign Lambdas."""
        room = Room(self._wiring, defined, self._given, self._vpc)
        foreign = Foreign(scope, room)
        for step in defined.steps:
            kind, key = step["runtime"]["type"], (defined.id, step["id"])
            if kind == "lambda" and step["runtime"]["arn"] is None:
                self.lambdas[key] = StepLambda(scope, step["id"], room=room, step=step).function
            elif kind == "lambda":
                yield foreign.allow(step)
            elif kind == "docker":
                self.tasks[key] = StepTask(scope, step["id"], room=room, step=step, tasks=self._containers)

    def _told(self, kinds: set[str]) -> dict[str, str]:
        """The executor's environment besides the deployment's names."""
        told: dict[str, str] = {}
        if "http" in kinds:
            told["TIDEMILL_SIGNING_KEY"] = self._signing_key.secret_arn
        if "docker" in kinds:
            told |= self._containers.environment()
        return told

    @cached_property
    def _containers(self) -> Tasks:
        return Tasks(self, "Tasks", wiring=self._wiring, name=self.node.id, vpc=self._vpc)

    @cached_property
    def _signing_key(self) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "SigningKey",
            description="What the requests of http steps are signed with",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=48, exclude_punctuation=True, include_space=False
            ),
            removal_policy=removal(self._wiring.settings),
        )
        reason = "Whoever checks the signatures has to be given a new key first: it is changed by hand."
        accepted(secret, "AwsSolutions-SMG4", reason)
        justified(secret, {"CKV_AWS_149": KEY})
        CfnOutput(self, "SigningKeyArn", value=secret.secret_arn, description="The key that http steps are signed with")
        return secret

    def _wasm(self) -> lambda_.LayerVersion:
        settings = self._wiring.settings
        return lambda_.LayerVersion(
            self,
            "Wasm",
            description=f"What runs WebAssembly, for Python {settings.python} on {settings.architecture}",
            code=code(own_bundle(wasm_recipe(settings))),
            compatible_runtimes=[runtime(settings)],
            compatible_architectures=[architecture(settings)],
        )


def _timeout(defined: list[Defined]) -> int:
    """Seconds: the longest step that runs in the executor's process, and a margin."""
    longest = 0
    for one in defined:
        for step in one.steps:
            default = {"http": _HTTP, "wasm": _WASM}.get(step["runtime"]["type"])
            if default is None:
                continue
            seconds = -(-(step["timeout"] or default) // 1_000)
            if seconds + _BESIDE > _MOST:
                raise DeployError(
                    f"{one.id}: the step {step['id']!r} may take {seconds} s, and one of its kind {_MOST - _BESIDE} s"
                    " at most in AWS; give it a shorter timeout, or make a container of it"
                )
            longest = max(longest, seconds)
    return max(_LEAST, longest + _BESIDE)


def _asset(defined: list[Defined], wiring: Wiring) -> Bundle:
    """The definitions in the executor's layout: modules beside the file, whatever the folders were here."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        written = [_written(one, folder) for one in sorted(defined, key=lambda one: one.id)]
        (folder / _FILE).write_text(json.dumps(written, sort_keys=True), encoding="utf-8")
        return bundle(definitions_recipe(folder, wiring.settings))


def _written(one: Defined, folder: Path) -> dict[str, Any]:
    steps = [dict(step) for step in one.definition["steps"]]
    for number, step in enumerate(steps):
        if step["runtime"]["type"] != "wasm" or step["path"] is None:
            continue
        module = one.folder / step["path"]
        step["path"] = f"modules/{one.id.replace('/', '-')}-{number}{module.suffix}"
        (folder / "modules").mkdir(exist_ok=True)
        shutil.copy(module, folder / step["path"])
    return {**one.definition, "steps": steps, "folder": "."}
