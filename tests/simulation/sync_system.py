"""The dev server's topology: one handler runs to its end before anybody else has a turn, and code runs in workers.

An event is received whole, by all who listen and wait for it, in the request that brings it; what a run sends is
received before the sender goes on. Code runs in worker processes: each question to the journal's keeper is a request of
its own, between two of which others have their turns, and in which nobody has. A worker that dies drops its connection,
and its claim with it. No message is lost, doubled or late, and there is one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from simulation import cron, states
from simulation.loop import Actor
from simulation.scenario import Sent
from simulation.stores import InSqlite
from simulation.system import System

from tidemill.core.journal import Claimed
from tidemill.engine.drive.claim import open_run
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.intake import receive
from tidemill.model import Event
from tidemill.ports import APPENDED, Keeper, World
from tidemill_local.server.clock import NS, PlatformClock
from tidemill_local.workers.claims import FOREVER, Claims


class Counted:
    """A port that answers at once, and whose calls the watchdog counts."""

    def __init__(self, system: SyncSystem, port: Any) -> None:
        self._system = system
        self._port = port

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def call(*args: Any, **options: Any) -> Any:
            self._system.watchdog.note(name, args)
            cells = states.before(self._system, name, args)
            result = method(*args, **options)
            self._system.asked(name, args, result)
            self._system.met.update(cells if result in (None, APPENDED) else ())
            return result

        return call


class Requests:
    """The keeper as a worker sees it: each call is a request, and the server works it off whole."""

    def __init__(self, system: SyncSystem) -> None:
        self._system = system
        self._keeper = StoreKeeper(system.world)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._keeper, name)

        def call(*args: Any, **options: Any) -> Any:
            self._system.pause()
            return method(*args, **options)

        return call


class SyncSystem(System):
    skew = 0

    def _clock(self) -> ServerClock:
        return ServerClock(self)

    def _world(self) -> World:
        self.claims = Claims("boot")
        self.lapsed: dict[str, int] = {}  # when the connection of a claim's worker was lost
        self.cron, self.ticking = cron.started(self), True
        bus = receive.DirectBus()
        stores = self.stores
        runs, events, waits, blobs, flow, queue = (
            cast("Any", Counted(self, port))
            for port in (stores.runs, stores.events, stores.waits, stores.blobs, stores.flow, SyncQueue(self))
        )
        registry = self.registry
        world = World(runs, events, waits, blobs, queue, bus, registry, self.clock, self.entropy, self.claims, flow)
        bus.world = world
        return world

    def asked(self, name: str, args: Sequence[Any], result: Any) -> None:
        super().asked(name, args, result)
        if name == "put" and isinstance(args[0], Event) and args[0].ts > self.clock.now():
            self.remind(args[0].id, args[0].ts - self.clock.now(), durable=True)

    def keeper(self) -> Keeper:
        return cast("Keeper", Requests(self))

    def until(self, claim: Claimed) -> int:
        return self.lapsed.get(claim.by, claim.until)

    def deployed(self, new: Sequence[str]) -> None:
        """As `Server.loaded`."""
        if self.ticking:
            self.cron.replace(self.registry.functions())
        for function_id in new:
            for run_id in cast("InSqlite", self.stores).db.runs.held(function_id):
                self.world.queue.wake(run_id, function_id)

    def clock_set(self) -> None:
        """The server compares its clocks each second."""

        def compare() -> None:
            self.clock.platform.compare()
            self.cron.clock_set()
            self._overdue()

        self.loop.at(self.loop.now + 1_000, compare)

    def stop_cron(self) -> None:
        self.ticking = False
        self.cron.replace(())

    # Messages: none is lost, none comes twice.

    def deliver(self, what: str, handle: Callable[[], None], *, durable: bool, after: int = 0) -> None:
        self.open_messages += 1
        self.loop.at(self.loop.now + after, lambda: self._handle(what, handle))

    def _handle(self, what: str, handle: Callable[[], None]) -> None:
        self.busy += 1
        actor: Actor | None = None

        def end(_: bool) -> None:
            nonlocal actor
            if actor is not None:  # once: code that is parked has answered its message
                self.busy -= 1
                self.open_messages -= 1
                actor = None

        actor = self.loop.spawn(self._name(what), handle, end, 0)

    def _send(self, sent: Sent) -> None:
        self.unsent -= 1
        now = self.clock.now()
        if sent.signal is not None:
            name, event_id = sent.signal, f"signal-{sent.at}-{sent.n}"
            self.deliver(
                f"signal {name}",
                lambda: self.note(receive.signal(self.world, name, {"n": sent.n}, event_id)),
                durable=True,
            )
            return
        events = self.events_of(sent, now)
        self.accepted.extend(events)
        self.deliver(f"request {sent.name}", lambda: self._request(events), durable=True)

    def _request(self, events: list[Event]) -> None:
        for event in events:
            receive.receive(self.world, event)

    def _sweep_later(self) -> None:
        """The timer of the server's loop."""
        self.idle_places.look()
        due = self.stores.next_due()
        if due is not None:
            self.loop.at(max(self.loop.now + 1, due), self._sweep)
        elif self.unsent or self.open_messages or self.busy:
            self.loop.at(self.loop.now + 60_000, self._sweep_later)

    def _sweep(self) -> None:
        self._overdue()
        self.loop.at(self.loop.now + 60_000, self._sweep_later)

    def _overdue(self) -> None:
        for head in self.stores.runs.overdue(self.clock.now(), 100):
            run_id = head.run_id
            self.deliver(f"timer {run_id}", lambda run_id=run_id: self.advance(run_id), durable=True)
        for event_id, _ in self.stores.events.delayed(self.clock.now(), 100):
            self.remind(event_id, durable=True)

    # Workers.

    def advance(self, run_id: str) -> None:
        actor = self.loop.actor
        assert actor is not None
        by = self.claims.new()
        opened = open_run(self.world, run_id, by, FOREVER)
        if opened is None:
            self.claims.drop(by)
            return
        actor.claim_until = FOREVER
        try:
            if self._resume(opened):
                return
            drive(
                self.app.functions[opened.spec.id],
                opened,
                self.keeper(),
                self.clock,
                self.entropy,
                threads=self.threads(opened.spec.id),
                snapshot_every=self.scenario.snapshot_every,
                lot=self._park if self.loop.random.random() < 0.3 else None,
                park_from=2,
            )
        except BaseException:  # the server sees the connection close
            self.deliver(f"look {run_id}", lambda: self.advance(run_id), durable=True)
            raise
        finally:
            self.claims.drop(by)
            self.lapsed[by] = self.clock.now()


class ServerClock:
    """The server's own clock, over a wall clock that is set and a monotonic one that a sleeping machine stops."""

    def __init__(self, system: System) -> None:
        self.offset = 0  # by how much somebody has set the wall clock
        loop = system.loop
        self.wall = lambda: (loop.now + self.offset) * NS
        self.platform = PlatformClock(self.wall, lambda: (loop.now - loop.frozen) * NS)
        self.now = self.platform.now


class SyncQueue:
    def __init__(self, system: SyncSystem) -> None:
        self._system = system

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        now = self._system.clock.now()
        if at is None or at <= now:
            self._system.deliver(f"look {run_id}", lambda: self._system.advance(run_id), durable=True)
        elif not loose:
            self._system.deliver(f"look {run_id}", lambda: self._system.advance(run_id), durable=True, after=at - now)

    def forget(self, run_id: str) -> None:
        """A timer that still fires finds a run that has ended."""
