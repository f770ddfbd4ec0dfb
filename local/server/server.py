"""The server of `tidemill dev`: the one process that owns the data, on one thread.

It combines the parts. Connections bring requests and calls of slots, the clock timers and cron. Each turn of the loop
ends in one commit (`tick`): before it, ready runs are claimed for idle slots (`dispatch`); after it, all answers are
sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from tidemill import ids
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.intake import bulk, receive
from tidemill.engine.intake import serve_lines as serve
from tidemill.engine.runs import paused
from tidemill.model import AtWork, CronTrigger, FunctionSpec
from tidemill.ports import World
from tidemill.run_logs import LogLine
from tidemill_local.console.lines import Console
from tidemill_local.http.access import Access
from tidemill_local.http.connection import Connection
from tidemill_local.http.door import Door
from tidemill_local.http.handlers import Handlers
from tidemill_local.http.payload import Answer, problem
from tidemill_local.load import targets
from tidemill_local.server.clock import ClockWatch, PlatformClock
from tidemill_local.server.cron import Cron
from tidemill_local.server.delayed import Delayed
from tidemill_local.server.loop import TurnLoop
from tidemill_local.server.queue import LocalQueue
from tidemill_local.server.ready import ReadyQueue
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.server.tick import Tick
from tidemill_local.server.timers import Timers
from tidemill_local.store.database import Database
from tidemill_local.store.errors import StoreError
from tidemill_local.system import SystemClock, SystemEntropy
from tidemill_local.workers import wire
from tidemill_local.workers.claims import Claims
from tidemill_local.workers.dispatch import Dispatcher
from tidemill_local.workers.hanging import Hanging
from tidemill_local.workers.pool import Worker, Workers
from tidemill_local.workers.quarantine import Quarantine
from tidemill_local.workers.slots import Slot
from tidemill_local.workers.zygote import Ordered

T = TypeVar("T")
GRACE = 1.0  # seconds that running steps get to end when the server stops
_SLOW_LOAD = 0.5  # seconds: watching files from the start would delay it
_SERVED = 50  # lines, or runs in them, that are served in one turn of the loop
_RETRY = 1.0  # seconds until work continues after a failed write


@dataclass(frozen=True)
class Settings:
    """The settings of a server; `order` names the targets and the server's own URL."""

    order: wire.Fork
    data: Path
    concurrency: int
    reload: bool
    access: Access
    events: bool = True  # whether each event gets a line


class Server:
    def __init__(self, settings: Settings, db: Database, loop: TurnLoop) -> None:
        self._settings = settings
        self._db = db
        self._loop = loop
        self._console = Console(loop)
        self._console.events = settings.events
        db.events.told = self._console.event
        clock, entropy = PlatformClock(floor=db.events.latest()), SystemEntropy()
        self._clock = clock
        claims = Claims(ids.ulid(clock.now(), entropy.bytes(10)))
        self._ready = ReadyQueue()
        self._registry = LocalRegistry()
        queue = LocalQueue(self._ready)
        bus = receive.DirectBus()
        self.world = World(
            db.runs, db.events, db.waits, db.blobs, queue, bus, self._registry, clock, entropy, claims, db.flow,
            self._at_work, db.logs, db.pauses, db.jobs,
        )  # fmt: skip
        bus.world = self.world
        self._keeper = StoreKeeper(self.world)
        self._dispatcher = Dispatcher(self.world, self._ready, claims, self._console)
        self._tick = Tick(db, before=self._dispatcher.pump, failed=self._failed, trouble=self._troubled)
        loop.turned = self._turned
        loop.set_exception_handler(self._failed_in_loop)
        self._timers = Timers(loop, db.runs, clock, self._ready, self._tick)
        queue.timers = self._timers
        self._delayed = Delayed(loop, self.world, db.events, self._tick, self._console.trouble)
        self._dispatcher.tick = self._tick
        self._dispatcher.popped = self._timers.popped
        self._timers.wake = self._dispatcher.wake
        self._cron = Cron(loop, SystemClock(), self._fire)
        self._workers = Workers(loop, settings.order, settings.concurrency, self._make_slot, self)
        self._workers.set_time(clock.offset)
        db.pauses.changed = self._workers.set_paused
        self._dispatcher.quarantine = Quarantine(loop, self._workers.isolate, self._tick.arm, self._ready.put)
        self._hanging = Hanging(loop, db.runs, self._dispatcher, self._workers, self._console.trouble)
        minded = (self._timers, self._cron, self._delayed)
        self._watch_clock = ClockWatch(loop, clock, minded, self._each_second, self._console.trouble)
        self._door = Door(self._handle, self._tick, settings.access.hosts)
        self._handlers = Handlers(self.world, settings.access.keys)
        self._state = "the functions are not loaded yet; try again in a moment"  # why no code runs; empty: it runs
        self._read_at = time.time_ns()
        self._stopping = False
        self._stopped = loop.create_future()
        self._listening: asyncio.Server
        self._watcher = self._watching() if settings.reload else None
        self._files: list[str] = []  # the files of the code that was loaded last
        self._places: list[str] = []  # the folders of its steps

    def start(self, zygote: tuple[int, socket.socket], ordered: Ordered) -> None:
        """Take over the zygote, which is loading already; queue the runs that the last server left open."""
        self._workers.set_paused(list(self._db.pauses.all()))
        self._workers.adopt(*zygote, ordered)
        for run_id, function_id in self._db.runs.open_ready(self._clock.now()):
            self._ready.put(run_id, function_id)
        self._timers.fire()
        self._delayed.fire()
        self._watch_clock.look()
        self._loop.call_later(_SLOW_LOAD, self._watch_slow_load)

    async def serve(self, listener: socket.socket) -> None:
        """Serve until `stop` is finished."""
        self._listening = await self._loop.create_server(lambda: Connection(self._door), sock=listener)
        await self._stopped

    def _turned(self) -> None:
        """An error here would end the loop and the process: report it, and continue."""
        try:
            self._tick.end()
        except Exception as error:
            self._console.once(f"the end of a turn failed: {type(error).__name__}: {error}")
        self._door.turned()

    def _troubled(self, text: str) -> None:
        """Something in a turn failed, such as a new slot without free descriptors: it is tried again."""
        self._console.once(text)
        self._loop.call_later(_RETRY, self._tick.arm)

    def _failed_in_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handles an uncaught exception of a callback."""
        error = context.get("exception")
        what = f"{type(error).__name__}: {error}" if error is not None else str(context.get("message"))
        self._console.once(f"something failed in the server, which goes on: {what}")

    def _at_work(self, run_id: str) -> list[AtWork]:
        """The executing steps of a run, as its worker has noted them."""
        return [step for slot in self._dispatcher.busy() if slot.serves(run_id) for step in slot.at_work()]

    def _each_second(self, now: int) -> None:
        self._workers.set_time(self._clock.offset)
        self._hanging.look(now)
        self._go_on()

    def _go_on(self) -> None:
        """A page of each running job, and of the runs that a resumed function held: the API begins with the first."""
        try:
            for job in self._db.jobs.running():
                bulk.turn(self.world, job.id)
                self._tick.arm()
            for function_id in self._db.pauses.resumed():
                next(paused.look_again(self.world, function_id), None)
                self._tick.arm()
        except StoreError as error:
            self._tick.fail(error)

    # --- requests --------------------------------------------------------------------------------------

    def _handle(self, request: dict[str, Any]) -> Generator[None, None, Answer]:
        try:
            return (yield from self._handlers.work(request, self._state))
        except StoreError as error:
            self._tick.fail(error)
            return problem(503, str(error))
        except Exception as error:
            self._console.trouble(f"{request['rawPath']}: {type(error).__name__}: {error}")
            return problem(500, "something went wrong in the server; its output says what")

    def _failed(self, reason: str) -> None:
        """Nothing of this turn was committed; runs that were claimed in it are ready again."""
        self._console.once(f"the last changes could not be stored; their senders got an error:  {reason}")
        self._loop.call_later(_RETRY, self._timers.again)
        self._loop.call_later(_RETRY, self._delayed.again)
        self._loop.call_later(_RETRY, self._tick.arm)

    def _fire(self, spec: FunctionSpec, trigger: CronTrigger, at: int) -> None:
        try:
            receive.fire(self.world, spec, trigger, at)
        except StoreError as error:
            self._tick.fail(error)
        self._tick.arm()

    # --- loads of the user's code ----------------------------------------------------------------------

    def _make_slot(self, pipes: tuple[int, int], worker: Worker) -> Slot:
        return Slot(self._loop, pipes, worker, self._dispatcher, self._keeper, self._tick)

    def logged(self, line: LogLine) -> None:
        self._kept(self._db.logs.keep, line)

    def loaded(self, worker: Worker, loaded: wire.Loaded) -> None:
        again = bool(self._registry.version(""))
        before = self._registry.functions()
        new = self._registry.replace(loaded.functions, loaded.version, loaded.schemas)
        self._registry.replace_webhooks(loaded.webhooks, loaded.secrets)
        self._state = ""
        for function_id in new:
            for run_id in self._db.runs.held(function_id):
                self._ready.put(run_id, function_id)
        self._dispatcher.use(worker)
        self._cron.replace(loaded.functions)
        self._files, self._places = loaded.files, loaded.places
        self._watch(self._files, self._places, [])
        self._announce(loaded, again=again)
        if again:
            lines = serve.changed(self.world, before)
        else:
            lines = serve.at_start(self.world, self._db.flow.families(), self._db.runs.planned(self._clock.now()))
        self._serve_lines(lines)
        self._tick.arm()

    def _serve_lines(self, lines: Iterator[None]) -> None:
        """Serve some of the lines that a reload has changed, and the others in later turns."""
        served = sum(1 for _ in islice(lines, _SERVED))
        self._tick.arm()
        if served == _SERVED:
            self._loop.call_soon(self._serve_lines, lines)

    def broken(self, broken: wire.Broken) -> None:
        if self._dispatcher.worker is None and not self._stopping:
            self._dispatcher.use(self._workers.current)  # it was being replaced
        keeps = self._dispatcher.worker is not None
        if not keeps:
            self._state = "the targets cannot be loaded: " + " ".join(broken.text.split())
        self._watch([*self._files, *broken.files], self._places, broken.spots)
        self._console.trouble(broken.text)
        what = "the code loaded before goes on" if keeps else "no function runs"
        self._console.trouble(f"until this is fixed, {what}")

    def dying(self, worker: Worker, how: str) -> bool:
        return bool(self._kept(self._dispatcher.dying, worker, how))

    def spare(self, worker: Worker) -> None:
        self._kept(self._dispatcher.spare, worker)

    def isolated(self, worker: Worker, *, loaded: bool) -> None:
        self._dispatcher.quarantine.joined(worker, loaded=loaded)

    def _kept(self, write: Callable[..., T], *args: Any) -> T | None:
        """Write what a process has said, or the consequences of its end; a failure of the store fails this turn."""
        self._tick.arm()
        try:
            return write(*args)
        except StoreError as error:
            self._tick.fail(error)
            return None

    def died(self, what: str) -> None:
        self._dispatcher.use(None)
        self._console.trouble(f"{what}; another one takes over")

    def _announce(self, loaded: wire.Loaded, *, again: bool) -> None:
        for note in loaded.notes:
            self._console.trouble(note)
        if again:
            self._console.say(f"reloaded: {len(loaded.functions)} functions")
            return
        self._console.say(f"Tidemill at {self._settings.order.url}, data in {self._settings.data}")
        for note in self._settings.access.notes:
            self._console.say(note)
        for spec in loaded.functions:
            self._console.say(f"  {spec.id}  {_triggers(spec)}")

    def _watching(self) -> Any:
        from tidemill_local.load.reload import Watcher

        cwd = Path(self._settings.order.cwd)
        return Watcher(self._loop, self._reload, [cwd / self._settings.order.env_file, cwd / "pyproject.toml"])

    def _watch(self, files: list[str], places: list[str], spots: list[str]) -> None:
        if self._watcher is not None:
            order = self._settings.order
            folders = {str(folder) for folder in targets.folders(order.targets, Path(order.cwd))}
            self._watcher.watch(folders | {os.path.dirname(file) for file in files}, self._read_at, places, spots)

    def _watch_slow_load(self) -> None:
        """Watch the files also during a slow load, so that the user can fix code that hangs."""
        if self._watcher is not None and not self._watcher.watching and not self._stopping:
            self._watch([], [], [])

    def _reload(self) -> None:
        if not self._stopping:
            self._read_at = time.time_ns()
            self._dispatcher.quarantine.clear()
            self._workers.reload()

    # --- the end ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin nothing new; runs are handed over at their next step, or recorded as such after a short grace."""
        if self._stopping:
            os._exit(130)
        self._stopping = True
        self._dispatcher.stopping = True
        self._state = "the server is stopping"
        self._listening.close()
        self._timers.stop()
        self._watch_clock.stop()
        self._cron.stop()
        self._workers.stop()
        for connection in list(self._door.connections):
            connection.stop()
        self._await_slots(self._loop.time() + GRACE)

    def _await_slots(self, deadline: float) -> None:
        if self._dispatcher.busy() and self._loop.time() < deadline:
            self._loop.call_later(0.01, self._await_slots, deadline)
            return
        self._kept(self._dispatcher.spare)  # an executing step runs again later, without counting an attempt
        for slot in self._dispatcher.busy():
            slot.close()
        self._tick.end()
        self._workers.kill()
        self._stopped.set_result(None)


def _triggers(spec: FunctionSpec) -> str:
    names = [trigger.cron if isinstance(trigger, CronTrigger) else trigger.name for trigger in spec.triggers]
    return ", ".join(names) or "(by invoke)"
