"""`tidemill deploy`: deploy to AWS."""

from __future__ import annotations

from tidemill_local.cli import cdk
from tidemill_local.cli.parser import Parser


def fill(parser: Parser) -> None:
    cdk.fill(parser, "deploy")
