"""asyncio's loop, with a word at the end of each turn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import cast

if "ssl" not in sys.modules:
    # asyncio does without it where it cannot be had. It is a fifth of this server's start, and speaks to nobody here.
    cast("dict[str, object]", sys.modules)["ssl"] = None  # how the import system marks what cannot be had
    import asyncio

    del sys.modules["ssl"]
else:
    import asyncio

_run_once: Callable[[asyncio.SelectorEventLoop], None] = vars(asyncio.BaseEventLoop)["_run_once"]


class TurnLoop(asyncio.SelectorEventLoop):
    """Calls `turned` when all that was ready in a turn has run, before it looks at the sockets again.

    `call_soon` would come close, for the price of one more turn (a system call, and the loop's own work) for each
    request. `_run_once` is private, but has been one turn of the loop since asyncio exists; tests hold it to that.
    """

    turned: Callable[[], None]

    def _run_once(self) -> None:
        _run_once(self)
        self.turned()
