"""`Mill`, the class for tests: sends events, moves the clock, and shows the results."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import msgspec

from tidemill import duration, ids
from tidemill.app import App
from tidemill.engine.intake import receive
from tidemill.limits import DELAY, EVENT_NAME_CHARS
from tidemill.model import RUN_STATUSES, RunStatus
from tidemill.ports import RunQuery
from tidemill.sdk.event_view import EventView, view
from tidemill.sdk.function import Function
from tidemill.sdk.name_rules import text_problem
from tidemill.sdk.payload import passed_object, plain_events
from tidemill.values.send import plain_of
from tidemill_local.cli.meant import meant
from tidemill_local.load import events
from tidemill_local.load.targets import Targets
from tidemill_local.testing.doubles import Raised, Stub
from tidemill_local.testing.machine import EPOCH, Machine, VirtualClock
from tidemill_local.testing.run import Run
from tidemill_local.testing.sent import Sent
from tidemill_local.testing.stores import InMemory, Stores

if TYPE_CHECKING:
    from pydantic import BaseModel

_PAGE = 1_000


@dataclass(frozen=True)
class HttpAnswer:
    """The answer of the platform's handlers. `json`: the body, decoded; None if there is none."""

    status: int
    headers: dict[str, str]
    json: Any


class Mill:
    """The whole platform for some apps, in this process, on virtual time.

    `now`: when the clock starts (default 2026-01-01, a Thursday, 00:00 UTC). `seed`: of the jitter of retries.
    `replays=True`: hands the run over after every step, so that all code between steps runs as often as possible; code
    that depends on the clock or on chance fails. `backend="moto"`: on the adapters of AWS, over moto's tables, bus and
    buckets (`pip install tidemill[moto]`); delays and schedules stay on the Mill's clock.
    """

    def __init__(
        self,
        *apps: App,
        backend: str = "memory",
        now: datetime | str | None = None,
        seed: int = 0,
        replays: bool = False,
    ) -> None:
        start = EPOCH if now is None else duration.parse_time(now)
        clock = VirtualClock(start)
        stores = _stores(backend, clock)
        self._machine = Machine(stores, clock, seed, replays)
        self._apps: dict[App, Callable[[list[dict[str, Any]]], list[str]] | None] = {}
        weakref.finalize(self._machine, stores.close)
        self._serve(apps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            self.explain(error)

    def close(self) -> None:
        """Restore `app.send`. The Mill's runs and events can still be read."""
        for app, transport in self._apps.items():
            app.transport = transport
        self._apps = {}

    # Input.

    @overload
    def send(
        self,
        name: str,
        data: Mapping[str, Any] | BaseModel | None = None,
        *,
        id: str | None = None,
        user: Mapping[str, Any] | None = None,
        ts: int | datetime | None = None,
        v: str | None = None,
    ) -> Sent: ...
    @overload
    def send(self, name: Sequence[Mapping[str, Any]], /) -> Sent: ...
    def send(self, name: str | Sequence[Mapping[str, Any]], data: Any = None, **fields: Any) -> Sent:
        """Send one event, or several at once, as `app.send` does; `ts` may also be an aware datetime.

        The runs that it starts have run as far as they go when this returns. Raises EventError for an invalid event.
        """
        self._at_rest("send")
        if isinstance(name, str):
            if isinstance(fields.get("ts"), datetime):
                fields["ts"] = duration.parse_time(fields["ts"])
            events = plain_events({"name": name, "data": data, **fields})
        elif data is not None or fields:
            raise TypeError("send(name, data, ...) sends one event, send([events]) several: the fields go into each")
        else:
            events = plain_events(name)
        sent: list[str] = []
        for event in events:
            self._machine.pass_a_moment()
            if event.get("ts", 0) > self._machine.clock.now() + DELAY:
                raise ValueError(f"ts lies more than 366 days in the future: {event['ts']}; it is in milliseconds")
            sent += self._machine.take([event])
        return Sent(self._machine, sent)

    def invoke(self, function: Function[Any, Any] | str, data: Mapping[str, Any] | BaseModel | None = None) -> Run:
        """Start a function directly, whatever its triggers."""
        self._at_rest("invoke")
        function_id = self._function_id(function)
        spec = self._machine.registry.function(function_id)
        assert spec is not None
        encoded = passed_object({} if data is None else data, "data")
        self._machine.pass_a_moment()
        run_id = receive.invoke(self._machine.world, spec, encoded)
        self._machine.settle()
        return Run(self._machine, run_id)

    def signal(self, signal: str, data: Any = None) -> list[Run]:
        """Send a signal, as `POST /v1/signals` does. Returns the runs that waited for it."""
        self._at_rest("signal")
        problem = text_problem(signal, "a signal", EVENT_NAME_CHARS)
        if problem is not None:
            raise ValueError(problem)
        plain = plain_of(data, "data")
        self._machine.pass_a_moment()
        world = self._machine.world
        resolved = receive.signal(world, signal, plain, ids.ulid(world.clock.now(), world.entropy.bytes(10)))
        self._machine.settle()
        return [Run(self._machine, run_id) for run_id in resolved]

    def http(self, method: str, path: str, json: Any = None, *, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """Call the platform's HTTP API (`/e/…`, `/v1/…`) through the handlers that serve it everywhere."""
        self._at_rest("http")
        from tidemill_lambdas.keys import AnyKey
        from tidemill_local.http.handlers import Handlers
        from tidemill_local.http.payload import request_payload

        named = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
        named = {b"host": b"127.0.0.1", b"content-type": b"application/json", **named}
        body = b"" if json is None else msgspec.json.encode(json)
        self._machine.pass_a_moment()
        request = request_payload(method.encode(), path.encode(), named, body, "127.0.0.1")
        answer = Handlers(self._machine.world, AnyKey()).answer(request, "")
        self._machine.settle()
        return HttpAnswer(answer.status, answer.headers, msgspec.json.decode(answer.body) if answer.body else None)

    # Time.

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.clock.now() / 1_000, UTC)

    def advance(
        self,
        by: float | str | timedelta | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> None:
        """Let time pass: `advance("3d")`, `advance(timedelta(days=3))`, `advance(days=3, minutes=6)`.

        A number alone is seconds. Everything that is due until then happens at its own time, in order.
        """
        self._at_rest("advance")
        named = timedelta(
            weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds
        )
        ms = duration.parse(named) + (duration.parse(by) if by is not None else 0)
        self._machine.run_to(self._machine.clock.now() + ms)

    def set_time(self, when: datetime | str) -> None:
        """Let time pass until then: an aware datetime, or ISO text (no zone: UTC). It never goes back."""
        self._at_rest("set_time")
        at = duration.parse_time(when)
        if at < self._machine.clock.now():
            raise ValueError(f"it is {self.now.isoformat()} already, and time does not go back to {when}")
        self._machine.run_to(at)

    # Stubs and crashes.

    def stub(
        self,
        step: str,
        instead: Callable[..., Any] | None = None,
        *,
        returns: Any = None,
        raises: Raised | Sequence[Raised] | None = None,
    ) -> Stub:
        """Replace the code of every step with this id (`run`, `map`, `invoke`) by a value, an error, or a function.

        `raises`: an error that each attempt raises, or a list: the first attempts raise these, then `returns` is used.
        The returned stub remembers its `calls`.
        """
        stub = self._machine.doubles.stubs[step] = Stub(returns, raises, instead)
        return stub

    def crash(self, step: str | None = None, *, after: str | None = None, times: int = 1) -> None:
        """Kill the process, like `kill -9`, the next `times` that it gets there; another takes over at once.

        `crash("charge")`: the step's code has run, and its result is lost. `crash(after="charge")`: the result was
        remembered, and the code between that step and the next is cut short.
        """
        if (step is None) == (after is None):
            raise ValueError('give the step that runs when the process dies, crash("charge"), or crash(after="charge")')
        doubles = self._machine.doubles
        if step is not None:
            doubles.running[step] = times
        if after is not None:
            doubles.after[after] = times

    def reload(self, *apps: App) -> None:
        """The code has changed: serve these apps instead of all others. Open runs continue with the new code."""
        self._at_rest("reload")
        self.close()
        self._serve(apps)

    # Results.

    def sent(self, name: str | None = None) -> list[EventView]:
        """The events that code has sent (`step.send_event`, `app.send`), oldest first; of one name, or all."""
        return [view(event) for event in self._machine.bus.published.values() if name is None or event.name == name]

    def runs(self, function: Function[Any, Any] | str | None = None, *, status: RunStatus | None = None) -> list[Run]:
        """All runs, oldest first; of one function, of one status."""
        if status is not None and status not in RUN_STATUSES:
            raise ValueError(f"no run is ever {status!r}; a status is one of {', '.join(RUN_STATUSES)}")
        function_id = self._function_id(function) if function is not None else None
        found: list[Run] = []
        cursor: tuple[int, str] | None = None
        while True:
            page = self._machine.world.runs.page(RunQuery(function_id, status, limit=_PAGE, cursor=cursor))
            found += [Run(self._machine, h.run_id) for h in page if h.parent is None or h.parent.chunk is None]
            if len(page) < _PAGE:
                return found[::-1]
            cursor = (page[-1].created_at, page[-1].run_id)

    def run(self, function: Function[Any, Any] | str | None = None, *, status: RunStatus | None = None) -> Run:
        """The only run (of this function, with this status). Raises LookupError if there is not one."""
        runs = self.runs(function, status=status)
        if len(runs) != 1:
            raise LookupError(f"there are {len(runs)} such runs, not one: {runs}")
        return runs[0]

    def event(self, event_id: str) -> EventView | None:
        """An event that was received, from any sender."""
        event = self._machine.world.events.get(event_id)
        return view(event) if event is not None else None

    def explain(self, error: BaseException) -> None:
        """Add to the error of a failing test why runs have failed."""
        failed = [(run, run.error) for run in self.runs(status="failed")]
        for run, why in failed[:10]:
            if why is not None:
                error.add_note(f"{run.function_id} (run {run.id}) failed: {why}\n{why.stack}".rstrip())

    def __repr__(self) -> str:
        served = ", ".join(app.name for app in self._apps)
        return f"<Mill of {served or 'no app'} at {self.now.isoformat(timespec='milliseconds')}>"

    def _serve(self, apps: Sequence[App]) -> None:
        functions: dict[str, Function[Any, Any]] = {}
        names: set[str] = set()
        for app in apps:
            if not isinstance(app, App):  # pyright: ignore[reportUnnecessaryIsInstance]  # tests are not type-checked
                raise TypeError(f"a Mill serves apps, Mill(app), not {app!r}")
            if app.name in names:
                raise ValueError(f"two apps are named {app.name!r}; give each a name of its own")
            names.add(app.name)
            functions.update(app.functions)
        for app in apps:
            self._apps[app] = app.transport
            app.transport = self._transport
        schemas, _ = events.declared(apps, events.folders([Path.cwd()]))
        self._machine.load(functions, schemas, Targets(list(apps)).webhooks())

    def _transport(self, events: list[dict[str, Any]]) -> list[str]:
        """The transport of `app.send` while this Mill is open."""
        if not self._machine.busy:
            self._machine.pass_a_moment()
        return self._machine.take(events, by_code=True)

    def _at_rest(self, what: str) -> None:
        if self._machine.busy:
            raise RuntimeError(f"mill.{what} is for the test; the code under test has ctx.step and app.send")
        if not self._apps:
            raise RuntimeError(
                "this Mill serves no app (any more): Mill(app), or @pytest.mark.mill(app) for the fixture"
            )

    def _function_id(self, function: Function[Any, Any] | str) -> str:
        function_id = function if isinstance(function, str) else function.id
        if function_id not in self._machine.functions:
            have = ", ".join(sorted(self._machine.functions)) or "none"
            like = meant(function_id, self._machine.functions)
            raise LookupError(f"no function has the id {function_id!r}{like}; this Mill serves: {have}")
        return function_id


def _stores(backend: str, clock: VirtualClock) -> Stores:
    if backend == "memory":
        return InMemory()
    if backend == "moto":
        try:
            from tidemill_local.testing.aws import InMoto

            return InMoto(clock)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            raise ModuleNotFoundError(
                f"Mill(backend='moto') needs the package {missing!r}: pip install tidemill[moto]", name=missing
            ) from None
    raise ValueError(f"a Mill's backend is 'memory' or 'moto', not {backend!r}")
