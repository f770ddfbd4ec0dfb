"""One line in a shared file for each thing that happens in a benched function, whatever platform runs it.

A mark is `kind key monotonic-ns pid`, appended with one write(2) to a file opened O_APPEND: no reader has to
be awake, nothing is lost when the process is killed, and it costs some 3 us, the same for everyone. Linux's
CLOCK_MONOTONIC is one clock for all processes, so the driver can subtract its own times from these.
Kinds: b the function's body began, s a step's body ran, w it woke up, e the body's last act.
"""

from __future__ import annotations

import os
import time

_FILE = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def mark(kind: str, key: str) -> None:
    os.write(_FILE, f"{kind} {key} {time.monotonic_ns()} {os.getpid()}\n".encode())
