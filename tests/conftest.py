"""What holds for all tests: no clock judges them, and tests that share what is dear to make stay on one worker.

Hypothesis judges an example by its milliseconds, which on a busy machine says nothing about the code.

xdist's own groups (`xdist_group`) have no effect with pytest 9.2: it sets a node's id where pytest no longer reads it.
Folders say it as well.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadGroupScheduling

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

TOGETHER = {
    "tests/cdk/": "the synthesized templates",
    "tests/counts/": "the counted stories",
    "tests/e2e_aws/": "the emulated account",
}


def group_of(nodeid: str) -> str:
    """What the test shares; a test that shares nothing is a group of its own."""
    return next((what for folder, what in TOGETHER.items() if nodeid.startswith(folder)), nodeid)


class Together(LoadGroupScheduling):
    """Gives a worker a whole group, the largest groups first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    return Together(config, log) if config.getoption("dist") == "loadgroup" else None
