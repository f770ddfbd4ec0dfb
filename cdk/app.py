"""`cdk deploy` of this repository: the platform, with the examples as its apps."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Stack

from tidemill_cdk import Tidemill
from tidemill_cdk.settings import of_context

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
APPS = {
    "Crm": "examples.signup.crm:app",
    "Mail": "examples.signup.mail:app",
    "Video": "examples.video.pipeline:app",
    "Billing": "examples.invoices.billing:app",
    "Onboarding": "examples.coordination.onboarding:app",
    "Carrier": "examples.limits.maps:app",
    "Library": "examples.limits.search:app",
    "Studio": "examples.limits.transcripts:app",
}


def build(app: App) -> Stack:
    settings = of_context(app.node.get_all_context())
    stack = Stack(app, f"Tidemill-{settings.name}", description="Tidemill: event-driven queues and durable execution")
    deployment = Tidemill(stack, "Tidemill", settings=settings)
    for name, target in APPS.items():
        # A Lambda may write only to /tmp.
        deployment.add_app(name, entry=EXAMPLES, app=target, environment={"TIDEMILL_EXAMPLES": "/tmp/examples"})  # noqa: S108
    return stack


if __name__ == "__main__":
    cloud = App()
    build(cloud)
    cloud.synth()
