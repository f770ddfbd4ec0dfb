"""`ctx`, the argument of every function: the events that started it, its ids, and `step`.

The engine makes a context for every replay. `attempt` asks the engine each time, since inside a step it is that
step's attempt. The event is parsed on first use, so that data that does not fit its model fails the run like any
other error of its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from tidemill.sdk.event_view import views
from tidemill.sdk.step import Step
from tidemill.sdk.step_async import AsyncStep

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from pydantic import BaseModel
    from typing_extensions import TypeVar

    from tidemill import model
    from tidemill.sdk.event_view import EventView, Memory
    from tidemill.sdk.typed import Newer

    S = TypeVar("S")
    D_co = TypeVar("D_co", default=dict[str, Any], covariant=True)
else:
    from typing import TypeVar

    S = TypeVar("S")
    D_co = TypeVar("D_co", covariant=True)


class _Run(Generic[S, D_co]):
    __slots__ = (
        "_attempt", "_data_type", "_events", "_logger", "_make_logger", "_memory", "_newer", "_patched", "_views",
        "function_id", "run_id", "step",
    )  # fmt: skip

    def __init__(
        self,
        events: tuple[model.Event, ...],
        *,
        run_id: str,
        function_id: str,
        attempt: Callable[[], int],
        step: S,
        logger: Callable[[], Logger],
        data_type: type[BaseModel] | None = None,
        memory: Memory | None = None,
        newer: Newer | None = None,
        patched: Callable[[str], bool],
    ) -> None:
        self._patched = patched
        self.run_id = run_id
        self.function_id = function_id
        self.step = step
        self._make_logger = logger  # imported late: most code does not need it
        self._logger: Logger | None = None
        self._attempt = attempt
        self._events = events
        self._data_type = data_type
        self._memory = memory
        self._newer = newer
        self._views: tuple[EventView[D_co], ...] | None = None

    @property
    def logger(self) -> Logger:
        """Logs each line once, however often the code is replayed."""
        if self._logger is None:
            self._logger = self._make_logger()
        return self._logger

    @property
    def event(self) -> EventView[D_co]:
        """The event that started this run; in a batch, the first one."""
        return self.events[0]

    @property
    def events(self) -> tuple[EventView[D_co], ...]:
        """All events of a batch, oldest first; without a batch, the one event."""
        if self._views is None:
            self._views = views(self._events, self._data_type, self._memory, self._newer)
        return self._views

    @property
    def attempt(self) -> int:
        """Counts from 1; inside a step, that step's."""
        return self._attempt()

    def patched(self, id: str) -> bool:
        """Whether this run goes the new way of a change of its code. Never awaited.

        False where the run remembers a step that the code has yet to come to again: it went the old way. Else True.
        The first answer for an `id` is remembered: the run gets the same one whenever it goes on.
        """
        return self._patched(id)


class Context(_Run[Step, D_co]):
    """The argument of a `def` function. `D` is the type of `ctx.event.data`: a dict, or the trigger's model."""

    __slots__ = ()


class AsyncContext(_Run[AsyncStep, D_co]):
    """The argument of an `async def` function: as `Context`, but each step is awaited."""

    __slots__ = ()
