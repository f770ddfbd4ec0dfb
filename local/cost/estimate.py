"""Estimates the cost of a month, line by line: counted calls times prices.

    a line = how many of a thing x what one costs

Nothing is rounded and no free tier is deducted. Two numbers are assumptions, named here: the duration of an AWS call,
and the bytes of a log line.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidemill_local.cost.data import Prices, Story, prices, stories
from tidemill_local.cost.usage import SECONDS, Usage

TRIP_MS = 4.0  # a DynamoDB or SQS call from a Lambda in the same region
OWN_MS = 3.0  # of an invocation, besides its calls and the user's steps
PLATFORM_MB = {"ingest": 256, "api": 512, "events": 256, "timers": 256, "sweeper": 256}  # memory of its own Lambdas
LOG_BYTES = 1_000  # log bytes of one invocation: Lambda's lines, and one with metrics
SAMPLED = 0.05  # the share of invocations that X-Ray traces by default
EVENT_BYTES = 1_000
RECORD_BYTES = 300  # of one record in a journal, or another small item
JOURNAL_DAYS = 67  # a record's expiry
POLLS = 650_000  # Lambda's requests a month to an empty queue: five at a time, 20 seconds each
OWN_QUEUES = 2  # events and timers
ALARMS = 13  # metrics that the alarms of a deployment watch; alarms for each function are a setting
METRICS = 12  # written only when there is something to report, for the whole deployment
SECRETS = 2  # event keys and API keys
KEYS = 1  # the key of the alarms' topic, which CloudWatch must be able to use

RUNS = "Executor, queue, state and indexes"
EVENTS = "Bus, event store and HTTP API"
IDLE = "Idle"
KEPT = "Kept and watched"
SECTIONS = (RUNS, EVENTS, KEPT, IDLE)


class Line(msgspec.Struct, frozen=True):
    """`count` of `what`, at `usd_per` for every `per`: `usd`."""

    section: str
    service: str
    what: str
    count: float
    usd_per: float
    per: int
    usd: float


def estimate(usage: Usage) -> list[Line]:
    """What the month costs, in the order of SECTIONS."""
    return [*running(usage), *arriving(usage), *kept(usage), *idle(usage)]


def running(usage: Usage) -> list[Line]:
    """The runs, whatever started them."""
    table = stories()
    total = usage.runs + usage.ticks
    happened = [(table["run"], total), (table["step"], total * usage.steps), (table["tick"], float(usage.ticks))]
    busy = total * usage.steps * usage.duration_ms * usage.memory / 1_024 / 1_000
    return _lines(RUNS, happened, usage, busy)


def arriving(usage: Usage) -> list[Line]:
    """The events: received over HTTPS, published, stored, with the runs that they started."""
    table = stories()
    return _lines(EVENTS, [(table["event"], float(usage.events)), (table["filing"], usage.runs + usage.ticks)], usage)


def kept(usage: Usage) -> list[Line]:
    """The costs that grow with use besides calls: storage in steady state, the archive, logs."""
    runs = usage.runs + usage.ticks
    records = runs * (3 + usage.steps) * RECORD_BYTES
    gb = (records + usage.events * EVENT_BYTES) * JOURNAL_DAYS / 30 / 1e9
    invoked = sum(
        kind.invocations * count
        for story, count in (("run", runs), ("tick", float(usage.ticks)), ("event", float(usage.events)))
        for kind in stories()[story].lambdas.values()
    )
    archived = usage.events * EVENT_BYTES / 1e9
    return [
        line(
            KEPT, "table-gb", gb, f"GB kept: {RECORD_BYTES} bytes a record, {EVENT_BYTES} an event, {JOURNAL_DAYS} days"
        ),
        line(KEPT, "backup-gb", gb),
        line(KEPT, "archive-gb", archived),
        line(KEPT, "archive-gb-month", archived),
        line(KEPT, "log-gb", invoked * LOG_BYTES / 1e9, f"GB of logs written: {LOG_BYTES} bytes an invocation"),
        line(KEPT, "traces", invoked * SAMPLED, f"traces: {SAMPLED:.0%} of the invocations"),
        line(KEPT, "metrics", METRICS if invoked else 0, "custom metrics for a month, at most"),
    ]


def idle(usage: Usage) -> list[Line]:
    """The cost of an idle deployment."""
    learned = usage.secrets * SECONDS / 60
    about = "of webhooks and their secrets, each minute in a process that receives them, at most"
    sweeps = _lines(IDLE, [(stories()["sweep"], SECONDS / 60)], usage, what="of the sweep, each minute")
    return [
        *_idle_functions(usage),
        line(IDLE, "sqs-requests", OWN_QUEUES * POLLS, "polls of the queues for events and timers, at most"),
        line(IDLE, "alarms", ALARMS),
        line(IDLE, "dashboards", 1),
        line(IDLE, "secrets", SECRETS + usage.secrets),
        *_lines(IDLE, [(stories()["webhook"], learned)], usage, what=about),
        *_schemas(usage),
        line(IDLE, "keys", KEYS),
        *sweeps,
    ]


def idle_per_function() -> float:
    """The cost of one more idle function a month, in $."""
    return total(_idle_functions(Usage(1, 0, 0, 0, 0, 0, 0)))


def _schemas(usage: Usage) -> list[Line]:
    """The cost of reading schemas: once a minute in a process at work, so at most all month."""
    minutes = SECONDS / 60 if usage.schemas else 0
    read = [(stories()["schema names"], minutes), (stories()["schema"], minutes * usage.schemas)]
    events = "1 event" if usage.schemas == 1 else f"{usage.schemas} events"
    about = f"of the schemas of {events}, each minute in a process that accepts them, at most"
    return _lines(IDLE, read, usage, what=about)


def _idle_functions(usage: Usage) -> list[Line]:
    """The costs that grow with the functions: Lambda polls their queues, and the sweep reads their dead letters."""
    looks = [(stories()["dead letters"], usage.functions * SECONDS / 600)]
    polls = f"polls of {usage.functions} function queues, at most"
    return [
        line(IDLE, "sqs-requests", usage.functions * POLLS, polls),
        *_lines(IDLE, looks, usage, what="of looks at dead letters, every ten minutes"),
    ]


def per_million(story: str, memory: int = 256, architecture: str = "arm64") -> float:
    """The cost of a million of this story, in $, without the user's code."""
    usage = Usage(1, 0, 0, 0, 0, 0, memory, architecture)
    return sum(one.usd for one in _lines(RUNS, [(stories()[story], 1e6)], usage))


def total(lines: Iterable[Line]) -> float:
    return sum(one.usd for one in lines)


def line(section: str, price: str, count: float, what: str | None = None, table: Prices | None = None) -> Line:
    """One line, priced."""
    found = (table or prices()).prices[price]
    return Line(section, found.service, what or found.what, count, found.usd, found.per, count * found.usd / found.per)


def _lines(
    section: str, happened: Iterable[tuple[Story, float]], usage: Usage, busy: float = 0.0, what: str = ""
) -> list[Line]:
    """The lines of a story that happened this many times; `busy`: GB-seconds of the user's code."""
    units: dict[str, float] = {}
    invoked, seconds = 0.0, 0.0
    for story, count in happened:
        for unit, each in story.units.items():
            units[unit] = units.get(unit, 0.0) + each * count
        for kind, lambdas in story.lambdas.items():
            invoked += lambdas.invocations * count
            ms = lambdas.invocations * OWN_MS + lambdas.trips * TRIP_MS
            seconds += ms / 1_000 * (usage.memory if kind == "executor" else PLATFORM_MB[kind]) / 1_024 * count
    gb_s = f"lambda-gb-s-{usage.architecture}"
    counted = {"http-requests": 0.0, "lambda-requests": invoked, gb_s: busy + seconds, **units}
    about = prices().prices
    return [
        line(section, unit, count, f"{about[unit].what} {what}" if what else None)
        for unit, count in counted.items()
        if count
    ]
