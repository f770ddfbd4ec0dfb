"""Every story is told three times: as it runs by itself, handed over after each step, and with branches in threads.

The third is how functions run outside of tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tidemill.execute.code import drive
from tidemill.testing import Mill
from tidemill_local.testing import machine


@pytest.fixture(params=["straight", "replayed", "threads"])
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mill]:
    if request.param == "threads":
        monkeypatch.setattr(machine, "drive", lambda *args, **given: drive(*args, **{**given, "threads": True}))
    return partial(Mill, replays=request.param == "replayed")
