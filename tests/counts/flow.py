"""What flow control adds: each operation on the table, and each feature to a whole run. `python tests/counts/flow.py`
writes the tables of docs/aws/flow-in-aws.md; the tests hold that nothing has changed since.

Operations are counted on the adapter alone, with ids and keys as long as the real ones; features as in `stories`, by
the real executor, against a function that is the same but for the feature.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from counts import pages  # noqa: E402
from counts.account import Account  # noqa: E402
from counts.meter import Used  # noqa: E402
from support.doubles import NOW  # noqa: E402

from tidemill import App, Concurrency, Context, Debounce, RateLimit, Singleton, Throttle, ids  # noqa: E402
from tidemill.aws.dynamo import flow_pool  # noqa: E402
from tidemill.aws.dynamo.flow import DynamoFlow  # noqa: E402
from tidemill.aws.dynamo.keys import PK, SK, flow_key  # noqa: E402
from tidemill.aws.dynamo.table import Table  # noqa: E402
from tidemill.core.flow import keys  # noqa: E402
from tidemill.core.flow.throttle import Limit, Turn  # noqa: E402
from tidemill.model import Place  # noqa: E402
from tidemill.ports import Grant, Hold, Leaver, Waiting, Window  # noqa: E402
from tidemill_local.testing import moto  # noqa: E402
from tidemill_local.testing.meter import Meter  # noqa: E402

PAGE = ROOT / "docs" / "aws" / "flow-in-aws.md"
UNTIL = NOW + 60_000
LIMITS = (1, 10, 25, 100, 1_000)
MINUTE = 60_000

# ---- operations ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Calls by operation, and the units that they are billed."""

    calls: dict[str, int]
    writes: int
    index: int
    reads: float

    def row(self, what: str) -> tuple[str, ...]:
        calls = ", ".join(f"{count} {call}" for call, count in self.calls.items()) or "none"
        return what, calls, str(self.writes + self.index), f"{self.reads:g}"


class Operations:
    """One process's adapter, and what each of its operations cost. `other` is another process, not counted."""

    def __init__(self) -> None:
        self._meter = Meter(moto.MotoTransport())
        name = moto.fresh("flow-counts")
        moto.create_table(moto.client(), name)
        self.flow = DynamoFlow(Table(moto.client(self._meter), name))
        self.table = Table(moto.client(), name)
        self.other = DynamoFlow(self.table)

    def cost(self, work: Callable[[], object]) -> Cost:
        self._meter.clear()
        work()
        meter = self._meter
        calls = {name.split()[1]: count for name, count in meter.summary().items()}
        return Cost(calls, meter.write_units, meter.index_units, meter.read_units)


def place(limit: int = 1, of: str = "ann") -> Place:
    return Place(f"{keys.family('counts', str(limit))}/{ids.derived(of)[:22]}", limit, label=of)


def run(number: int) -> str:
    return ids.derived("run", str(number))


def take(flow: DynamoFlow, where: Place, number: int, known: bool = False) -> bool:
    return flow.take(where, Hold(run(number), 2, UNTIL), NOW, known=known)


def park(flow: DynamoFlow, where: Place, number: int) -> list[tuple[str, str]]:
    waiting = Waiting(run(number), "shop.process-order", 2, NOW + number)
    return flow.park(where, waiting, Grant(NOW, UNTIL, lambda _: where.limit))


def leave(flow: DynamoFlow, where: Place, number: int) -> list[tuple[str, str]]:
    return flow.pass_on(where, Leaver(run(number), 2, None), Grant(NOW, UNTIL, lambda _: where.limit))


def places() -> Iterator[tuple[str, Cost]]:
    """Each operation on places, of a limit of one."""
    there, one = Operations(), place()
    flow, cost = there.flow, there.cost
    yield "take a free place under a new key", cost(lambda: take(flow, one, 1))
    yield "give it up, and nobody waits", cost(lambda: leave(flow, one, 1))
    yield "take a free place", cost(lambda: take(flow, one, 1))
    yield "find no place free", cost(lambda: take(flow, one, 2))
    yield "join the line", cost(lambda: park(flow, one, 2))
    park(there.other, one, 3)
    yield "give a place to the first in line", cost(lambda: leave(flow, one, 1))
    yield "claim the place that one was given", cost(lambda: take(flow, one, 2, known=True))
    leave(there.other, one, 2)
    take(there.other, one, 3, known=True)
    yield "give up the last place of a line", cost(lambda: leave(flow, one, 3))
    fresh, two = Operations(), place(1, "bob")
    take(fresh.flow, two, 1)
    park(fresh.other, two, 2)
    yield "give a place to the first in a line not known of", fresh.cost(lambda: leave(fresh.flow, two, 1))


def starts() -> Iterator[tuple[str, Cost]]:
    """Each operation on starts."""
    there = Operations()
    flow, cost, key = there.flow, there.cost, place().key
    yield "throttle: a slot", cost(lambda: flow.spend(f"{key}t", NOW, 10, 1_000))
    yield "throttle: a slot after another", cost(lambda: flow.spend(f"{key}t", NOW, 10, 1_000))
    yield "throttle: a process's first slot among others'", cost_of_a_stranger(there, key)
    limit, turn = Limit(10, 1_000, 1), Turn(NOW)
    yield "throttle: a start", cost(lambda: flow.begin(f"{key}t", run(1), turn, NOW, limit))
    yield "throttle: a start after another process's", cost_of_a_late_comer(there, key)
    yield "rate limit: a start", cost(lambda: flow.count(f"{key}r", run(1), NOW, 1, 1_000))
    yield "rate limit: one too many", cost(lambda: flow.count(f"{key}r", run(2), NOW, 1, 1_000))
    yield "rate limit: its start, later", cost(lambda: flow.count(f"{key}r", run(1), NOW + 9, 1, 1_000))
    yield (
        "rate limit: a start in an old one's place",
        cost(lambda: flow.count(f"{key}r", run(2), NOW + 1_009, 1, 1_000)),
    )
    yield "idempotency: the first", cost(lambda: flow.first(f"{key}i", run(1), NOW, UNTIL))
    yield "idempotency: any other", cost(lambda: flow.first(f"{key}i", run(2), NOW, UNTIL))
    window = Window(run(1), 0, 1, NOW)
    yield "debounce, batch: look for the window", cost(lambda: flow.window(f"{key}w"))
    yield "debounce, batch: move it", cost(lambda: flow.move_window(f"{key}w", None, window, NOW))


def cost_of_a_stranger(there: Operations, key: str) -> Cost:
    there.other.spend(f"{key}u", NOW, 10, 1_000)
    return there.cost(lambda: there.flow.spend(f"{key}u", NOW, 10, 1_000))


def cost_of_a_late_comer(there: Operations, key: str) -> Cost:
    there.other.begin(f"{key}t", run(2), Turn(NOW), NOW, Limit(10, 1_000, 1))
    return there.cost(lambda: there.flow.begin(f"{key}t", run(3), Turn(NOW), NOW, Limit(10, 1_000, 1)))


def growth() -> Iterator[tuple[int, Cost, Cost, Cost]]:
    """With all places but one held, by limit: to take the last one, to give one up, and to pass it on."""
    for limit in LIMITS:
        there, where = Operations(), place(limit)
        held = {flow_pool.HELD + run(number): flow_pool.held(2, UNTIL) for number in range(limit - 1)}
        pool = {PK: flow_key(where.key), SK: flow_pool.POOL, flow_pool.COUNT: limit - 1, **held}
        there.table.put({**pool, **flow_pool.about(where, NOW)})
        taken = there.cost(lambda limit=limit, where=where, flow=there.flow: take(flow, where, limit - 1))
        left = there.cost(lambda limit=limit, where=where, flow=there.flow: leave(flow, where, limit - 1))
        take(there.flow, where, limit - 1)
        park(there.flow, where, limit)
        passed = there.cost(lambda limit=limit, where=where, flow=there.flow: leave(flow, where, limit - 1))
        yield limit, taken, left, passed


# ---- features -----------------------------------------------------------------------------------

app = App("shop")


def _declare(id: str, **flow: Any) -> None:
    @app.function(id=id, on=f"flow/{id}", **flow)
    def code(ctx: Context) -> None:
        ctx.step.run("step", lambda: {"ok": True})


KEY = "event.data.order_id"
_declare("none")
_declare("places", concurrency=Concurrency(1, key=KEY))
_declare("runs", concurrency=Concurrency(1, key=KEY, counts="runs"))
_declare("two", concurrency=[Concurrency(1, key=KEY), Concurrency(10, scope="account")])
_declare("throttle", throttle=Throttle(10, "1s", key=KEY))
_declare("rate", rate_limit=RateLimit(10, "1s", key=KEY))
_declare("singleton", singleton=Singleton("skip", key=KEY))
_declare("idempotency", idempotency=KEY)
_declare("debounce", debounce=Debounce("5s", key=KEY))


@app.function(id="line", on="flow/line", concurrency=Concurrency(1, counts="runs"))
def line(ctx: Context) -> None:
    """The first sleeps in its place while the second comes."""
    if ctx.event.data["order_id"] == "first0":
        ctx.step.sleep("a while", 60)


class Features:
    """Stories as in `stories.Counted`, of functions that differ in a feature."""

    def __init__(self) -> None:
        self.account = Account(app)
        self._sent = 0

    def post(self, name: str, order: str = "") -> str:
        """An event, always of the same size; its id."""
        self._sent += 1
        data = {"order_id": order or f"o{self._sent:05d}"}
        sent = {"id": f"event-{self._sent:020d}", "name": f"flow/{name}", "data": data}
        self.account.post(sent)
        return str(sent["id"])

    def settled(self, *event_ids: str) -> None:
        self.account.advance(2 * MINUTE)
        for event_id in event_ids:
            (head,) = self.account.heads(event_id)
            assert head.status in ("completed", "skipped"), head

    def story(self, name: str, order: str = "", status: str = "completed") -> Used:
        """An event of its own key, and its run to the end; the second time, when the process is warm."""
        event_ids: list[str] = []

        def work() -> None:
            event_ids.append(self.post(name, order))
            self.settled(event_ids[-1])

        self.account.measured(work)
        used = self.account.measured(work)
        (head,) = self.account.heads(event_ids[-1])
        assert head.status == status, head
        return used

    def waiting(self) -> Used:
        """What it adds to a run that it has to wait for the place of another one."""
        first, second = self.story("line", "first0"), self.story("line")

        def both() -> None:
            self.settled(self.post("line", "first0"), self.post("line"))

        self.account.measured(both)
        return self.account.measured(both).minus(first).minus(second)


def features() -> Iterator[tuple[str, Used]]:
    counted = Features()
    none = counted.story("none")
    told = {
        "places": "`Concurrency` with a key, and a place is free",
        "two": "two limits, and both have a free place",
        "runs": '`Concurrency(counts="runs")` with a key',
        "throttle": "`Throttle`, and the run may begin at once",
        "rate": "`RateLimit`, and the run is within it",
        "singleton": "`Singleton`, and nobody else is under way",
        "idempotency": "`idempotency`, and the key is new",
    }
    for name, what in told.items():
        yield what, counted.story(name).minus(none)
    yield "a run that waits in line for its place", counted.waiting()
    skipped = counted.story("idempotency", "again0", "skipped").minus(none)
    yield "`idempotency`, and the key is taken: the run is skipped", skipped
    yield "`Debounce`, of one event", counted.story("debounce").minus(none)


# ---- the page -----------------------------------------------------------------------------------


def _operations(rows: Iterator[tuple[str, Cost]]) -> str:
    return pages.markdown(("", "Calls", "Write units", "Read units"), [cost.row(what) for what, cost in rows])


def _growth() -> str:
    header = ("`limit`", "Take the last place", "Give one up", "Give one to the first in line")
    rows = [(f"{limit:,}", *(f"{cost.writes + cost.index:g}" for cost in costs)) for limit, *costs in growth()]
    return pages.markdown(header, rows)


def _features() -> str:
    header = ("", "Calls of DynamoDB and SQS", "Write units", "Read units")
    return pages.markdown(header, [_feature(what, used) for what, used in features()])


def _feature(what: str, used: Used) -> tuple[str, ...]:
    calls = ", ".join(f"{count:+g} {call.split()[1]}" for call, count in sorted(used.calls.items()))
    writes = used.units["writes"] + used.units["index-writes"]
    return what, calls or "none", f"{writes:+g}", f"{used.units['reads']:+g}"


TABLES: dict[str, Callable[[], str]] = {
    "places": lambda: _operations(places()),
    "starts": lambda: _operations(starts()),
    "growth": _growth,
    "features": _features,
}

if __name__ == "__main__":
    PAGE.write_text(pages.filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
