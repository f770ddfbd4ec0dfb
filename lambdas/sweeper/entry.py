"""The Lambda of the sweep, which runs every minute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from tidemill.aws import world
from tidemill.aws.dynamo import held
from tidemill.aws.dynamo.table import Table
from tidemill_lambdas.observe import logger, metrics, observed
from tidemill_lambdas.sweeper import delayed, jobs, resumed
from tidemill_lambdas.sweeper.adopt import adopt, turn
from tidemill_lambdas.sweeper.sweep import sweep

_busy: set[str] = set()  # functions with unread dead letters: this process reads them again in its next run
_LEFT = 10_000  # milliseconds reserved for the end; the next minute finds the rest


def _delay(body: str, seconds: int) -> None:
    sent = {"QueueUrl": os.environ["TIDEMILL_EVENTS_QUEUE"], "MessageBody": body, "DelaySeconds": seconds}
    world.client().call("sqs", "SendMessage", sent)


@observed
def handler(_event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Returns how many runs were overdue, and how many dead letters became runs."""
    here = world.world()

    def more() -> bool:
        left: int = context.get_remaining_time_in_millis()
        return left > _LEFT

    table = Table(world.client(), world.settings().table)
    overdue, problems = sweep(here, more, partial(held.note, table))
    problems += delayed.sweep(here, more, _delay)
    problems += resumed.sweep(here, more)
    problems += jobs.sweep(here, more)
    specs = turn(here.registry.functions(), here.clock.now(), _busy)
    adopted, more_problems, busy = adopt(here, world.client(), world.settings(), specs, more)
    _busy.clear()
    _busy.update(busy)
    for problem in problems + more_problems:
        logger.error(f"not swept, and found again in a minute: {problem}")
    backlog = sum(of.get("scheduled", 0) for of in here.runs.counts().values())
    for name, count in (("Backlog", backlog), ("SweeperFound", overdue), ("DeadLettersAdopted", adopted)):
        if count:  # billed by the hours with a value; to the alarms no value means zero
            metrics.count(name, count)
    return {"overdue": overdue, "adopted": adopted}
