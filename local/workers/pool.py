"""The server's view of its workers: loads, grows and drains them, and replaces them when they die or hang.

Each load of the user's code is a separate worker. The old one continues while a new one loads; then the old one drains:
its steps end, its runs move to the new one at their next step, and it exits. Beside it there may be workers
of the same code with one slot each, for runs that are suspected of a crash (see `quarantine`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from tidemill.run_logs import LogLine
from tidemill_local.workers import orphans, wire, zygote
from tidemill_local.workers.channel import Channel
from tidemill_local.workers.slots import Slot
from tidemill_local.workers.zygote import Ordered

_from_worker: msgspec.msgpack.Decoder[wire.FromWorker] = msgspec.msgpack.Decoder(wire.FromWorker)
_from_zygote: msgspec.msgpack.Decoder[wire.FromZygote] = msgspec.msgpack.Decoder(wire.FromZygote)

_STABLE = 5.0  # a worker that lived this many seconds is restarted without delay
_BACKOFF_MOST = 5.0


class Owner(Protocol):
    """Receives the results of loads."""

    def loaded(self, worker: Worker, loaded: wire.Loaded) -> None: ...

    def broken(self, broken: wire.Broken) -> None: ...

    def dying(self, worker: Worker, how: str) -> bool:
        """The process of this worker has ended; its claims are still valid. Returns whether one of its runs may be the
        cause."""
        ...

    def logged(self, line: LogLine) -> None:
        """The code of a run has logged this."""
        ...

    def spare(self, worker: Worker) -> None:
        """The process of this worker is about to end, and no run is the cause."""
        ...

    def died(self, what: str) -> None:
        """The worker whose code is the latest has died, as `what` says; another one is on its way."""
        ...

    def isolated(self, worker: Worker, *, loaded: bool) -> None:
        """This worker of one slot has loaded the code, or could not."""
        ...


class Worker:
    """One load of the user's code: its control connection, its board and its slots. `most`: their greatest number."""

    def __init__(self, loop: AbstractEventLoop, load: int, ordered: Ordered, workers: Workers, most: int) -> None:
        self.load = load
        self.most = most
        self.board = ordered.board
        self.given_up: set[tuple[str, str, int]] = set()  # attempts of steps that have been found to hang
        self.answered = True  # the last ping
        self.loading = ""  # the target that it imports
        self.pid = 0
        self.ready = False
        self.failed = False  # its code could not be imported
        self.draining = False
        self.alone = False  # it has one slot, for runs suspected of a crash
        self.since = loop.time()
        self._loop = loop
        self._workers = workers
        self._slots: dict[Slot, None] = {}
        self._control = Channel(loop, ordered.control, self._received, _ending)

    def grow(self) -> Slot | None:
        """Add a slot, if the worker may have more."""
        if self.draining or not self._control.open or len(self._slots) >= self.most:
            return None
        our_read, their_write = os.pipe()
        try:
            their_read, our_write = os.pipe()
        except OSError:
            os.close(our_read)
            os.close(their_write)
            raise
        self._control.send_fds(wire.frame(wire.Grow(1)), [their_read, their_write])
        slot = self._workers.make_slot((our_read, our_write), self)
        self._slots[slot] = None
        return slot

    def pause(self, functions: tuple[str, ...]) -> None:
        """Runs of these functions move on at their next step."""
        if self._control.open:
            self._control.send(wire.frame(wire.Paused(functions)))

    def drain(self) -> None:
        """Begin nothing new here; exit when all slots are done."""
        self.draining = True
        self._control.send(wire.frame(wire.Drain()))
        if not self._slots:
            self.release()

    def ping(self) -> None:
        """Ping the worker: see `answered`."""
        self.answered = False
        self._control.send(wire.frame(wire.Ping()))

    def dropped(self, slot: Slot) -> None:
        self._slots.pop(slot, None)
        if self.draining and not self._slots:
            self.release()

    def release(self) -> None:
        """Release the process: it exits when its control connection closes."""
        self._control.close()

    def gone(self) -> None:
        """The process has ended, and all its claims with it."""
        self._control.close()
        for slot in list(self._slots):
            slot.close()

    def last_words(self) -> None:
        """The zygote has reported the end of the process: read its last messages."""
        self._control.read()

    def _received(self, message: bytes) -> None:
        told = _from_worker.decode(message)
        if isinstance(told, wire.Pong):
            self.answered = True
        elif isinstance(told, wire.Loading):
            self.loading = told.target
        elif isinstance(told, wire.Logged):
            self._workers.logged(told.line)
        else:
            self._workers.told(self, told)


class Workers:
    """The zygote, and the workers that it has forked."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        order: wire.Fork,
        concurrency: int,
        make_slot: Callable[[tuple[int, int], Worker], Slot],
        owner: Owner,
    ) -> None:
        self.concurrency = concurrency
        self.make_slot = make_slot
        self._loop = loop
        self._order = order  # of the latest load
        self._loads = order.load
        self.offset = 0  # the offset of the platform's time, as on all boards
        self._paused: tuple[str, ...] = ()
        self._owner = owner
        self._workers: dict[int, Worker] = {}
        self._current: Worker | None = None
        self._restart: TimerHandle | None = None
        self._deaths = 0
        self._fatal = 0  # consecutive loads of the same files that have ended their process
        self._stopped = False

    @property
    def current(self) -> Worker | None:
        """The worker of the latest code that could be loaded, as long as it answers."""
        return self._current if self._current is not None and self._current.answered else None

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers.values()))

    def adopt(self, zygote_pid: int, connection: socket.socket, ordered: Ordered) -> None:
        """Take over a zygote that was forked, and ordered to load, before there was a loop."""
        self._watch_zygote(zygote_pid, connection)
        self._take_on(self._order.load, ordered, self.concurrency)

    def set_time(self, offset: int) -> None:
        """Give all workers the server's time."""
        if offset != self.offset:
            self.offset = offset
            for worker in self._workers.values():
                worker.board.offset = offset

    def set_paused(self, functions: list[str]) -> None:
        """All workers know which functions are paused."""
        self._paused = tuple(functions)
        for worker in self:
            worker.pause(self._paused)

    def isolate(self) -> bool:
        """Fork a worker of one slot, beside the latest. False: nothing can be forked at present."""
        if self._stopped or not self._zygote.open:
            return False
        order = msgspec.structs.replace(self._order, load=self._next_load())
        self._take_on(order.load, zygote.send_order(self._connection, order), 1).alone = True
        return True

    def replace(self, worker: Worker) -> None:
        """Code hangs in this worker: no run begins in it any more."""
        if worker is self._current:
            self.reload()
        elif not worker.draining:
            worker.drain()

    def end(self, worker: Worker) -> None:
        """Kill a worker; its claims are over, and its end is not charged to a run."""
        if worker is self._current:
            self._current = None
            self._owner.died(f"worker {worker.pid} no longer answered and was killed")
            self.reload()
        self._owner.spare(worker)
        self._kill(worker)

    def reload(self) -> None:
        """Load the user's code again. A load in progress is given up."""
        self._fatal = 0
        self._load()

    def _load(self) -> None:
        if not self._zygote.open:
            return  # the zygote is being replaced, and a load follows
        self._cancel_restart()
        for worker in list(self._workers.values()):
            if not worker.ready:
                self._kill(worker)
        self._order = msgspec.structs.replace(self._order, load=self._next_load())
        self._take_on(self._order.load, zygote.send_order(self._connection, self._order), self.concurrency)

    def logged(self, line: LogLine) -> None:
        self._owner.logged(line)

    def told(self, worker: Worker, message: wire.Loaded | wire.Broken) -> None:
        """Handles a worker's messages about its load."""
        if worker.alone:
            worker.ready = isinstance(message, wire.Loaded)
            worker.failed = not worker.ready
            self._owner.isolated(worker, loaded=worker.ready)
            return
        if worker.load != self._order.load:
            return  # a later load is in progress
        if isinstance(message, wire.Broken):
            worker.failed = True
            self._owner.broken(message)
            return
        worker.ready = True
        old, self._current = self._current, worker
        self._owner.loaded(worker, message)
        if old is not None:
            old.drain()

    def stop(self) -> None:
        """Start no more workers; ask the existing ones to hand their runs over."""
        self._stopped = True
        self._cancel_restart()
        for worker in self._workers.values():
            worker.drain() if worker.ready else self._kill(worker)

    def kill(self) -> None:
        """End every process; returns when they are gone."""
        self._stopped = True
        for worker in list(self._workers.values()):
            self._kill(worker)
        self._zygote.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._zygote_pid, 0)
        orphans.kill(lambda _: False)

    def _next_load(self) -> int:
        self._loads += 1
        return self._loads

    def _take_on(self, load: int, ordered: Ordered, most: int) -> Worker:
        worker = self._workers[load] = Worker(self._loop, load, ordered, self, most)
        worker.board.offset = self.offset
        if self._paused:
            worker.pause(self._paused)
        return worker

    def _cancel_restart(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None

    def _kill(self, worker: Worker) -> None:
        worker.failed = True
        worker.gone()
        if worker.pid:
            zygote.kill_group(worker.pid)

    # --- the zygote ------------------------------------------------------------------------------------

    def _watch_zygote(self, pid: int, connection: socket.socket) -> None:
        orphans.take_in()
        self._zygote_pid = pid
        self._zygote_since = self._loop.time()
        self._connection = connection
        self._zygote = Channel(self._loop, connection, self._zygote_told, self._zygote_gone)

    def _zygote_told(self, data: bytes) -> None:
        message = _from_zygote.decode(data)
        worker = self._workers.get(message.load)
        if isinstance(message, wire.Forked):
            if worker is None:
                zygote.kill_group(message.pid)
            else:
                worker.pid = message.pid
        elif worker is not None:
            del self._workers[message.load]
            self._ended(worker, _how(message.status))

    def _zygote_gone(self) -> None:
        """The zygote was killed. Its workers have died with it, or die now."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._zygote_pid, 0)
        if self._stopped:
            return
        workers, self._workers, self._current = self._workers, {}, None
        for worker in workers.values():
            self._owner.spare(worker)
            self._kill(worker)
        orphans.kill(lambda _: False)
        self._owner.died("the process that forks the workers has died, and they with it")
        delay = 0.0 if self._loop.time() - self._zygote_since > _STABLE else 1.0
        self._cancel_restart()
        self._restart = self._loop.call_later(delay, self._revive)

    def _revive(self) -> None:
        self._watch_zygote(*zygote.spawn_zygote())
        self.reload()

    def _ended(self, worker: Worker, how: str) -> None:
        worker.last_words()
        told_apart = worker.ready and not (self._stopped or worker.failed) and self._owner.dying(worker, how)
        worker.gone()
        worker.board.close()
        if worker.alone and not (self._stopped or worker.ready):
            self._owner.isolated(worker, loaded=False)
        if worker.load == self._order.load and not (self._stopped or worker.failed or worker.ready):
            self._ended_loading(worker, how)
            return
        current = worker is self._current  # even where a later load could not be imported
        if self._stopped or worker.failed or not (current or worker.load == self._order.load):
            return
        self._current = None if current else self._current
        lived = self._loop.time() - worker.since
        self._deaths = 0 if lived > _STABLE or told_apart else self._deaths + 1  # else it dies by itself
        delay = 0.0 if self._deaths < 2 else min(0.1 * 2**self._deaths, _BACKOFF_MOST)
        self._owner.died(f"worker {worker.pid} {how}")
        self._cancel_restart()
        self._restart = self._loop.call_later(delay, self.reload)

    def _ended_loading(self, worker: Worker, how: str) -> None:
        """An import has ended the process: report it once, as an import error; retry with growing delays."""
        self._fatal += 1
        if self._fatal == 1:
            self._owner.broken(wire.Broken(_fatal(worker.loading, how), []))
        self._cancel_restart()
        delay = min(0.1 * 2**self._fatal, _BACKOFF_MOST)
        self._restart = self._loop.call_later(delay, self._load)


def _fatal(target: str, how: str) -> str:
    where = target or "the targets"
    return f"{where}: the process {how} while this was imported; fix what ends it (os._exit, a native extension)"


def _ending() -> None:
    """A worker's connection has ended, so its process does; the zygote tells how."""


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
