"""asyncio's loop, with a word at the end of each turn."""

from __future__ import annotations

import sys
from collections.abc import Callable

if "ssl" not in sys.modules:
    # asyncio does without it where it cannot be had. It is a fifth of this server's start, and speaks to nobody here.
    sys.modules["ssl"] = None  # type: ignore[assignment]  # how the import system marks what cannot be had
    import asyncio

    del sys.modules["ssl"]
else:
    import asyncio


class TurnLoop(asyncio.SelectorEventLoop):
    """Calls `turned` when all that was ready in a turn has run, before it looks at the sockets again.

    `call_soon` would come close, for the price of one more turn (a system call, and the loop's own work) for each
    request. `_run_once` is private, but has been one turn of the loop since asyncio exists; tests hold it to that.
    """

    turned: Callable[[], None]

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # the stubs leave private methods out
        self.turned()
