"""The stack that the stories are told on: the platform, an app, a Lambda of its own with a plain handler, definitions.

Run as a program, with the folder to write to, the Python version that the Lambdas will find, and the URL that an HTTP
step is to call: it is a CDK app like a user's.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tidemill_cdk import Settings, Tidemill  # chooses a Node before aws_cdk is imported

from aws_cdk import App, Duration, RemovalPolicy, Stack, aws_lambda, aws_secretsmanager  # isort: skip

HERE = Path(__file__).parent
TIMEOUT = 10  # seconds: short, so that crashes are noticed and Lambdas end while a test looks on


def build(app: App, python: str, graphs: Path) -> Stack:
    stack = Stack(app, "Stories")
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    settings = Settings(name="e2e", python=python, architecture=architecture, removal="destroy")
    deployment = Tidemill(stack, "Tidemill", settings=settings)
    # The emulator makes a value only where something is said of it.
    said = aws_secretsmanager.SecretStringGenerator(exclude_punctuation=True)
    store = aws_secretsmanager.Secret(stack, "Store", secret_name="tidemill/e2e/store", generate_secret_string=said)
    store.apply_removal_policy(RemovalPolicy.DESTROY)
    deployment.add_app(
        "Stories",
        entry=HERE / "app",
        app="stories:app",
        timeout=Duration.seconds(TIMEOUT),
        secrets={"STORE_SECRET": store},
    )
    legacy = aws_lambda.Function(
        stack,
        "Legacy",
        function_name="legacy",
        runtime=aws_lambda.Runtime(f"python{python}", aws_lambda.RuntimeFamily.PYTHON),
        architecture=aws_lambda.Architecture.ARM_64 if architecture == "arm64" else aws_lambda.Architecture.X86_64,
        code=aws_lambda.Code.from_asset(str(HERE / "plain")),
        handler="legacy.handler",
        timeout=Duration.seconds(TIMEOUT),
    )
    deployment.attach(legacy, function_id="legacy", on="order/placed")
    deployment.add_definitions(graphs, id="Graphs")
    return stack


def definitions(folder: Path, receiver: str) -> Path:
    """The definitions, where an HTTP step calls the test itself at this URL."""
    shutil.copytree(HERE / "graphs", folder)
    for file in folder.glob("*.function.json"):
        file.write_text(file.read_text().replace("http://receiver", receiver))
    return folder


if __name__ == "__main__":
    cloud = App(outdir=sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        build(cloud, sys.argv[2], definitions(Path(scratch) / "graphs", sys.argv[3]))
        cloud.synth()
