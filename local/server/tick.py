"""Group commit: whatever is written in one turn of the loop is committed together, then everybody is answered.

Nobody hears of a write before it is committed. So answers, and runs pushed to slots, are held until the end of the
turn, which comes before the loop looks at the sockets again: a busy server shares one commit among all that came in
meanwhile, an idle one commits at once.

A receiver that fails takes nobody along: it is reported and closed, and the server goes on.

If the commit fails (a full disk), nothing was written and nobody may believe it was: each held answer is told so,
HTTP by a 503, a slot by losing its connection, and its claim with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tidemill_local.store.errors import StoreError


class Receiver(Protocol):
    """A connection with answers that it holds back."""

    def flush(self) -> None: ...

    def refuse(self, reason: str) -> None:
        """What is held back is not true: nothing of this turn was written."""
        ...

    def abort(self) -> None:
        """It cannot be answered: let go of it."""
        ...


class Store(Protocol):
    def commit(self) -> None: ...

    def rollback(self) -> None: ...


class Tick:
    """One turn of the loop, again and again."""

    def __init__(
        self,
        store: Store,
        *,
        before: Callable[[], None],
        failed: Callable[[str], None],
        trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`before`: what is still to be written in this turn; `failed`: nothing of it was kept, and why."""
        self._trouble = trouble
        self._store = store
        self._before, self._failed = before, failed
        self._held: dict[Receiver, None] = {}
        self._armed = False
        self._broken: str | None = None

    def arm(self) -> None:
        """Something was, or will be, written in this turn."""
        self._armed = True

    def hold(self, receiver: Receiver) -> None:
        """Flush this receiver once the turn is committed."""
        self._held[receiver] = None
        self._armed = True

    def fail(self, error: StoreError) -> None:
        """The store could not write: nothing of this turn is kept."""
        self._broken = self._broken or str(error)
        self._armed = True

    def end(self) -> None:
        """The turn is over: commit, then answer. What comes of the answers is a turn of its own."""
        while self._armed:
            self._armed = False
            self._end()

    def _end(self) -> None:
        try:
            self._prepare()
            if self._broken is None:
                self._store.commit()
        except StoreError as error:
            self.fail(error)
        held, self._held = self._held, {}
        broken, self._broken = self._broken, None
        if broken is None:
            for receiver in held:
                self._guarded(receiver, receiver.flush)
            return
        self._store.rollback()
        for receiver in held:
            self._guarded(receiver, partial(receiver.refuse, broken))
        self._armed = False  # trying again at once would fail again
        self._failed(broken)

    def _prepare(self) -> None:
        try:
            self._before()
        except StoreError:
            raise
        except Exception as error:
            self._trouble(f"runs could not be given out: {type(error).__name__}: {error}")

    def _guarded(self, receiver: Receiver, answer: Callable[[], None]) -> None:
        try:
            answer()
        except Exception as error:
            self._trouble(f"an answer could not be given: {type(error).__name__}: {error}")
            with contextlib.suppress(Exception):
                receiver.abort()
