"""Loads the schemas of events: those that apps declare, and those in the folders `events/` beside the targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill.app import App
    from tidemill.model import EventSchema

FOLDER = "events"


def folders(places: Iterable[Path]) -> list[Path]:
    """The folders `events/` in these places."""
    found = [place / FOLDER for place in dict.fromkeys(places)]
    return [folder for folder in found if folder.is_dir()]


def declared(apps: Iterable[App], places: Iterable[Path]) -> tuple[list[EventSchema], list[str]]:
    """Every schema once, and the files that hold some. Raises DeclarationError with every problem."""
    found = [each for app in apps for each in app.schemas]
    files: list[str] = []
    for folder in places:
        if next(folder.rglob("*.json"), None) is None:
            continue  # imported late: many users have no schemas
        from tidemill.declare.schemas import of_folder

        read = of_folder(folder)
        files += [each.where for each in read]
        found += read
    if not found:
        return [], files
    from tidemill.declare.schemas import one_of_each

    return one_of_each(found), files
