"""A replay up to one step, whose body runs really: a debugger stops in it. Nothing is remembered of what it does."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from tidemill.core.journal import Blocked
from tidemill.core.state import RunState
from tidemill.core.step_keys import unscoped
from tidemill.engine.drive.steps import Call


class Until:
    """`step`: its key, or its id where it stands in a branch. `ran`: whether its body has run."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.ran = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.other: str | None = None  # why the step has no body to run

    def forget(self, state: RunState) -> None:
        """The journal knows nothing of the step any more."""
        for key in [key for key in _keys(state) if self._names(key)]:
            for known in (state.done, state.tried, state.blocked, state.resolved, state.completion_order):
                known.pop(key, None)
            state.untold.discard(key)

    def call(self, key: str, step: Call | Blocked | None) -> Call | None:
        """The body to run now: the first time that the code comes to the step."""
        if self.ran or not self._names(key):
            return None
        if not isinstance(step, Call):
            self.other = "its code is not a function of this process"
            return None
        return dataclasses.replace(step, fn=self._kept(step.fn), timeout=None)

    def _names(self, key: str) -> bool:
        return self.step in (key, unscoped(key))

    def _kept(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        async def run_async(*args: Any, **kwargs: Any) -> None:
            self.ran = True
            try:
                self.value = await fn(*args, **kwargs)
            except Exception as error:
                self.error = error

        def run(*args: Any, **kwargs: Any) -> None:
            self.ran = True
            try:
                self.value = fn(*args, **kwargs)
            except Exception as error:
                self.error = error

        return run_async if inspect.iscoroutinefunction(fn) else run


def _keys(state: RunState) -> Iterable[str]:
    return {*state.done, *state.tried, *state.blocked, *state.resolved}
