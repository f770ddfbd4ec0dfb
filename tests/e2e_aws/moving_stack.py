"""Stacks of many functions: the app in the platform's own stack, in nested stacks, or in a stack beside it.

Run as a program, with the folder to write to, the Python version, and where the app is ("inside" or "beside").
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from tidemill_cdk import Settings, Tidemill  # chooses a Node before aws_cdk is imported

from aws_cdk import App, Duration, Stack  # isort: skip

HERE = Path(__file__).parent
NAME = "moves"
NESTED = 3


def build(app: App, python: str, architecture: str, where: str) -> None:
    settings = Settings(
        name=NAME, python=python, architecture=architecture, removal="destroy",
        function_stacks=NESTED if where == "inside" else 0,
    )  # fmt: skip
    stack = Stack(app, "Platform")
    home = Tidemill(stack, "Tidemill", settings=settings)
    if where == "beside":
        home = Tidemill.import_(Stack(app, "Shop"), "Mill", name=NAME)
    home.add_app("Many", entry=HERE / "many", app="many:app", timeout=Duration.seconds(10))


if __name__ == "__main__":
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    context = {"tidemill:removal": "destroy", "tidemill:python": sys.argv[2], "tidemill:architecture": machine}
    cloud = App(outdir=sys.argv[1], context=context)
    build(cloud, sys.argv[2], machine, sys.argv[3])
    cloud.synth()
