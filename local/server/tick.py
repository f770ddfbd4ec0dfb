"""Group commit: all writes of one turn of the loop are committed together; then all answers are sent.

No answer leaves before its writes are committed. So answers, and assignments of runs to slots, are held until the end
of the turn, which comes before the loop polls the sockets again: a busy server shares one commit among many requests,
an idle one commits at once.

A receiver that fails does not affect the others: it is reported and closed, and the server continues.

If the commit fails (a full disk), nothing was written: each held HTTP answer becomes a 503, and each slot loses its
connection, and with it its claim.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tidemill_local.store.errors import StoreError


class Receiver(Protocol):
    """A connection with held answers."""

    def flush(self) -> None: ...

    def refuse(self, reason: str) -> None:
        """Discard the held answers: nothing of this turn was written."""
        ...

    def abort(self) -> None:
        """Drop the connection, which cannot be answered."""
        ...


class Store(Protocol):
    def commit(self) -> None: ...

    def rollback(self) -> None: ...


class Tick:
    """The turns of the loop."""

    def __init__(
        self,
        store: Store,
        *,
        before: Callable[[], None],
        failed: Callable[[str], None],
        trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`before`: makes the last writes of a turn; `failed`: called with the reason if nothing was committed."""
        self._trouble = trouble
        self._store = store
        self._before, self._failed = before, failed
        self._held: dict[Receiver, None] = {}
        self._armed = False
        self._broken: str | None = None

    def arm(self) -> None:
        """This turn needs a commit."""
        self._armed = True

    def hold(self, receiver: Receiver) -> None:
        """Flush this receiver after the commit."""
        self._held[receiver] = None
        self._armed = True

    def fail(self, error: StoreError) -> None:
        """The store could not write: nothing of this turn is committed."""
        self._broken = self._broken or str(error)
        self._armed = True

    def end(self) -> None:
        """End the turn: commit, then send the answers. Their consequences belong to the next turn."""
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
        self._armed = False  # an immediate retry would fail again
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
