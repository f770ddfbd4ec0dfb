"""`cdk deploy` of this repository: the platform, with the examples as its apps."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk import aws_secretsmanager as secretsmanager

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
    "Hooks": "examples.webhooks.hooks:app",
}
# Of the webhooks' senders: the variable, and the end of the secret's name. Who deploys creates the secrets, with
# the value that Stripe and GitHub show; until then their webhooks get a 503.
SECRETS = {"Hooks": {"STRIPE_SECRET": "stripe", "GITHUB_SECRET": "github"}}


def build(app: App) -> Stack:
    # Typed events have no validator for Lambda's Python 3.11 on arm64, and this machine's Python may be 3.11.
    settings = of_context({"tidemill:architecture": "x86_64", **app.node.get_all_context()})
    stack = Stack(app, f"Tidemill-{settings.name}", description="Tidemill: event-driven queues and durable execution")
    deployment = Tidemill(stack, "Tidemill", settings=settings)
    for name, target in APPS.items():
        secrets = {
            variable: secretsmanager.Secret.from_secret_name_v2(stack, variable, f"tidemill/{settings.name}/{end}")
            for variable, end in SECRETS.get(name, {}).items()
        }
        # A Lambda may write only to /tmp.
        environment = {"TIDEMILL_EXAMPLES": "/tmp/examples"}  # noqa: S108
        deployment.add_app(name, entry=EXAMPLES, app=target, environment=environment, secrets=secrets)
    return stack


if __name__ == "__main__":
    cloud = App()
    build(cloud)
    cloud.synth()
