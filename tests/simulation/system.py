"""The simulated cloud: the real engine and the SQLite stores, behind ports that fail and queues that lose and double.

- Any port call may do nothing and fail, or do its work and look failed; between any two the process may be killed.
- Messages that carry an event come at least once, late, in any order; hints ("look at this run") also get lost.
- An executor that is slow becomes a zombie: its message comes again, its claim lapses, it goes on.
- Clocks differ by up to two seconds. Schedules fire up to a minute late, or never; a sweep finds what is overdue.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from simulation import acts, graphs, states
from simulation.idle_places import IdlePlaces
from simulation.loop import Actor, Failed, Loop
from simulation.ports import Faulty, Lease, SimBus, SimClock, SimEntropy, SimQueue
from simulation.programs import build
from simulation.scenario import Program, Scenario, Sent
from simulation.stores import InSqlite, Stores
from simulation.threads import simulated
from simulation.watchdog import Watchdog

from tidemill import App
from tidemill.core.journal import Claimed, Record
from tidemill.engine.drive.claim import Opened, open_run
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.parking import Resumed, follows
from tidemill.engine.drive.passed_by import Passed
from tidemill.engine.intake import delayed, receive, start
from tidemill.engine.intake.collect import gathers
from tidemill.engine.intake.serve_lines import changed
from tidemill.errors import Unavailable
from tidemill.model import Event, FunctionSpec, Wait
from tidemill.ports import Appended, EventQuery, Keeper, World
from tidemill_local.server.registry import LocalRegistry

START = 1_767_225_600_000
TIMEOUT = 30_000  # of the executors' process
LEASE = TIMEOUT + 10_000  # architecture: the hard deadline, and 10 s
VISIBILITY = 45_000
SKEW = 2_000
YEARS = "years"  # the layer whose runs last so long
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


class System:
    horizon = HORIZON
    skew = SKEW

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.loop = Loop(scenario.fault_seed, START)
        self.watchdog = Watchdog(self.loop)
        self.clock = self._clock()
        self.stores: Stores = self._stores()
        self.app = App("sim")
        self.ends: graphs.Ends = {}
        self.registry = LocalRegistry()
        self.executions: list[Execution] = []
        self.actors: dict[str, Actor] = {}  # that have run a step's code, by name
        self.waiters: dict[tuple[str, str], Actor] = {}  # who put a wait last
        self.met: Counter[tuple[str, str]] = Counter()  # see `states`
        self.meter: dict[str, Counter[str]] = defaultdict(Counter)  # by run, what it has cost
        self.idle_places = IdlePlaces(self)
        self.seen: dict[tuple[str, str], Any] = {}
        self.differs: list[str] = []
        self.passed: list[Passed] = []  # steps that code has passed by, though its run remembers them
        self.accepted: list[Event] = []
        self.parked: dict[str, Parked] = {}
        self.open_messages = 0
        self.busy = 0
        self.unsent = len(scenario.sent) + len(scenario.acts)
        self.api_cancelled: set[str] = set()
        self.reruns: dict[str, str] = {}  # with the same input: the new run, and the old
        self.edited: dict[str, int] = {}  # with another input: the new run, and its `n`
        self.declared: dict[str, list[FunctionSpec | None]] = {}  # each function, as each deploy declared it
        self.served: list[int] = []  # when each deploy came
        self.closed: dict[str, int] = {}  # when each run's head was closed after the effects of its end
        self._names = 0
        self.entropy = SimEntropy(self.loop)
        self.world = self._world()
        self.serve(scenario.programs)
        stores = (self.stores.runs, self.stores.events, self.stores.waits, self.stores.blobs)
        self.plain = World(
            *stores, SimQueue(self), SimBus(self), self.registry, self.clock, self.entropy, Lease(), self.stores.flow
        )  # the same without faults, for who looks at it afterwards

    def _clock(self) -> Any:
        return SimClock(self.loop)

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
        for act in self.scenario.acts:
            self.loop.at(START + act.at, lambda act=act: acts.perform(self, act))
        self._sweep_later()
        threads = any(program.threads for program in self.scenario.programs)
        with simulated(self.loop) if threads else nullcontext():
            self.loop.run(START + self.horizon * (10 if YEARS in self.scenario.notes else 1), self.idle)

    def serve(self, programs: Sequence[Program]) -> None:
        """From now on this is the code that runs."""
        self.app = build(programs, self)
        graphs.declare(self.app, self.scenario.graphs, self)
        specs = {fn.spec.id: fn.spec for fn in self.app.functions.values()}
        self.served.append(self.loop.now)
        for function_id in {*self.declared, *specs}:
            self.declared.setdefault(function_id, []).append(specs.get(function_id))
        before = self.registry.functions()
        new = self.registry.replace(specs.values(), "1")
        self.deployed(new)
        if before:
            self.deliver("deploy", lambda: deque(changed(self.world, before), 0), durable=True)

    def deployed(self, new: Sequence[str]) -> None:
        """What follows from a deploy for these, its new functions. Here: nothing, for a sweep finds their runs."""

    def clock_set(self) -> None:
        """What follows where the machine's clock has been set."""

    def stop_cron(self) -> None:
        """From now on nothing is started by the clock."""

    def moved(self, function_id: str) -> bool:
        """Whether the function came with a later deploy than the first."""
        return len(self.declared[function_id]) <= len(self.scenario.deploys) and bool(self.scenario.deploys)

    def changed(self, function_id: str) -> bool:
        """Whether deploys have changed what this function declares."""
        versions = self.declared.get(function_id, [None])
        return any(each != versions[0] for each in versions)

    def gathered_once(self, function_id: str) -> bool:
        """Whether a deploy has taken its debounce or batch away: an event that comes again starts a run of its own."""
        versions = [each for each in self.declared.get(function_id, []) if each is not None]
        return len({gathers(each) for each in versions}) > 1

    def gone(self, function_id: str, since: int, until: int) -> bool:
        """Whether the function was not declared at some time in between."""
        versions = self.declared[function_id]
        times = [*self.served[-len(versions) :], self.loop.now]
        spans = zip(versions, pairwise(times), strict=True)
        return any(spec is None and began < until and since < ended for spec, (began, ended) in spans)

    def close(self) -> None:
        self.stores.close()

    def idle(self) -> bool:
        return not (self.unsent or self.open_messages or self.busy) and self.stores.next_due() is None

    def asked(self, name: str, args: Sequence[Any], result: Any) -> None:
        """A port has done this."""
        if name == "put" and isinstance(args[0], Wait) and self.loop.actor is not None:
            self.waiters[args[0].run_id, args[0].key] = self.loop.actor.root
        elif name == "append" and isinstance(result, Appended):
            self._claimed(args[0], args[2])
        elif name == "create" and result:
            self._claimed(args[0].run_id, args[1])
        elif name == "change" and args[1].due is None:
            self.closed.setdefault(args[0], self.loop.now)
        elif name == "put_snapshot":
            self.meter[args[0]]["snapshot bytes"] += len(args[2])
        elif name == "read":
            self.meter[args[0]]["records read"] += len(result)
        elif name == "open" and result is not None:
            self.meter[args[0]]["records read"] += len(result[1])

    def _claimed(self, run_id: str, records: Sequence[Record]) -> None:
        if self.loop.actor is not None and isinstance(records[-1], Claimed):
            self.loop.actor.run_id = run_id

    def known_events(self) -> dict[str, Event]:
        """Every event that was accepted or sent."""
        stored = self.stores.events.page(EventQuery(limit=1_000))
        return {event.id: event for event in [*self.accepted, *stored]}

    # Turns.

    def pause(self) -> None:
        """What a call to the world costs in time; now and then the life of the process, or the patience of others."""
        rng, faults = self.loop.random, self.scenario.faults
        chance = rng.random() / max(faults, 1e-9)
        actor = self.loop.actor
        if actor is not None and chance < 0.003:
            actor.root.killed = True
            if actor.run_id is not None:
                states.note(self, actor.run_id, "process dies")
        ms = rng.randint(1, 20)
        if rng.random() < 0.004 * self.scenario.stalls:
            ms = rng.choice([5_000, 50_000, 120_000])  # a stall: beyond the visibility timeout, beyond the lease
        self.loop.pause(ms)

    def body(self, run_id: str, step: str, attempt: int) -> None:
        actor = self.loop.actor
        assert actor is not None
        execution = Execution(run_id, step, attempt, actor.name, self.loop.now, actor.root.claim_until or 0)
        self.executions.append(execution)
        self.actors[actor.name] = actor.root
        try:
            self.pause()
        finally:
            execution.ended = self.loop.now

    def wrong(self, problem: str) -> None:
        self.differs.append(problem)

    def saw(self, run_id: str, what: str, value: Any) -> None:
        """Every execution of a run's code is given the same, whoever runs it, however often."""
        if self.loop.actor is not None and self.loop.actor.gone:
            return  # of a process that is gone only the simulation knows what its code did in its last moment
        known = self.seen.setdefault((run_id, what), value)
        if known != value:
            self.differs.append(f"run {run_id}: {what} was {known} at first, then {value}")

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
        actor = self.loop.spawn(self._name(message.what), work, end, rng.randint(-self.skew, self.skew))
        self.loop.at(self.loop.now + VISIBILITY, lambda: self._receive(message))
        if rng.random() < 0.95:  # the process is killed at its timeout; where it is not, a zombie goes on
            self.loop.at(self.loop.now + TIMEOUT, lambda: self._kill(actor))

    def _kill(self, actor: Actor) -> None:
        if not actor.over and not actor.parked:
            actor.killed = True

    def _sweep_later(self) -> None:
        self.idle_places.look()
        due = self.stores.next_due()
        at = max(self.loop.now + 60_000, due or 0)
        self.loop.at(at, self._sweep)

    def _sweep(self) -> None:
        for head in self.stores.runs.overdue(self.loop.now, 100):
            run_id = head.run_id
            self.deliver(f"sweep {run_id}", lambda run_id=run_id: self.advance(run_id), durable=False)
        for event_id, _ in self.stores.events.delayed(self.loop.now, 100):
            self.remind(event_id)
        if self.unsent or self.open_messages or self.stores.next_due() is not None:
            self._sweep_later()

    def threads(self, function_id: str) -> bool:
        return any(program.threads for program in self.scenario.programs if f"sim.{program.id}" == function_id)

    def keeper(self) -> Keeper:
        return StoreKeeper(self.world)

    def until(self, claim: Claimed) -> int:
        """When this claim was over at the latest, whoever was told."""
        return claim.until

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
        events = self.events_of(sent, now)
        self.accepted += events
        self.unsent -= 1
        SimBus(self).publish(events)

    def events_of(self, sent: Sent, now: int) -> list[Event]:
        """The events of one request."""
        user = {"id": sent.user}
        return [
            Event(f"event-{sent.at}-{n}", sent.name, {"n": n}, now + sent.ahead, now, user)
            for n in range(sent.n, sent.n + sent.burst)
        ]

    def note(self, _: object) -> None:
        """What is answered interests nobody here."""

    def start(self, function_id: str, event: Event) -> None:
        spec = self.registry.function(function_id)
        if spec is None:
            return  # its messages are gone with it
        run_id = start.begin(self.world, spec, event).began
        if run_id is not None:
            self.advance(run_id)

    def keep(self, event: Event) -> None:
        receive.store(self.world, event)
        receive.wake(self.world, event)
        ahead = event.ts - self.loop.now
        if 0 < ahead <= 900_000:
            self.remind(event.id, ahead)

    def remind(self, event_id: str, after: int = 0, *, durable: bool = False) -> None:
        """A message at the time at which a delayed event takes effect."""
        self.deliver(f"delayed {event_id}", lambda: self.come(event_id), durable=durable, after=after)

    def come(self, event_id: str) -> None:
        event = self.world.events.get(event_id)
        early = event.ts - self.clock.now() if event is not None else 0
        if early > 0:  # this process' clock lags
            self.remind(event_id, early)
        elif event is not None:
            delayed.come(self.world, event)

    def advance(self, run_id: str) -> None:
        actor = self.loop.actor
        assert actor is not None
        until = self.loop.now + actor.skew + LEASE
        loaded = self.app.functions
        opened = open_run(self.world, run_id, f"{actor.name}@{self.loop.now}", until)
        if opened is None:
            return
        actor.claim_until = until - actor.skew
        if self._resume(opened):
            return
        drive(
            self.app.functions.get(opened.spec.id) or loaded[opened.spec.id],
            opened,
            self.keeper(),
            self.clock,
            self.entropy,
            threads=self.threads(opened.spec.id),
            snapshot_every=self.scenario.snapshot_every,
            lot=self._park if self.loop.random.random() < 0.3 else None,
            park_from=2,
            host=Host(judge=self.passed.append),
        )

    # Parked code.

    def _park(self, live: LiveRun) -> Resumed | None:
        """The process has answered its message, and stands still with the code."""
        actor = self.loop.actor
        assert actor is not None
        actor.root.on_end(True)
        actor.root.parked = True
        parked = Parked(live, actor)
        self.parked[live.head.run_id] = parked
        while parked.resumed is None and self.parked.get(live.head.run_id) is parked and self._is_open(live):
            self.loop.pause(1_800_000)
        if self.parked.get(live.head.run_id) is parked:
            del self.parked[live.head.run_id]
        actor.root.parked = False
        self._busy_again(actor.root)
        return parked.resumed

    def _busy_again(self, process: Actor) -> None:
        """It works again, though no message waits for it: nothing is over before that is."""
        self.busy += 1
        working = True

        def end(_: bool) -> None:
            nonlocal working
            self.busy -= working
            working = False

        process.on_end = end

    def _is_open(self, live: LiveRun) -> bool:
        head = self.stores.runs.head(live.head.run_id)
        return head is not None and head.due is not None

    def _resume(self, opened: Opened) -> bool:
        """Go on in the process where this run's code is parked, if it fits; this one waits for it."""
        parked = self.parked.pop(opened.head.run_id, None)
        me = self.loop.actor
        if parked is None or me is None or not follows(parked.live, opened) or parked.actor.gone:
            return False
        parked.actor.root.claim_until = me.claim_until
        parked.resumed = Resumed(self.keeper(), opened)
        self.loop.wake(parked.actor)
        while not parked.actor.root.over and opened.head.run_id not in self.parked:
            self.loop.pause(500)
        if parked.actor.gone:
            raise Failed
        return True
