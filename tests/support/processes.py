"""Whether processes have ended, by their ids."""

from __future__ import annotations

import os
import time
from pathlib import Path


def gone(pid: int) -> bool:
    """Ended, whether or not anybody has taken note of it."""
    try:
        os.kill(pid, 0)
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return True


def wait_until_gone(pid: int, within: float = 120) -> None:
    until = time.monotonic() + within
    while not gone(pid):
        assert time.monotonic() < until, f"process {pid} still runs after {within:g} s"
        time.sleep(0.01)
