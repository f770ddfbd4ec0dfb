"""The pytest plugin that comes with the package: the fixture `mill`.

Everything is imported when a test asks for the fixture, so that other test runs pay nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tidemill.testing import Mill


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mill(*apps, **options): what the fixture `mill` serves: Mill(*apps, **options)")


@pytest.fixture
def mill(request: pytest.FixtureRequest) -> Iterator[Mill]:
    """A `tidemill.testing.Mill` for the test's apps.

    The apps are those of `@pytest.mark.mill(app)`; else those that the test's module defines or imports; else those
    that `tidemill dev` would serve here.
    """
    from tidemill_local.testing.fixture import FixtureMill, apps_here, apps_in

    mark = request.node.get_closest_marker("mill")
    apps = mark.args if mark is not None else ()
    options: dict[str, Any] = mark.kwargs if mark is not None else {}
    apps = apps or apps_in(getattr(request, "module", None)) or apps_here(request.config.rootpath)
    with FixtureMill(*apps, **options) as made:
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """A failing test also says why its runs have failed."""
    outcome = yield
    testing = sys.modules.get("tidemill_local.testing")
    if testing is not None and outcome.excinfo is not None:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, testing.Mill):
                value.explain(outcome.excinfo[1])
