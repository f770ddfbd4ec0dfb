"""Drives a run: executes its code from the top, replays the journal, and continues until it is blocked, ended or left.

Code runs again whenever its run continues. A step that the journal knows returns at once; the first unknown step is
executed and appended, and the code continues to the next. The result is a record: `Suspended` with
what every blocked step waits for, `HandedOver`, `AttemptFailed` or `Ended`. If an outsider wrote in between (an event
that the run was about to wait for), the record loses its number, and the code simply runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from tidemill import values
from tidemill.core import retry
from tidemill.core.journal import AttemptFailed, Ended
from tidemill.core.next_action import bounded
from tidemill.core.state import RunState, fold
from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.live import Leaving, Left, LiveRun
from tidemill.engine.drive.parking import Lot, park
from tidemill.engine.drive.suspend import leave
from tidemill.engine.drive.user_code import AnyFunction, Body, function_body
from tidemill.engine.runs.end import closing
from tidemill.engine.runs.load import restored
from tidemill.limits import PARK_RECORDS, SNAPSHOT_RECORDS
from tidemill.model import HeadChange
from tidemill.ports import Clock, Entropy, Keeper

if TYPE_CHECKING:
    from typing import Unpack


class Options(TypedDict, total=False):
    """How the code is run. `stopping`: asked before each step; true hands the run over.

    `threads`: whether branches run in threads (they do). `stubs`: functions that stand in for the steps with these
    ids. `snapshot_every`: so many records. `lot`: parks the code of a blocked run (see `parking`), from `park_from`
    records on. `host`: for an executor with its own process.
    """

    stopping: Callable[[], bool]
    threads: bool
    stubs: Mapping[str, Callable[..., Any]]
    snapshot_every: int
    lot: Lot | None
    park_from: int
    host: Host | None


def drive(
    function: AnyFunction, opened: Opened, keeper: Keeper, clock: Clock, entropy: Entropy, **options: Unpack[Options]
) -> None:
    """Run the code of a claimed run as far as it goes now. Blocking; never raises for what the code does,
    but whatever the keeper raised: then the claim lapses.
    """
    state, size = _state(opened, keeper)
    live = LiveRun(opened.head, opened.spec, state, keeper, clock, entropy)
    live.restored = size
    live.stopping, live.stubs = options.get("stopping", live.stopping), options.get("stubs", live.stubs)
    live.snapshot_every, live.host = options.get("snapshot_every", SNAPSHOT_RECORDS), options.get("host")
    live.say = live.host.say if live.host is not None else None
    live.head.needs_cleanup = live.head.needs_cleanup or bool(state.begun)
    lot, park_from, threads = options.get("lot"), options.get("park_from", PARK_RECORDS), options.get("threads", True)
    if lot is not None:
        live.park = lambda: live.state.seq >= park_from and park(live, lot)
    parent = opened.head.parent
    try:
        if parent is not None and parent.chunk is not None:
            from tidemill.engine.drive.map_chunk import chunk_body

            body = chunk_body(function, live, threads)
        else:
            body = function_body(function, threads)
        while not _once(live, body):  # terminates: each turn has new records, and at least their step continues
            pass
    except Left:
        pass  # another executor, or an end, took the run
    terminal = live.state.terminal
    outside = live.head.admission is not None and not isinstance(
        terminal, Ended
    )  # its place is held until this is reported
    if terminal is not None and (live.head.needs_cleanup or outside):
        live.keeper.ended(live.head, live.state.begun)  # what this executor put after the end must not stay behind
    if live.failure is not None:
        raise live.failure


def _state(opened: Opened, keeper: Keeper) -> tuple[RunState, int]:
    """The run's state, and of how many bytes its snapshot was."""
    size = 0

    def restore(run_id: str, seq: int) -> bytes | None:
        nonlocal size
        data = keeper.restore(run_id, seq)
        size = len(data or b"")
        return data

    state = restored(opened.head, opened.base, restore)
    if state is None:  # records after the claim are ignored: the next append must lose against them
        known = opened.base + len(opened.records)
        return fold(keeper.journal(opened.head.run_id)[:known]), 0
    state.add(opened.records)
    return state, size


def _once(live: LiveRun, body: Body) -> bool:
    """Run the code from the top. True: this executor has done what there was to do."""
    live.leaving = None
    live.blocked = {}
    error: BaseException | None = None
    value: Any = None
    left = False
    try:
        value = body(live)
    except Left:
        left = True
    except SystemExit as stop:
        error = RuntimeError(f"the function called sys.exit({stop.code!r})")
    except GeneratorExit:
        error = RuntimeError("the function raised GeneratorExit")
    except Exception as caught:
        error = caught
    except BaseException as caught:
        _pass_on(live, caught)
        if _leaving(live) is None or not _is_group(caught):  # a TaskGroup's: its tasks were left
            if live.host is None or not live.host.is_stray(caught):
                raise
            error = caught
    _pass_on(live, error)
    leaving = _leaving(live)
    if live.wrong is not None:
        live.leaving = None
        return _fail(live, live.wrong)
    if leaving == "superseded":
        return True
    if left or leaving is not None:  # also if the code swallowed the exception
        return leave(live)
    return _complete(live, value) if error is None else _fail(live, error)


def _pass_on(live: LiveRun, error: BaseException | None) -> None:
    if live.host is not None:
        live.host.pass_on(error)


def _is_group(error: BaseException) -> bool:
    return isinstance(error, BaseExceptionGroup)


def _leaving(live: LiveRun) -> Leaving | None:
    return live.leaving


def _complete(live: LiveRun, value: Any) -> bool:
    try:
        output = values.encode(value, "output")
    except Exception as error:  # not serializable, or the value's own code failed
        return _fail(live, error)
    return _end(live, Ended(live.clock.now(), "completed", output))


def _end(live: LiveRun, ended: Ended) -> bool:
    live.write([ended], closing(ended, live.state.seq + 1))
    return True


def _fail(live: LiveRun, error: BaseException) -> bool:
    """An error between steps: retried with backoff, unless the error says that a retry cannot help."""
    now = live.clock.now()
    failure = failure_of(error, now)
    number = live.state.attempt
    if not failure.retriable or number > live.spec.retries:
        return _end(live, Ended(now, "failed", failure=failure))
    at = retry.retry_at(live.spec.backoff, number, failure, now, live.entropy.random())
    change = HeadChange("running", bounded(live.head, at), attempt=number + 1)
    return live.offer([AttemptFailed(now, number, failure, at)], change)
