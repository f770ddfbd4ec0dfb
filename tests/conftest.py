"""What holds for all tests: no clock judges them, and tests that share what is dear to make stay on one worker.

Hypothesis judges an example by its milliseconds, which on a busy machine says nothing about the code.

xdist's own groups (`xdist_group`) have no effect with pytest 9.2: it sets a node's id where pytest no longer reads it.
Folders say it as well.

xdist 3.8 also waits for ever when a worker has died late: it hands the dead worker's finished units to the next one,
which has nothing to run there, says nothing, and gets nothing more.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

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

    def remove_node(self, node: WorkerController) -> str | None:
        """Others take what a dead worker has left; not the test that it died in, which would end them as well."""
        units = self.assigned_work.pop(node)
        left = [(scope, nodeid) for scope, unit in units.items() for nodeid, done in unit.items() if not done]
        if not left:
            return None
        for scope, nodeid in left[1:]:
            self.workqueue.setdefault(scope, {})[nodeid] = False
        self._reschedule_all()
        return left[0][1]

    def schedule(self) -> None:
        super().schedule()
        self._reschedule_all()  # a worker begins a test when it knows the next: a new one needs two units

    def _reschedule_all(self) -> None:
        for node in self.nodes:
            self._reschedule(node)

    def _reschedule(self, node: WorkerController) -> None:
        if node in self.registered_collections:  # a new worker that still collects is asked when it has
            super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    return Together(config, log) if config.getoption("dist") == "loadgroup" else None
