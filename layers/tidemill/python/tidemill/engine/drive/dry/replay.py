"""One dry replay: given a run's journal and its function's code, the first difference, with no effect.

The code runs from the top, over what the journal remembers. No step's body runs, nothing is appended, no store is
needed. Where the code reaches for work that the journal does not know, it stops: a run that is open goes on there.
What runs between steps is the user's own code: it does what it does, and has `seconds` to come to its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NamedTuple, NoReturn, cast

from tidemill import values
from tidemill.core.journal import Cancelled, Ended, Skipped
from tidemill.core.state import RunState
from tidemill.engine.drive.dry.difference import Difference
from tidemill.engine.drive.dry.journal import NewWork, Recorded, Remembering
from tidemill.engine.drive.dry.until import Until
from tidemill.engine.drive.dry.watch import DryWatch
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.live import Left, LiveRun
from tidemill.engine.drive.map_chunk import WHOLE_ENDED, chunk_body
from tidemill.engine.drive.trace.frames import declared_at, is_library, is_platform
from tidemill.engine.drive.user_code import AnyFunction, function_body
from tidemill.errors import JournalError
from tidemill.model import Failure, Head
from tidemill.ports import Keeper

SECONDS = 5.0


class Outcome(NamedTuple):
    """`difference`: the first; None: there is none. `goes_on`: the step with which an open run goes on, and where;
    None: the code came to its end. `reached`: how many steps the code came to. `patched`: how
    `ctx.patched` answers.
    """

    difference: Difference | None
    goes_on: tuple[str, str] | None
    reached: int
    patched: Mapping[str, bool] = {}


def replay(
    function: AnyFunction, recorded: Recorded, *, seconds: float | None = SECONDS, until: Until | None = None
) -> Outcome:
    """`seconds`: None: in this thread, however long it takes. `until`: run the body of this step, and judge nothing.

    Raises JournalError for a journal that cannot be true.
    """
    state = recorded.state()
    if until is not None:
        until.forget(state)
    parent = state.birth.parent
    part = parent is not None and parent.chunk is not None  # of a map: its items have no order
    watch = DryWatch(function.id, recorded, state, ordered=not (function.is_async or part), until=until)
    if state.first_claim is None or isinstance(state.terminal, Skipped):
        return Outcome(None, None, 0)  # its code never ran
    end = _run(function, recorded, state, watch, seconds)
    if until is None:
        _judge(function, state, watch, end)
    return Outcome(watch.difference, watch.new, watch.reached, end.patched)


class _End:
    """How the code came out of it."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.left = False
        self.patched: dict[str, bool] = {}
        self.stuck: str | None = None  # where it stood when its time was over


class _Frozen:
    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now


class _Even:
    """No lots are drawn in a replay."""

    def random(self) -> float:
        return 0.5

    def bytes(self, count: int) -> bytes:
        return bytes(count)


class _DryRun(LiveRun):
    """Appends nothing, and asks for nothing but journals."""

    def append(self, *_: Any) -> NoReturn:
        raise NewWork

    def ask(self, question: Callable[..., Any], *args: Any) -> Any:
        return question(*args)


def _run(function: AnyFunction, recorded: Recorded, state: RunState, watch: DryWatch, seconds: float | None) -> _End:
    birth = state.birth
    head = Head(recorded.run_id, function.id, "running", birth.at, None, version=birth.version, parent=birth.parent)
    last = recorded.records[-1].at if recorded.records else birth.at
    keeper = cast("Keeper", Remembering(recorded))
    live = _DryRun(head, function.spec, state, keeper, _Frozen(last), _Even())
    live.watch, live.host, live.crashes = watch, Host(deadlocks=True, judge=watch.passed), 0
    end = _End()

    def work() -> None:
        try:
            end.value = _body(function, live)(live)
        except Left:
            end.left = True
        except BaseException as error:
            end.error = error
        end.left = end.left or live.leaving is not None
        end.patched = {id: record.new for id, record in {**live.patched, **state.patched}.items()}

    if seconds is None:
        work()
    else:
        _within(seconds, work, watch, end)
    return end


def _body(function: AnyFunction, live: LiveRun) -> Callable[[LiveRun], Any]:
    parent = live.head.parent
    if parent is None or parent.chunk is None:
        return function_body(function, threads=False)
    return chunk_body(function, live, threads=False)


def _within(seconds: float, work: Callable[[], None], watch: DryWatch, end: _End) -> None:
    """Do this in a thread of its own; where it does not end in time, stop it and say where it stood."""
    thread = threading.Thread(target=work, name="tidemill-replay", daemon=True)
    thread.start()
    thread.join(seconds)
    if not thread.is_alive():
        return
    assert thread.ident is not None
    end.stuck = _stands_at(sys._current_frames().get(thread.ident), watch)  # pyright: ignore[reportPrivateUsage]
    if watch.stop is not None:
        with contextlib.suppress(RuntimeError):  # its loop has just been closed
            watch.stop()
    watch.over = True
    # Code that runs is stopped by an error out of nowhere; code that waits in C keeps its thread until it returns.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Left))


def _stands_at(frame: FrameType | None, watch: DryWatch) -> str:
    while frame is not None and (is_platform(frame) or is_library(frame.f_code.co_filename)):
        frame = frame.f_back
    if frame is None and watch.task is not None:
        from tidemill.engine.drive.aio.deadlock import stands_in

        frame = stands_in(watch.task)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def _judge(function: AnyFunction, state: RunState, watch: DryWatch, end: _End) -> None:
    """What the code came to, beside what the run did."""
    if end.stuck is not None:
        watch.found("unjudged", "an end", "comes to none in its time", place=end.stuck)
    elif isinstance(end.error, JournalError):
        watch.found("unjudged", "parts of a map", f"cannot be led to its map: {end.error}")
    elif isinstance(state.terminal, Cancelled) or _given_up(state):
        return
    elif end.left:
        _judge_left(state, watch)
    elif end.error is not None:
        _judge_error(function, state, watch, end.error)
    elif isinstance(state.terminal, Ended):
        _judge_value(function, state, watch, end.value, watch.recorded.redacted)


def _given_up(state: RunState) -> bool:
    """Whether the engine ended the run, not its code: its process died again and again, or its whole had ended."""
    ended = state.terminal
    failure = ended.failure if isinstance(ended, Ended) else None
    if failure is None or failure.step_id is not None:
        return False
    return failure.type == "Crashed" or failure.message == WHOLE_ENDED


def _judge_left(state: RunState, watch: DryWatch) -> None:
    if isinstance(state.terminal, Ended) and watch.new is not None:
        expected, found = f"the end of the run ({state.terminal.status})", f"goes on with step {watch.new[0]!r}"
        watch.found("key", expected, found, place=watch.new[1], position=state.end)


def _judge_error(function: AnyFunction, state: RunState, watch: DryWatch, error: BaseException) -> None:
    failure = failure_of(error, 0)
    found = f"raises {_named(failure)}"
    ended = state.terminal
    place = _raised_at(error) or declared_at(function.fn)
    if isinstance(ended, Ended):
        if not _same(ended.failure, failure, watch.recorded.redacted):
            watch.found("raises", _end_of(ended), found, place=place, position=state.end)
    elif (missed := watch.left_out()) is not None:
        watch.found("raises", f"step {missed.key!r}", found, step=missed.key, step_kind=missed.kind, place=place)


def _judge_value(function: AnyFunction, state: RunState, watch: DryWatch, value: Any, redacted: bool) -> None:
    ended = state.terminal
    assert isinstance(ended, Ended)
    place = declared_at(function.fn)
    try:
        output = values.encode(value, "output")
    except Exception as error:
        watch.found("raises", _end_of(ended), f"returns what no run can: {error}", place=place, position=state.end)
        return
    if ended.value != output and (ended.value is None or not _alike(ended.value, output, redacted)):
        found = f"returns {_shown(output)}"
        watch.found("value", _end_of(ended), found, place=place, position=state.end)


def _alike(was: bytes, now: bytes, redacted: bool) -> bool:
    before, after = values.plain(was), values.plain(now)
    return bool(before == after) or (redacted and _without_text(before) == _without_text(after))


def _without_text(value: Any) -> Any:
    """Placeholders stand for the text of a redacted run: what the code makes of them is another text."""
    if isinstance(value, str):
        return ""
    if isinstance(value, list):
        return [_without_text(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return sorted(repr(_without_text(each)) for each in cast("dict[str, Any]", value).values())
    return value


def _same(was: Failure | None, now: Failure, redacted: bool) -> bool:
    return was is not None and was.type == now.type and (redacted or was.message == now.message)


def _end_of(ended: Ended) -> str:
    if ended.failure is not None:
        return f"the error {_named(ended.failure)}"
    return f"the output {_shown(ended.value)}"


def _named(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}"[:_SHOWN]


def _shown(value: bytes | None) -> str:
    text = repr(values.plain(value)) if value is not None else "None"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _raised_at(error: BaseException) -> str:
    """The user's own last line on the way of an error."""
    trace, at = error.__traceback__, ""
    while trace is not None:
        if not (is_platform(trace.tb_frame) or is_library(trace.tb_frame.f_code.co_filename)):
            at = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return at


_SHOWN = 200
