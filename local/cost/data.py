"""The data of cost estimates: AWS's prices with their date, and the counted calls and units of each story of a run.

`prices.json` and `quotas.json` have AWS's published values; update them together with their date. `stories.json` is
measured: tests/counts runs each story through the real handlers and adapters and compares every call and unit.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

_HERE = Path(__file__).parent


class Price(msgspec.Struct, frozen=True):
    """`usd` for every `per` units of `what`."""

    service: str
    what: str
    usd: float
    per: int
    source: str


class Prices(msgspec.Struct, frozen=True):
    region: str
    date: str  # the month of the prices
    prices: dict[str, Price]


class Lambdas(msgspec.Struct, frozen=True):
    """One kind of Lambda in a story: its invocations, and its calls of AWS, one after another."""

    invocations: float
    trips: float = 0


class Shared(msgspec.Struct, frozen=True):
    """Units of the table under one key that runs or events share."""

    writes: float = 0
    reads: float = 0


class Story(msgspec.Struct, frozen=True):
    """The usage of one story. `calls` by service and operation, `units` by the ids of `prices.json`.

    `keys`: usage of shared keys, by the kind of key ("DUE#running#<shard>").
    """

    what: str
    calls: dict[str, float]
    units: dict[str, float]
    lambdas: dict[str, Lambdas]  # by kind: executor, ingest, events, timers, sweeper
    keys: dict[str, Shared] = {}


class Quota(msgspec.Struct, frozen=True):
    """AWS's quota of an account, a table, a queue or a partition. `most`: per second, or at once."""

    service: str
    what: str
    most: float
    each: str  # its scope: account, table, queue, partition
    raise_by: str  # advice
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
