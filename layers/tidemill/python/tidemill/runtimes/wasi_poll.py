"""WASI's `poll_oneoff` for a module without sockets: it can wait for time only, up to the step's deadline.

A subscription (48 bytes) names what the module waits for, an event (32 bytes) reports it. Standard input and output are
always ready. The layout is that of `wasi_snapshot_preview1`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import wasmtime

POLL = ("wasi_snapshot_preview1", "poll_oneoff")

_CLOCK = 0
_ABSOLUTE = 1
_REALTIME = 0
_SUCCESS, _INVALID, _FAULT = 0, 28, 21
_MOST = 1_024  # subscriptions at once


def poll_type() -> wasmtime.FuncType:
    import wasmtime

    i32 = wasmtime.ValType.i32()
    return wasmtime.FuncType([i32, i32, i32, i32], [i32])


def poller(
    left: Callable[[], float], caller: wasmtime.Caller, subscriptions: int, events: int, count: int, found: int
) -> int:
    """Wait until one of the events has come. Raises TimeoutError if that takes longer than `left` seconds."""
    import wasmtime

    memory = caller.get("memory")
    if not isinstance(memory, wasmtime.Memory) or not 0 < count <= _MOST:
        return _INVALID
    data = memory.read(caller, subscriptions & 0xFFFF_FFFF, (subscriptions & 0xFFFF_FFFF) + 48 * count)
    if len(data) < 48 * count:
        return _FAULT
    waits: list[tuple[float, int, int]] = []
    for at in range(0, 48 * count, 48):
        userdata, kind = struct.unpack_from("<QB", data, at)
        seconds = 0.0
        if kind == _CLOCK:
            clock, timeout, _, flags = struct.unpack_from("<IxxxxQQH", data, at + 16)
            seconds = timeout / 1e9
            if flags & _ABSOLUTE:
                seconds -= time.time() if clock == _REALTIME else time.monotonic()
        waits.append((max(0.0, seconds), userdata, kind))
    shortest = min(waits)[0]
    most = left()
    if shortest >= most:
        time.sleep(max(0.0, most))
        raise TimeoutError
    time.sleep(shortest)
    come = [(userdata, kind) for seconds, userdata, kind in waits if seconds <= shortest]
    for number, (userdata, kind) in enumerate(come):
        memory.write(caller, struct.pack("<QHBxxxxxQHxxxxxx", userdata, _SUCCESS, kind, 0, 0), events + 32 * number)
    memory.write(caller, struct.pack("<I", len(come)), found)
    return _SUCCESS
