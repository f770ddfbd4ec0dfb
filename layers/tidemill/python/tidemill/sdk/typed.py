"""The versions of events' data that an app's code wants, and the upcasts from older data to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tidemill.errors import DeclarationError
from tidemill.model import Event, name_matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from tidemill.schemas.upcasts import Upcast

    Steps = dict[str, tuple[str, Upcast]]


class Wanted(NamedTuple):
    """What a trigger says of the data: of the events of a name (or of many, with a `*`), by version or by model."""

    name: str
    v: str | None
    model: type[BaseModel] | None


class Typed:
    """What an app declares of its events' data. It grows while the app's modules are imported, so that it is only asked
    when a run begins."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, type[BaseModel]], str] = {}
        self._steps: dict[str, Steps] = {}
        self._schemas: dict[tuple[str, str], str] = {}  # JSON texts

    def declare(self, name: str, v: str, model: type[BaseModel], schema: str) -> None:
        self._models[name, model] = v
        self._schemas[name, v] = schema

    def upcast(self, name: str, older: str, newer: str) -> Callable[[Upcast], Upcast]:
        where = f"@app.upcast({name!r}, {older!r}, {newer!r})"
        problem = _problem(older, newer, self._steps.get(name, {}))
        if problem is not None:
            raise DeclarationError(where, [problem])

        def declares(fn: Upcast) -> Upcast:
            if not callable(fn):
                raise DeclarationError(where, [f"must stand over a function (dict) -> dict, not {fn!r}"])
            self._steps.setdefault(name, {})[older] = newer, fn
            return fn

        return declares

    def _version(self, name: str, wanted: tuple[Wanted, ...]) -> str | None:
        """The version that the code wants of an event of this name; None: it takes what comes."""
        for one in wanted:
            if name_matches(one.name, name):
                found = one.v or (self._models.get((name, one.model)) if one.model is not None else None)
                if found is not None:
                    return found
        return None

    def changes(self, name: str, version: str | None, wanted: tuple[Wanted, ...]) -> bool:
        """Whether data of this version is not what the code wants."""
        to = self._version(name, wanted) if version is not None else None
        return to is not None and to != version

    def newer(self, name: str, data: dict[str, Any], version: str | None, wanted: tuple[Wanted, ...]) -> dict[str, Any]:
        """The data as the code wants it. Raises NonRetriableError at a gap."""
        to = self.reached(name, version, wanted)
        if version is None or to is None or to == version:
            return data
        from tidemill.schemas.upcasts import check_upcast, upcast  # most data is what the code wants

        found = upcast(name, data, version, to, self._steps.get(name, {}))
        schema = self._schemas.get((name, to))
        if schema is not None:
            check_upcast(name, found, to, schema)
        return found

    def reached(self, name: str, version: str | None, wanted: tuple[Wanted, ...]) -> str | None:
        """The version that `newer` brings data of this one to."""
        to = self._version(name, wanted)
        if version is None or to is None or to == version:
            return version
        from tidemill.schemas.versions import order

        return to if order(version) < order(to) else version


class Newer(NamedTuple):
    """What some code wants of events' data, and how the app's upcasts bring them there."""

    typed: Typed
    wanted: tuple[Wanted, ...]

    def data(self, event: Event) -> dict[str, Any]:
        """Raises NonRetriableError at a gap."""
        return self.typed.newer(event.name, event.data, event.v, self.wanted)

    def version(self, event: Event) -> str | None:
        return self.typed.reached(event.name, event.v, self.wanted)


def awaited(typed: Typed | None, name: str, model: type[BaseModel] | None) -> Newer | None:
    """What code wants that awaits an event with a model; None: what comes."""
    return Newer(typed, (Wanted(name, None, model),)) if typed is not None and model is not None else None


def _problem(older: str, newer: str, steps: Steps) -> str | None:
    from tidemill.schemas.versions import order

    given: tuple[object, object] = older, newer
    if not all(type(v) is str and v for v in given):
        return "the versions must be text, such as '1' and '2'"
    if order(older) >= order(newer):
        return f"{newer!r} is not newer than {older!r}; an upcast leads from an older version to a newer one"
    if older in steps:
        return f"version {older!r} has an upcast already, to {steps[older][0]!r}; one leads on from each version"
    return None
