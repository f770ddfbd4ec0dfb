"""Waiting for what blocks, without blocking an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any


async def in_thread(work: Callable[[], Any]) -> Any:
    """Do this in a thread of its own, which nobody waits for once it has been given up; as many as there are run."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(f"the step raised {error!r}"))

    def follow() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = work()
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: it was given up, and the code has been left
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=contextvars.copy_context().run, args=(follow,), daemon=True).start()
    return await future
