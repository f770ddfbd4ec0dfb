"""Every story is told four times: as it runs by itself, handed over after each step, with branches in threads (which is
how functions run outside of tests), and on the adapters of AWS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tidemill.engine.drive.drive import drive
from tidemill.testing import Mill
from tidemill_local.testing import machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """moto takes a thousand times as long as SQLite: in the gate the first story of each file stands for the others."""
    told: set[str] = set()
    for item in items:
        spec = getattr(item, "callspec", None)
        if spec is not None and spec.params.get("serve") == "moto":
            if item.path.name in told:
                item.add_marker(pytest.mark.slow)
            told.add(item.path.name)


class _OneAtATime:
    """What a keeper does, as over a connection: the branches that share it ask one after the other."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            with self._lock:
                return getattr(self._keeper, name)(*args)

        return ask


def _drive_in_threads(function: Any, opened: Any, keeper: Any, *args: Any, **given: Any) -> None:
    drive(function, opened, _OneAtATime(keeper), *args, **{**given, "threads": True})


@pytest.fixture(params=["straight", "replayed", "threads", "moto"])
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mill]:
    if request.param == "threads":
        monkeypatch.setattr(machine, "drive", _drive_in_threads)
    backend = "moto" if request.param == "moto" else "memory"
    return partial(Mill, replays=request.param == "replayed", backend=backend)
