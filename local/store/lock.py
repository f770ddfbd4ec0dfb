"""Locks a data folder for one server; the kernel releases the lock when its owner dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from tidemill_local.store.errors import StoreError

_AGAIN = 0.02  # seconds


def acquire(folder: Path, patience: float) -> int:
    """Lock the folder, waiting up to `patience` seconds for an owner that was just killed. Returns the lock's
    descriptor.

    A child that is forked without exec shares the descriptor and would keep the lock: start workers by exec.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while not _taken(descriptor):
        if time.monotonic() >= deadline:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreError(
                f"the data folder {folder} is in use by another server (pid {owner or 'unknown'}): "
                "stop it, or give --data another folder"
            )
        time.sleep(_AGAIN)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
