"""`Tidemill`: the whole platform as one construct of a user's stack, and the apps on it."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from tidemill_cdk.apps import manifest
from tidemill_cdk.apps.app_lambda import App
from tidemill_cdk.apps.attached import Attached
from tidemill_cdk.apps.definitions import Definitions
from tidemill_cdk.apps.events import declare
from tidemill_cdk.bundles.assets import code, lambdas_recipe, own_bundle
from tidemill_cdk.bundles.layer import Layer
from tidemill_cdk.checks import counting
from tidemill_cdk.context import warn
from tidemill_cdk.names import Names
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.alarms import Alarms
from tidemill_cdk.resources.api import Api
from tidemill_cdk.resources.bus import Bus, Events
from tidemill_cdk.resources.keys import Keys
from tidemill_cdk.resources.platform_lambda import Platform
from tidemill_cdk.resources.registry import Registry
from tidemill_cdk.resources.state import State
from tidemill_cdk.resources.sweeper import Sweeper
from tidemill_cdk.resources.timers import Timers
from tidemill_cdk.settings import Settings, check, of_context
from tidemill_cdk.wiring import Wiring


class Deployment(Construct):
    """A deployment that apps can be added to, in this stack or another."""

    wiring: Wiring

    def add_app(
        self,
        id: str,
        *,
        entry: str | Path,
        app: str,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, secretsmanager.ISecret] | None = None,
        memory: int = 512,
        timeout: Duration | None = None,
        vpc: ec2.IVpc | None = None,
        **options: Any,
    ) -> App:
        """Add an app's Lambda, and for each of its functions a queue, a rule and related resources.

        `entry`: the folder of its code (a requirements.txt in it is installed beside it). `app`: "module:variable".
        `secrets`: the ARN of each is in the variable of its name, and the app may read it; those of its webhooks the
        door for events may read, too. `memory`: MiB. `timeout`
        (5 minutes): no step may take longer, and a crash is noticed when it has passed. `options`: whatever else
        `aws_lambda.Function` takes. Raises DeployError.
        """
        return App(
            self,
            id,
            wiring=self.wiring,
            entry=entry,
            app=app,
            environment=environment,
            secrets=secrets,
            memory=memory,
            timeout=timeout,
            vpc=vpc,
            **options,
        )

    def add_definitions(
        self,
        path: str | Path,
        *,
        id: str | None = None,
        environment: Mapping[str, str] | None = None,
        memory: int | None = None,
        vpc: ec2.IVpc | None = None,
    ) -> Definitions:
        """Add the definitions of a folder (its `*.function.json`, or one such file): a queue, a rule and related
        resources for each, one Lambda that runs all of them, and a Lambda or a task definition for each step that
        needs one.

        `environment`: the variables of the steps' programs. `memory`: MiB of the executor, which holds the outputs of
        steps and runs their WebAssembly (512 with such a step, else 256). `vpc`: the network of executor, Lambdas and
        containers; without it containers have a small separate network, and the Lambdas none. `id`: of the
        construct, else the folder's name. Raises DeployError.
        """
        where = Path(path)
        return Definitions(
            self,
            id or (where.name.partition(".")[0] if where.is_file() else where.resolve().name),
            wiring=self.wiring,
            path=where,
            environment=environment or {},
            memory=memory,
            vpc=vpc,
        )

    def add_events(self, path: str | Path) -> None:
        """The schemas of events of a folder, one file a name and version: `<name>/<version>.json`.

        Every door holds events to them, and EventBridge's schema registry publishes them. Raises DeployError.
        """
        declare(self.wiring, manifest.schemas(Path(path)), f"add_events({str(path)!r})")

    def attach(self, existing: lambda_.IFunction, *, function_id: str, on: Any = None, **options: Any) -> Attached:
        """Make your own Lambda a function. Its handler stays unchanged: it is called with the event.

        `function_id` is used as given. `on` and `options`: as `@app.function` takes them, without `on_failure`.
        Raises DeployError.
        """
        return Attached(
            self,
            function_id,
            wiring=self.wiring,
            existing=existing,
            function_id=function_id,
            on=on,
            options=options,
        )


class Tidemill(Deployment):
    """The platform. `name`: the deployment's name ("prod"); by default, like all settings, from the context.

    `settings`: replaces the context's. Raises DeployError with every problem of the settings.
    """

    def __init__(self, scope: Construct, id: str, *, name: str | None = None, settings: Settings | None = None) -> None:
        super().__init__(scope, id)
        context = self.node.get_all_context()
        if settings is None:
            warn(self, context)
        given = settings or of_context(context)
        self.settings = check(replace(given, name=name) if name is not None else given)
        self.names = names = Names(self.settings.name, Stack.of(self))
        self.state = State(self, "State", names=names, settings=self.settings)
        self.layer = Layer(self, "Layer", names=names, settings=self.settings)
        platform = Platform(names, self.settings, self.layer.version, code(own_bundle(lambdas_recipe(self.settings))))
        self.bus = Bus(self, "Bus", names=names, archive_days=self.settings.archive_days)
        self.events = Events(self, "Events", platform=platform, bus=self.bus.bus)
        self.timers = Timers(self, "Timers", platform=platform)
        self.sweeper = Sweeper(self, "Sweeper", platform=platform, events_queue=self.events.queues.queue)
        self.registry = Registry(self, "Registry", platform=platform)
        self.registry.node.add_dependency(self.state)
        self.keys = Keys(self, "Keys", platform=platform)
        self.api = Api(self, "Api", platform=platform, keys=self.keys)
        self.alarms = Alarms(
            self,
            "Alarms",
            names=names,
            settings=self.settings,
            queues={"Events": self.events.queues.queue, "Timers": self.timers.queues.queue},
            dead={"Events": self.events.queues.dead, "Timers": self.timers.queues.dead},
            sweeper=self.sweeper.function,
        )
        self.wiring = Wiring(
            names,
            self.settings,
            self.bus.bus,
            self.layer.version,
            self.registry.token,
            self,
            self.api.ingest_role,
            (self.registry, self.timers),
            self.alarms,
        )
        self._outputs()
        counting.watch(self)

    @staticmethod
    def import_(scope: Construct, id: str, *, name: str) -> Deployment:
        """A deployment of another stack in this account and region, by its name. Apps are added in the same way.

        Python and architecture come from this stack's context, and must be the deployment's. Otherwise it fails: with
        DeployError in the same CDK app, else in CloudFormation, which finds no layer's parameter for them.
        """
        return _Imported(scope, id, name=name)

    def _outputs(self) -> None:
        for name, value, what in (
            ("Url", self.api.url, "Events go to <url>/e/<event key>"),
            ("BusName", self.bus.bus.event_bus_name, "The bus that PutEvents may send to"),
            ("LayerArn", self.layer.version.layer_version_arn, "The layer with the executor"),
            ("EventKeys", self.keys.event_keys.secret_arn, "The secret with the event key: who has it may send"),
            ("ApiKeys", self.keys.api_keys.secret_arn, "The secret with the API key: who has it may read and act"),
        ):
            made = CfnOutput(self, name, value=value, description=what)
            made.override_logical_id(_output_name(self, name))  # without the CDK's hash, so that a script can read it


def _output_name(deployment: Construct, name: str) -> str:
    """ "TidemillUrl", for the construct `Tidemill` of a stack."""
    path = deployment.node.path.removeprefix(Stack.of(deployment).node.path)
    return "".join(sign for sign in path if sign.isalnum()) + name


class _Imported(Deployment):
    def __init__(self, scope: Construct, id: str, *, name: str) -> None:
        super().__init__(scope, id)
        context = self.node.get_all_context()
        warn(self, context)
        settings = check(replace(of_context(context), name=name))
        _fits(self, settings)
        names = Names(name, Stack.of(self))
        parameter = ssm.StringParameter.value_for_string_parameter
        layer = parameter(self, names.layer_parameter(settings.python, settings.architecture))
        self.wiring = Wiring(
            names,
            settings,
            events.EventBus.from_event_bus_name(self, "Bus", names.bus),
            lambda_.LayerVersion.from_layer_version_arn(self, "Layer", layer),
            parameter(self, names.registry_parameter),
            self,
            iam.Role.from_role_name(self, "Door", names.ingest_role),
        )
        counting.watch(self)


def _fits(deployment: Construct, settings: Settings) -> None:
    """Check Python and architecture of a deployment in this CDK app against this stack's.

    For other deployments CloudFormation checks them before it creates anything: the layer's parameter has both in its
    name.
    """
    for one in deployment.node.root.node.find_all():
        theirs = getattr(one, "settings", None)
        if not isinstance(one, Tidemill) or theirs is None or theirs.name != settings.name:
            continue
        for what in ("python", "architecture"):
            own, published = getattr(settings, what), getattr(theirs, what)
            if own != published:
                raise DeployError(
                    f"import_(name={settings.name!r}): this stack's apps would be built for {what} {own}, and the"
                    f" deployment's layer is for {published}; set tidemill:{what} to {published} in the context"
                )
