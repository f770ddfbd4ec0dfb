"""What a deployment in a real account is worth, measured: cold starts, a step's time, lateness of wake-ups, the bill.

Figures come from where AWS and the platform write them: `REPORT` lines in the log of the app's Lambda, the journals
of runs, and Cost Explorer, which knows a day's costs a day later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from e2e_aws.account import Account
from e2e_aws.deployed import Deployed

_INIT = re.compile(r"^REPORT .*Init Duration: ([\d.]+) ms", re.MULTILINE)


class Figures(NamedTuple):
    count: int
    median: float
    p99: float
    most: float

    def __str__(self) -> str:
        return (
            f"{self.median:.1f} ms at the median, {self.p99:.1f} ms at the 99th percentile, "
            f"{self.most:.1f} ms at most, of {self.count}"
        )


def figures(values: Sequence[float]) -> Figures | None:
    """None where there are no values."""
    if not values:
        return None
    ordered = sorted(values)
    return Figures(len(ordered), ordered[(len(ordered) - 1) // 2], ordered[int((len(ordered) - 1) * 0.99)], ordered[-1])


def cold_starts(account: Account, group: str, since: int) -> list[float]:
    """The init times of the Lambda with this log group, in ms; `since`: ms since the epoch."""
    return [float(found[1]) for text in _lines(account, group, since) if (found := _INIT.search(text))]


def steps(deployment: Deployed, runs: int) -> list[float]:
    """Milliseconds from the end of one step to the end of the next, of steps that do nothing, in runs of a hundred."""
    events = deployment.send_all([{"name": "story/hundred", "data": {}} for _ in range(runs)])
    gaps: list[float] = []
    for event_id in events:
        run = deployment.at("completed", event_id, "stories.hundred", 120)
        ends = [_ms(step["ended_at"]) for step in run["steps"].values()]
        gaps += [after - before for before, after in pairwise(ends)]
    return gaps


def lateness(deployment: Deployed, seconds: Sequence[int], within: float) -> list[float]:
    """Of runs that sleep for so long, each: milliseconds from when they were due to the claim by which they went on."""
    events = deployment.send_all([{"name": "story/sleep", "data": {"for": length}} for length in seconds])
    late: list[float] = []
    for event_id in events:
        journal = deployment.at("completed", event_id, "stories.sleep", within)["journal"]
        for before, after in pairwise(journal):
            if before["type"] == "suspended" and after["type"] == "claimed":
                late.append(_ms(after["at"]) - _ms(before["due"]))
    return late


def bill(account: Account, day: date) -> dict[str, float]:
    """What that day cost, by service, in dollars. Cost Explorer knows it about a day later, and asks $0.01 for it."""
    asked = {
        "TimePeriod": {"Start": day.isoformat(), "End": (day + timedelta(days=1)).isoformat()},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }
    costs: dict[str, float] = {}
    token: dict[str, str] = {}
    while True:
        answer = account.client("ce").get_cost_and_usage(**asked, **token)
        for found in answer["ResultsByTime"]:
            for group in found["Groups"]:
                costs[group["Keys"][0]] = float(group["Metrics"]["UnblendedCost"]["Amount"])
        if "NextPageToken" not in answer:
            return {service: cost for service, cost in costs.items() if cost}
        token = {"NextPageToken": answer["NextPageToken"]}


def _lines(account: Account, group: str, since: int) -> Iterator[str]:
    pages = account.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName=group, startTime=since):
        for event in page["events"]:
            yield event["message"]


def _ms(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp() * 1_000
