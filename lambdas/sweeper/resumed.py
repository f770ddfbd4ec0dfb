"""Runs of functions that were paused and have been resumed: what the call itself had no time for is looked at here."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.calls.client import AwsError
from tidemill.engine.runs.paused import look_again
from tidemill.errors import Unavailable
from tidemill.ports import World


def sweep(world: World, more: Callable[[], bool]) -> list[str]:
    """Have runs looked at, one function after the other, page by page, as long as `more()` says; what went wrong."""
    problems: list[str] = []
    for function_id in world.pauses.resumed():
        try:
            for _ in look_again(world, function_id):
                if not more():
                    return problems
        except (AwsError, Unavailable) as error:
            problems.append(f"the runs that {function_id} held while it was paused: {error}")
    return problems
