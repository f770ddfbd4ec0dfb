from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.devserver import DevServer, eventually


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[DevServer]:
    """A server that is not started yet; when the test is over no process of it may be left."""
    server = DevServer(tmp_path.resolve())
    yield server
    if hasattr(server, "process"):
        server.kill()
        try:
            eventually(lambda: not server.descendants())
        finally:
            for pid in server.descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
