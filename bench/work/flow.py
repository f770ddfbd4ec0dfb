"""One-step runs with a limit and without, on the same platform, warm: what flow control costs.

`ten`: at most 10 at a time. `keyed`: one at a time for each of 500 keys. Who comes first in a turn comes last in the
next, and each share is that of its own turn. Then lines before one place: of 500, from the end of one run's code to
the next run's first line, beside what an event needs to its run's first line when all is idle; and of 1,000 and
100,000, how fast they are drained, in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import median

from client import Batch, Connection, blast
from peers.base import Peer

from work.base import Reach, Rig, Row, Stage, ms, quantile

ROUNDS = 1
TURNS = 3
WARM = 200
KEYS = 500
EVENTS = {"plain": "bench/one", "ten": "bench/ten", "keyed": "bench/keyed"}
ROWS = (
    Row("5,000 one-step runs without a limit", "plain", "runs/s"),
    Row("the same, at most 10 at a time", "ten", "runs/s", (Reach(1, "dbos", True), Reach(1, "celery", True))),
    Row("the same, one at a time for each of 500 keys", "keyed", "runs/s", (Reach(1, "dbos", True),)),
    Row("10 at a time, of the rate without a limit", "ten_share", "", (Reach(0.6, "", True),)),
    Row("one for each of 500 keys, of the rate without", "keyed_share", "", (Reach(0.6, "", True),)),
    Row("a freed place → the next run's first line, p99", "handed", "ms"),
    Row("event → its run's first line, idle, p99", "begun", "ms"),
    Row("the first in terms of the second", "handed_share", "", (Reach(2),)),
    Row("a line of 1,000 before one place, drained in order", "short", "runs/s"),
    Row("a line of 100,000, of the rate of 1,000", "long_share", "", (Reach(0.8, "", True),)),
)


def measure(rig: Rig) -> dict[str, float]:
    with rig.open(WARM) as stage:
        values = _limited(stage, rig.count(stage.peer.flow_runs, 1_000))
        if "bench/single" in stage.peer.limited:
            values["begun"] = _begun(stage, rig.count(300, 50))
            values["handed"] = _handed(stage, rig.count(500, 100))
            values["handed_share"] = values["handed"] / values["begun"]
    if "bench/line" in rig.kind.limited:
        with rig.open(WARM) as stage:
            values["short"] = median(_drained(stage, f"s{n}", 1_000) for n in range(5))
            values["long_share"] = _drained(stage, "l", rig.count(100_000, 10_000)) / values["short"]
    return values


def _limited(stage: Stage, count: int) -> dict[str, float]:
    metrics = [name for name, event in EVENTS.items() if name == "plain" or event in stage.peer.limited]
    turns: list[dict[str, float]] = []
    for turn in range(TURNS):
        order = metrics if turn % 2 == 0 else metrics[::-1]
        rates = {metric: _rate(stage, EVENTS[metric], count) for metric in order}
        turns.append(rates | {f"{m}_share": rates[m] / rates["plain"] for m in metrics if m != "plain"})
    return {metric: median(turn[metric] for turn in turns) for metric in turns[0]}


def _batches(peer: Peer, event: str, count: int) -> list[Batch]:
    """Ten events a request; `n` is the key, and its runs come one close upon the other."""
    each = count // KEYS
    return [peer.batch(event, [f"{n}.{i}" for i in range(each)], n) for n in range(KEYS)]


def _rate(stage: Stage, event: str, count: int) -> float:
    stage.marks.forget()
    started = blast(stage.peer.port, _batches(stage.peer, event, count))
    stage.marks.wait("e", count)
    return count / (max(stage.marks.first("e").values()) - started) * 1e9


def _begun(stage: Stage, count: int) -> float:
    stage.marks.forget()
    took = []
    for i in range(count):
        sent, began = stage.one("bench/single", f"i{i}", kind="b")
        stage.marks.wait("e", i + 1, every=0.0005)
        took.append(ms(began - sent))
    return quantile(took, 0.99)


def _handed(stage: Stage, count: int) -> float:
    stage.marks.forget()
    stage.run("bench/single", [f"l{i}" for i in range(count)])
    began, ended = stage.marks.first("b"), stage.marks.first("e")
    order = sorted(began, key=began.__getitem__)
    gaps = [ms(began[after] - ended[before]) for before, after in itertools.pairwise(order)]
    if min(gaps) < 0:
        raise AssertionError(f"two ran at a time: {min(gaps)} ms")
    return quantile(gaps, 0.99)


def _drained(stage: Stage, name: str, count: int) -> float:
    """Runs a second, from when the run before which they all stand is let go."""
    stage.marks.forget()
    gate = stage.peer.room / f"gate-{name}"
    keys = [f"{name}{i}" for i in range(count)]
    _send(stage, [str(gate)])
    stage.marks.wait("g", 1)
    for at in range(0, count, 1_000):
        _send(stage, keys[at : at + 1_000])
    gate.touch()
    stage.marks.wait("e", count + 1, every=0.05)
    ended = stage.marks.first("e")
    opened = ended.pop(str(gate))
    if sorted(ended, key=ended.__getitem__) != keys:
        raise AssertionError(f"{name}: not drained in the order in which they came")
    return count / (max(ended.values()) - opened) * 1e9


def _send(stage: Stage, keys: Sequence[str]) -> None:
    """One request on one connection, so that the events have an order; it is answered when their runs exist."""
    connection = Connection(stage.peer.port)
    try:
        connection.ask(stage.peer.batch("bench/line", keys))
    finally:
        connection.close()
