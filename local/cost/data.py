"""The data that costs are made of: AWS's prices with their date, and what each story of a run was counted to use.

`prices.json` and `quotas.json` are what AWS publishes; whoever finds them out of date changes them, and their date.
`stories.json` is no estimate: tests/counts runs each story through the real handlers and adapters and holds it to the
table, call by call and unit by unit.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

_HERE = Path(__file__).parent


class Price(msgspec.Struct, frozen=True):
    """`usd` for every `per` of what `what` counts."""

    service: str
    what: str
    usd: float
    per: int
    source: str


class Prices(msgspec.Struct, frozen=True):
    region: str
    date: str  # the month in which they were read
    prices: dict[str, Price]


class Lambdas(msgspec.Struct, frozen=True):
    """What one kind of Lambda does in a story: how often it is invoked, and its calls of AWS, one after another."""

    invocations: float
    trips: float = 0


class Shared(msgspec.Struct, frozen=True):
    """Units of the table that meet under one key, whichever run or event it is."""

    writes: float = 0
    reads: float = 0


class Story(msgspec.Struct, frozen=True):
    """What something that happens uses. `calls` by service and operation, `units` by the ids of `prices.json`.

    `keys`: what meets under keys that are not the run's or the event's own, by the kind of key ("DUE#running#<shard>").
    """

    what: str
    calls: dict[str, float]
    units: dict[str, float]
    lambdas: dict[str, Lambdas]  # by what they are: executor, ingest, events, timers, sweeper
    keys: dict[str, Shared] = {}


class Quota(msgspec.Struct, frozen=True):
    """What AWS lets an account, a table, a queue or a partition do. `most`: a second, or at once."""

    service: str
    what: str
    most: float
    each: str  # what it is a limit of: account, table, queue, partition
    raise_by: str  # what to do about it
    source: str


class Quotas(msgspec.Struct, frozen=True):
    region: str
    date: str
    quotas: dict[str, Quota]


@cache
def prices() -> Prices:
    return msgspec.json.decode((_HERE / "prices.json").read_bytes(), type=Prices)


@cache
def stories() -> dict[str, Story]:
    return msgspec.json.decode((_HERE / "stories.json").read_bytes(), type=dict[str, Story])


@cache
def quotas() -> Quotas:
    return msgspec.json.decode((_HERE / "quotas.json").read_bytes(), type=Quotas)
