"""Every story is told twice: as it runs by itself, and with the run handed over after each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tidemill import App
from tidemill.testing import Mill


@pytest.fixture(params=["straight", "replayed"])
def serve(request: pytest.FixtureRequest) -> Callable[..., Mill]:
    def made(*apps: App, **options: Any) -> Mill:
        return Mill(*apps, replays=request.param == "replayed", **options)

    return made
