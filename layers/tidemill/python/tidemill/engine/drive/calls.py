"""Wraps a driver for `ctx.step`: a step called in the user's own thread fails the run, not only that thread."""

from __future__ import annotations

from functools import partial
from typing import Any

from tidemill.engine.drive.replayed import branch
from tidemill.engine.drive.trace.frames import called_at
from tidemill.errors import NonRetriableError


class Calls:
    """Hands on every call; remembers the first that came from a strange thread, where nobody may see it raise."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._strayed: NonRetriableError | None = None

    def __getattr__(self, word: str) -> Any:
        if branch.get(None) is None:
            return partial(self._stray, word)
        return getattr(self._driver, word)

    def check(self) -> None:
        """The code has come to its end. Raises NonRetriableError where that end cannot be trusted."""
        if self._strayed is not None:
            raise self._strayed

    def _stray(self, word: str, *args: Any, **_: Any) -> None:
        self._strayed = self._strayed or NonRetriableError(
            f"{_named(word, args)} is called at {called_at()} in a thread that the function has started itself, where "
            "the order of steps is left to chance; steps run side by side in step.parallel, step.map or, in an async "
            "function, asyncio.gather"
        )
        raise self._strayed


def _named(word: str, args: tuple[Any, ...]) -> str:
    return f"step {args[0]!r}" if args and isinstance(args[0], str) else f"step.{word}"
