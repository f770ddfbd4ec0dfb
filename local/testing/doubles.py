"""Test doubles for a step's code: stubs, and crashes of the process that runs it.

A stub replaces the code of a step, not the step: it is remembered, retried and shown like any other. A crash ends the
executor at the worst moment: the step's code has done its work, and no record of it exists.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tidemill.core.journal import Record, StepDone
from tidemill.core.step_keys import unscoped
from tidemill.engine.drive.host import ExecutorGone
from tidemill.model import Head

Raised = BaseException | type[BaseException]

_REPETITION = re.compile(r":\d+$")


def called(key: str) -> tuple[str, str]:
    """The ids that may name a step with this key: without its branch, and without `:1` if that is a repetition."""
    name = unscoped(key)
    return name, _REPETITION.sub("", name)


class Crash(ExecutorGone):
    """The process ends here. The user's `except Exception` does not catch it."""


class StubCall(NamedTuple):
    """How the code called a stubbed step."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Stub:
    """Replaces the code of a step. `calls`: its arguments, once for each attempt."""

    def __init__(
        self, returns: Any, raises: Raised | Sequence[Raised] | None, instead: Callable[..., Any] | None
    ) -> None:
        self.calls: list[StubCall] = []
        self._returns = returns
        self._always = raises if not isinstance(raises, Sequence) else None
        self._next = list(raises) if isinstance(raises, Sequence) else []
        self._instead = instead

    def __repr__(self) -> str:
        return f"<Stub called {len(self.calls)} times>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(StubCall(args, kwargs))
        if self._next:
            raise _untraced(self._next.pop(0))
        if self._always is not None:
            raise _untraced(self._always)
        return self._instead(*args, **kwargs) if self._instead is not None else self._returns


def _untraced(error: Raised) -> Raised:
    """The error without the frames of the attempts that raised it before: each would add its own."""
    return error.with_traceback(None) if isinstance(error, BaseException) else error


class Doubles:
    """All stubs and crashes of a Mill, by the step's id in the code."""

    def __init__(self) -> None:
        self.stubs: dict[str, Stub] = {}
        self.running: dict[str, int] = {}  # how many more times the process dies while the step runs
        self.after: dict[str, int] = {}  # ... and just after its result was recorded

    def of(self, head: Head, die: Callable[[], None]) -> Mapping[str, Callable[..., Any]]:
        """The doubles for one run, and how its process dies."""
        return _DoublesOf(self, head, die)

    def dies_after(self, records: Sequence[Record]) -> bool:
        """Whether the process dies after these records were written."""
        for record in records:
            if isinstance(record, StepDone) and any(self._due(self.after, name) for name in called(record.key)):
                return True
        return False

    def stub_of(self, key: str) -> Stub | None:
        return next((self.stubs[name] for name in called(key) if name in self.stubs), None)

    def code_of(self, step: str, code: Callable[..., Any], die: Callable[[], None]) -> Callable[..., Any]:
        """The code that runs instead of this step's own."""
        double: Callable[..., Any] = self.stubs.get(step, code)
        return self._mortal(step, double, die) if self.running.get(step) else double

    def _mortal(self, step: str, code: Callable[..., Any], die: Callable[[], None]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(code):

            async def mortal_async(*args: Any, **kwargs: Any) -> Any:
                result = await code(*args, **kwargs)
                if self._due(self.running, step):
                    die()
                return result

            return mortal_async

        def mortal(*args: Any, **kwargs: Any) -> Any:
            result = code(*args, **kwargs)
            if self._due(self.running, step):
                die()
            return result

        return mortal

    @staticmethod
    def _due(crashes: dict[str, int], step: str) -> bool:
        left = crashes.get(step, 0)
        if left:
            crashes[step] = left - 1
        return left > 0


class _DoublesOf(Mapping[str, "Callable[..., Any]"]):
    """The doubles of one run for the engine: by a step's id, with its own code as the default."""

    def __init__(self, doubles: Doubles, head: Head, die: Callable[[], None]) -> None:
        self._doubles = doubles
        self._die = die
        parent = head.parent
        # The steps of a map's chunks are numbers; the name of the map stands for them.
        self._step = called(parent.key)[1] if parent is not None and parent.chunk is not None else None

    def get(self, key: str, default: Any = None) -> Any:
        return self._doubles.code_of(self._step if self._step is not None else key, default, self._die)

    def __getitem__(self, key: str) -> Callable[..., Any]:
        return self._doubles.stubs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._doubles.stubs)

    def __len__(self) -> int:
        return 1  # never treated as empty: a crash is not one of its keys
