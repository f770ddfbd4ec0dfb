"""The simulated cloud: the real engine and the SQLite stores, behind ports that fail and queues that lose and double.

- Any port call may do nothing and fail, or do its work and look failed; between any two the process may be killed.
- Messages that carry an event come at least once, late, in any order; hints ("look at this run") also get lost.
- An executor that is slow becomes a zombie: its message comes again, its claim lapses, it goes on.
- Clocks differ by up to two seconds. Schedules fire up to a minute late, or never; a sweep finds what is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simulation import graphs
from simulation.loop import Actor, Failed, Loop
from simulation.programs import build
from simulation.scenario import Scenario, Sent
from simulation.stores import InSqlite, Stores

from tidemill.core.journal import Claimed
from tidemill.errors import Unavailable
from tidemill.execute import receive
from tidemill.execute.code import drive
from tidemill.execute.keep import LocalKeeper
from tidemill.execute.live import LiveRun
from tidemill.execute.open import Opened, open_run
from tidemill.execute.parking import Resumed, follows
from tidemill.model import Event, FunctionSpec, Wait
from tidemill.ports import World
from tidemill_local.registry import LocalRegistry

START = 1_767_225_600_000
TIMEOUT = 30_000  # of the executors' process
LEASE = TIMEOUT + 10_000  # architecture: the hard deadline, and 10 s
VISIBILITY = 45_000
SKEW = 2_000
HORIZON = 60 * 24 * 3_600_000


@dataclass
class Execution:
    """A step's code that ran: where, when, and until when its executor held the claim."""

    run_id: str
    step: str
    attempt: int
    actor: str
    began: int
    claim_until: int
    ended: int | None = None


@dataclass
class Message:
    what: str
    handle: Callable[[], None]
    acked: bool = False


@dataclass
class Parked:
    live: LiveRun
    actor: Actor
    resumed: Resumed | None = None


class Faulty:
    """A port whose calls take time, fail, succeed and look failed, or are the last thing their process does."""

    def __init__(self, system: System, port: Any, fatal: bool = True) -> None:
        self._system = system
        self._port = port
        self._fatal = fatal

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def call(*args: Any) -> Any:
            system = self._system
            system.pause()
            chance = system.loop.random.random() / max(system.scenario.faults, 1e-9)
            if chance < 0.004:
                raise Unavailable(f"{name} did not answer")
            result = method(*args)
            if name == "put" and isinstance(args[0], Wait) and system.loop.actor is not None:
                system.waiters[args[0].run_id, args[0].key] = system.loop.actor
            if chance < 0.008:
                raise Unavailable(f"{name} did not answer in time")
            return result

        return call


class SimClock:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def now(self) -> int:
        return self._loop.now + (self._loop.actor.skew if self._loop.actor is not None else 0)


class SimEntropy:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def random(self) -> float:
        return self._loop.random.random()

    def bytes(self, count: int) -> bytes:
        return self._loop.random.randbytes(count)


class Lease:
    def alive(self, claim: Claimed, now: int) -> bool:
        return now < claim.until


class System:
    horizon = HORIZON

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.loop = Loop(scenario.fault_seed, START)
        self.clock = SimClock(self.loop)
        self.stores: Stores = self._stores()
        self.app = build(scenario, self.body)
        self.ends = graphs.declare(self.app, scenario.graphs, self)
        self.registry = LocalRegistry()
        self.registry.replace([fn.spec for fn in self.app.functions.values()], "1")
        self.executions: list[Execution] = []
        self.actors: dict[str, Actor] = {}  # that have run a step's code, by name
        self.waiters: dict[tuple[str, str], Actor] = {}  # who put a wait last
        self.accepted: list[Event] = []
        self.parked: dict[str, Parked] = {}
        self.open_messages = 0
        self.busy = 0
        self.unsent = len(scenario.sent)
        self._names = 0
        self.entropy = SimEntropy(self.loop)
        self.world = self._world()
        stores = (self.stores.runs, self.stores.events, self.stores.waits, self.stores.blobs)
        self.plain = World(
            *stores, SimQueue(self), SimBus(self), self.registry, self.clock, self.entropy, Lease(), self.stores.flow
        )  # the same without faults, for who looks at it afterwards

    def _stores(self) -> Stores:
        return InSqlite()

    def _world(self) -> World:
        return World(
            runs=Faulty(self, self.stores.runs),
            events=Faulty(self, self.stores.events),
            waits=Faulty(self, self.stores.waits),
            blobs=Faulty(self, self.stores.blobs),
            queue=Faulty(self, SimQueue(self)),
            bus=Faulty(self, SimBus(self)),
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            liveness=Lease(),
            flow=Faulty(self, self.stores.flow),
        )

    def run(self) -> None:
        for sent in self.scenario.sent:
            self.loop.at(START + sent.at, lambda sent=sent: self._send(sent))
        self._sweep_later()
        self.loop.run(START + self.horizon, self.idle)

    def close(self) -> None:
        self.stores.close()

    def idle(self) -> bool:
        return not (self.unsent or self.open_messages or self.busy) and self.stores.next_due() is None

    # Turns.

    def pause(self) -> None:
        """What a call to the world costs in time; now and then the life of the process, or the patience of others."""
        rng, faults = self.loop.random, self.scenario.faults
        chance = rng.random() / max(faults, 1e-9)
        actor = self.loop.actor
        if actor is not None and chance < 0.003:
            actor.killed = True
        ms = rng.randint(1, 20)
        if rng.random() < 0.004 * self.scenario.stalls:
            ms = rng.choice([5_000, 50_000, 120_000])  # a stall: beyond the visibility timeout, beyond the lease
        self.loop.pause(ms)

    def body(self, run_id: str, step: str, attempt: int) -> None:
        actor = self.loop.actor
        assert actor is not None
        execution = Execution(run_id, step, attempt, actor.name, self.loop.now, actor.claim_until or 0)
        self.executions.append(execution)
        self.actors[actor.name] = actor
        try:
            self.pause()
        finally:
            execution.ended = self.loop.now

    # Messages.

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}#{self._names}"

    def deliver(self, what: str, handle: Callable[[], None], *, durable: bool, after: int = 0) -> None:
        """A message: comes after a while, perhaps twice; again when its handler did not end well in time."""
        rng, faults = self.loop.random, self.scenario.faults
        if not durable and rng.random() < 0.05 * faults:
            return
        copies = 2 if rng.random() < 0.08 * faults else 1
        for _ in range(copies):
            late = rng.randint(0, 40) if rng.random() > 0.05 * faults else rng.randint(0, 30_000)
            self.open_messages += 1
            message = Message(what, handle)
            self.loop.at(self.loop.now + after + late, lambda message=message: self._receive(message))

    def _receive(self, message: Message) -> None:
        if message.acked:
            return

        ended = False

        def end(done: bool) -> None:
            nonlocal ended
            if not ended:
                ended = True
                self.busy -= 1
            if done and not message.acked:
                message.acked = True
                self.open_messages -= 1

        def work() -> None:
            try:
                message.handle()
            except Unavailable as error:
                raise Failed from error

        rng = self.loop.random
        self.busy += 1
        actor = self.loop.spawn(self._name(message.what), work, end, rng.randint(-SKEW, SKEW))
        self.loop.at(self.loop.now + VISIBILITY, lambda: self._receive(message))
        if rng.random() < 0.95:  # the process is killed at its timeout; where it is not, a zombie goes on
            self.loop.at(self.loop.now + TIMEOUT, lambda: self._kill(actor))

    def _kill(self, actor: Actor) -> None:
        if not actor.over and not actor.parked:
            actor.killed = True

    def _sweep_later(self) -> None:
        due = self.stores.next_due()
        at = max(self.loop.now + 60_000, due or 0)
        self.loop.at(at, self._sweep)

    def _sweep(self) -> None:
        for head in self.stores.runs.overdue(self.loop.now, 100):
            run_id = head.run_id
            self.deliver(f"sweep {run_id}", lambda run_id=run_id: self.advance(run_id), durable=False)
        if self.unsent or self.open_messages or self.stores.next_due() is not None:
            self._sweep_later()

    # What arrives.

    def _send(self, sent: Sent) -> None:
        now = self.loop.now
        if sent.signal is not None:
            name, event_id = sent.signal, f"signal-{sent.at}-{sent.n}"
            self.deliver(
                f"signal {name}",
                lambda: self.note(receive.signal(self.world, name, {"n": sent.n}, event_id)),
                durable=True,
            )
            self.unsent -= 1
            return
        event = Event(f"event-{sent.at}-{sent.n}", sent.name, {"n": sent.n}, now + sent.ahead, now, {"id": sent.user})
        self.accepted.append(event)
        self.unsent -= 1
        SimBus(self).publish([event])

    def note(self, _: object) -> None:
        """What is answered interests nobody here."""

    def start(self, spec: FunctionSpec, event: Event) -> None:
        run_id = receive.begin(self.world, spec, event)
        if run_id is not None:
            self.advance(run_id)

    def keep(self, event: Event) -> None:
        receive.store(self.world, event)
        receive.wake(self.world, event)

    def advance(self, run_id: str) -> None:
        actor = self.loop.actor
        assert actor is not None
        until = self.loop.now + actor.skew + LEASE
        opened = open_run(self.world, run_id, f"{actor.name}@{self.loop.now}", until)
        if opened is None:
            return
        actor.claim_until = until - actor.skew
        if self._resume(opened):
            return
        drive(
            self.app.functions[opened.spec.id],
            opened,
            LocalKeeper(self.world),
            SimClock(self.loop),
            SimEntropy(self.loop),
            threads=False,
            snapshot_every=self.scenario.snapshot_every,
            lot=self._park if self.loop.random.random() < 0.3 else None,
            park_from=2,
        )

    # Parked code.

    def _park(self, live: LiveRun) -> Resumed | None:
        """The process has answered its message, and stands still with the code."""
        actor = self.loop.actor
        assert actor is not None
        actor.on_end(True)
        actor.parked = True
        parked = Parked(live, actor)
        self.parked[live.head.run_id] = parked
        while parked.resumed is None and self.parked.get(live.head.run_id) is parked and self._is_open(live):
            self.loop.pause(2_000)
        if self.parked.get(live.head.run_id) is parked:
            del self.parked[live.head.run_id]
        actor.parked = False
        return parked.resumed

    def _is_open(self, live: LiveRun) -> bool:
        head = self.stores.runs.head(live.head.run_id)
        return head is not None and head.due is not None

    def _resume(self, opened: Opened) -> bool:
        """Go on in the process where this run's code is parked, if it fits; this one waits for it."""
        parked = self.parked.pop(opened.head.run_id, None)
        me = self.loop.actor
        if parked is None or me is None or not follows(parked.live, opened) or parked.actor.killed:
            return False
        parked.actor.claim_until = me.claim_until
        parked.resumed = Resumed(LocalKeeper(self.world), opened)
        while not parked.actor.over and opened.head.run_id not in self.parked:
            self.loop.pause(500)
        if parked.actor.killed:
            raise Failed
        return True


class SimQueue:
    def __init__(self, system: System) -> None:
        self._system = system

    def look(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        system = self._system
        after = max(0, at - system.loop.now) if at is not None else 0
        if after > 24 * 3_600_000:
            return  # left to the sweep, as a schedule that never fires
        if after > 900_000:
            after += system.loop.random.randint(0, 60_000)
        system.deliver(f"look {run_id}", lambda: system.advance(run_id), durable=False, after=after)

    def forget(self, run_id: str) -> None:
        """Schedules that still fire find a run that has ended."""


class SimBus:
    """The bus and its rules: a message to every function that listens, one to whoever keeps events."""

    def __init__(self, system: System) -> None:
        self._system = system

    def publish(self, events: Sequence[Event]) -> None:
        system = self._system
        for event in events:
            stamped = replace_event(event, system.loop.now)
            for spec in system.registry.listeners(event.name):
                system.deliver(f"start {spec.id}", lambda s=spec, e=stamped: system.start(s, e), durable=True)
            system.deliver(f"event {event.id}", lambda e=stamped: system.keep(e), durable=True)


def replace_event(event: Event, now: int) -> Event:
    import msgspec

    return msgspec.structs.replace(event, received_at=min(event.received_at, now))
