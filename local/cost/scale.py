"""Calculates which limit of AWS is reached first at a rate of runs, from the counted calls.

The work is that of `tidemill cost`: each run is started by an event of its own, takes its steps one after the other,
and ends. All runs together share the limit of an account or a table; one function's runs that of a queue; and
that of a DynamoDB partition everything with one key: the runs of one function, the events of one name, all that is due.
"""

from __future__ import annotations

import msgspec

from tidemill.aws.dynamo.events import COPIES, NAME_SHARDS
from tidemill.aws.dynamo.keys import SHARDS
from tidemill.aws.dynamo.waits import COPIES as WAIT_COPIES
from tidemill_local.cost.data import Quota, quotas, stories
from tidemill_local.cost.estimate import OWN_MS, TRIP_MS

_BATCH = 10  # PutEvents takes so many events


class Work(msgspec.Struct, frozen=True):
    """The runs' parameters. `requests`: HTTP requests per event (one array of ten events: 0.1)."""

    steps: int = 10
    duration_ms: float = 100
    functions: int = 1
    names: int = 1
    requests: float = 1.0
    long_sleeps: float = 0.0  # of a run


class Load(msgspec.Struct, frozen=True):
    """How much of a limit is used. `key`: the shared key, for the limit of a partition."""

    quota: Quota
    used: float
    key: str = ""

    @property
    def share(self) -> float:
        return self.used / self.quota.most


def loads(rate: float, work: Work) -> list[Load]:
    """The use of every limit at `rate` runs a second, the fullest first."""
    found = [*_accounts(rate, work), *_partitions(rate, work)]
    return sorted(found, key=lambda load: -load.share)


def most(work: Work, key: str) -> float:
    """How many runs a second the limit with this id of `quotas.json` allows."""
    return min(1 / load.share for load in loads(1.0, work) if load.quota == quotas().quotas[key])


def seconds(work: Work) -> float:
    """How long a run holds a place: its steps, and its calls of AWS."""
    table = stories()
    trips = sum(
        times * table[story].lambdas["executor"].trips
        for story, times in _happens(work)
        if "executor" in table[story].lambdas
    )
    return (OWN_MS + trips * TRIP_MS + work.steps * work.duration_ms) / 1_000


def _accounts(rate: float, work: Work) -> list[Load]:
    table = stories()
    units = {
        unit: sum(times * table[story].units.get(unit, 0) for story, times in _happens(work))
        for unit in ("writes", "index-writes", "reads")
    }
    puts = max(work.requests, 1 / _BATCH)
    at_once = rate * seconds(work)
    own = sum((OWN_MS + kind.trips * TRIP_MS) / 1_000 for kind in table["event"].lambdas.values())
    used = {
        "http": rate * work.requests,
        "stage": rate * work.requests,
        "put-events": rate * puts,
        "deliveries": rate * 2,  # to the function's queue, and to the events queue
        "in-flight": at_once / work.functions,
        "pollers": at_once / work.functions,
        "concurrency": at_once + rate * own,
        "table-writes": rate * units["writes"],
        "table-reads": rate * units["reads"],
        "create-schedule": rate * work.long_sleeps,
        "fire-schedule": rate * work.long_sleeps,
    }
    return [Load(quotas().quotas[key], amount) for key, amount in used.items() if amount]


def _partitions(rate: float, work: Work) -> list[Load]:
    """The use of the keys that runs and events share, on one partition each."""
    table = stories()
    found: list[Load] = []
    for story, times in _happens(work):
        for key, units in table[story].keys.items():
            one = rate * times / _spread(key, work)
            for quota, used in (("partition-writes", units.writes), ("partition-reads", units.reads)):
                if used:
                    found.append(Load(quotas().quotas[quota], used * one, key))
    return found


def _happens(work: Work) -> tuple[tuple[str, float], ...]:
    """The stories of one run, and how often each happens."""
    return (("event", 1), ("run", 1), ("filing", 1), ("step", work.steps))


def _spread(key: str, work: Work) -> int:
    """The number of keys of this kind that the runs are spread over."""
    shards = (NAME_SHARDS if "<name>" in key else SHARDS) if "<shard>" in key else 1
    copies = (COPIES if "<name>" in key else WAIT_COPIES) if "<copy>" in key else 1
    functions = work.functions if "<function>" in key else 1
    names = work.names if "<name>" in key else 1
    return shards * copies * functions * names
