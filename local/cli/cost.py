"""`tidemill cost`: what an app will cost in AWS. It comes with the constructs that it prices."""

from __future__ import annotations

from tidemill_local.cli.parser import Parser, comes_later


def fill(parser: Parser) -> None:
    comes_later(parser, "nothing deploys to AWS yet", "tidemill cost app.py --events-per-month 1000000")
