"""`tidemill deploy`: a thin word for `cdk deploy`. It comes with the constructs."""

from __future__ import annotations

from tidemill_local.cli.parser import Parser, comes_later


def fill(parser: Parser) -> None:
    comes_later(parser, "nothing deploys to AWS yet; `tidemill dev` runs everything here", "tidemill deploy")
