"""Finds the apps that the pytest fixture `mill` serves."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from tidemill.app import App
from tidemill_local.load.targets import configured, load
from tidemill_local.testing.mill import Mill


class FixtureMill(Mill):
    def __call__(self, *apps: App) -> FixtureMill:
        """`mill(app)`: serve these instead of the apps that were found."""
        self.close()
        self._serve(apps)
        return self


def apps_in(module: ModuleType | None) -> list[App]:
    """The apps among a module's globals, each once."""
    found = [value for value in vars(module).values() if isinstance(value, App)] if module is not None else []
    return list({id(app): app for app in found}.values())


def apps_here(folder: Path) -> list[App]:
    """The apps that `tidemill dev` serves in this folder; none without configuration."""
    return load((), folder).apps if configured(folder) != (".",) else []
