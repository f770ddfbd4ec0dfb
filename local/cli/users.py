"""`tidemill users`: what is known of a user. It comes with the calls that it needs."""

from __future__ import annotations

from tidemill_local.cli.parser import Parser, comes_later, group


def fill(parser: Parser) -> None:
    add = group(parser, "tidemill users show u1")
    comes_later(
        add("show", "show a user's events and runs"),
        "until then `tidemill runs list --user ID` and `tidemill events list --user ID` show them",
        "tidemill users show u1",
    )
    comes_later(
        add("forget", "delete what is known of a user"), "until then nothing is deleted", "tidemill users forget u1"
    )
