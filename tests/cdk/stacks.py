"""The stacks that the tests look at: `python stacks.py FOLDER` synthesizes them, with cdk-nag's report."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from tidemill_cdk import Settings, Tidemill  # isort: skip  # before aws_cdk: it chooses the Node
from aws_cdk import App, Duration, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from cdk_nag import AwsSolutionsChecks
from conditions import conditions

from tidemill import Concurrency, Event
from tidemill.core.pattern import pattern
from tidemill.model import EventTrigger
from tidemill_cdk.apps.function import listen
from tidemill_cdk.names import Names
from tidemill_cdk.resources.platform_lambda import runtime
from tidemill_cdk.resources.queues import FunctionQueues

APPS = Path(__file__).parent / "apps"


def whole(app: App) -> None:
    stack = Stack(app, "Whole", analytics_reporting=False)
    deployment = Tidemill(stack, "Tidemill", name="prod", settings=Settings(alarm_email="ops@example.com"))
    secret = secretsmanager.Secret.from_secret_name_v2(stack, "Stripe", "stripe")
    deployment.add_app(
        "Shop",
        entry=APPS / "shop",
        app="shop:app",
        environment={"CURRENCY": "EUR"},
        secrets={"STRIPE": secret},
        memory=1_024,
        timeout=Duration.minutes(2),
        description="The shop",
    )
    legacy = lambda_.Function(
        stack,
        "Legacy",
        runtime=runtime(Settings()),
        architecture=lambda_.Architecture.ARM_64,
        handler="legacy.handler",
        code=lambda_.Code.from_asset(str(APPS / "legacy")),
        timeout=Duration.seconds(20),
    )
    deployment.attach(
        legacy,
        function_id="legacy",
        on=Event("order/placed", when="event.data.region in ['eu', 'us']"),
        concurrency=Concurrency(1),
    )


def patterns(app: App) -> None:
    """A rule for each of many conditions."""
    stack = Stack(app, "Patterns", analytics_reporting=False)
    bus = events.EventBus(stack, "Bus")
    queues = FunctionQueues(stack, "Queues", names=Names("prod", stack), function_id="shop.one")
    for number, when in enumerate(conditions()):
        found = pattern([EventTrigger("a", when)])
        assert found is not None
        listen(stack, f"Rule{number}", bus=bus, function_id=when, pattern=found, queues=queues)


def shop(app: App, folder: str) -> None:
    stack = Stack(app, "Shop", analytics_reporting=False)
    Tidemill(stack, "Tidemill", name="prod").add_app("Shop", entry=APPS / folder, app="shop:app")


def graphs(app: App, folder: str) -> None:
    stack = Stack(app, "Graphs", analytics_reporting=False)
    Tidemill.import_(stack, "Mill", name="prod").add_definitions(APPS / folder, id="Graphs")


def defined(app: App) -> None:
    stack = Stack(app, "Defined", analytics_reporting=False)
    Tidemill.import_(stack, "Mill", name="prod").add_definitions(
        APPS / "graphs", environment={"REGION_OF_SALE": "eu"}, memory=768
    )


def inside(app: App) -> None:
    """In a network of the user's own."""
    stack = Stack(app, "Inside", analytics_reporting=False)
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, restrict_default_security_group=False)
    Tidemill.import_(stack, "Mill", name="prod").add_definitions(APPS / "graphs", vpc=vpc)


def joined(app: App) -> None:
    stack = Stack(app, "Joined", analytics_reporting=False)
    Tidemill.import_(stack, "Mill", name="prod").add_app("Shop", entry=APPS / "one", app="shop:app")


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for name, graph in (("one", "graphs_before"), ("two", "graphs_after")):
        cloud = App(outdir=str(out / name), tree_metadata=False)
        shop(cloud, name)
        graphs(cloud, graph)
        if name == "two":
            inside(cloud)
            patterns(cloud)
        cloud.synth()
    cloud = App(outdir=str(out), tree_metadata=False)
    whole(cloud)
    joined(cloud)
    defined(cloud)
    Validations.of(cloud).add_plugins(AwsSolutionsChecks(cloud))
    with suppress(RuntimeError):  # findings: they are in the report, for a test to look at
        cloud.synth()
