"""asyncio's loop with a callback at the end of each turn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import cast

if "ssl" not in sys.modules:
    # asyncio works without this module. Its import is a fifth of this server's start, and the server does not use it.
    cast("dict[str, object]", sys.modules)["ssl"] = None  # the import system's mark of a missing module
    import asyncio

    del sys.modules["ssl"]
else:
    import asyncio

_run_once: Callable[[asyncio.SelectorEventLoop], None] = vars(asyncio.BaseEventLoop)["_run_once"]


class TurnLoop(asyncio.SelectorEventLoop):
    """Calls `turned` when all ready callbacks of a turn have run, before it polls the sockets again.

    `call_soon` would come close, for the price of one more turn (a system call, and the loop's own work) for each
    request. `_run_once` is private, but has been one turn of the loop since asyncio exists; tests hold it to that.
    """

    turned: Callable[[], None]

    def _run_once(self) -> None:
        _run_once(self)
        self.turned()
