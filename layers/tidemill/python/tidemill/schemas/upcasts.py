"""Older data made newer: from one version of an event's data to the next, until it is what the code declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from tidemill.errors import NonRetriableError
from tidemill.schemas.versions import order

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
Steps = Mapping[str, tuple[str, Upcast]]  # of one event's name: from which version to which, and how


def upcast(name: str, data: dict[str, Any], version: str, wanted: str, steps: Steps) -> dict[str, Any]:
    """The data as the version `wanted`. Data of that version, or of a newer one, passes as it is.

    Raises NonRetriableError where no upcast leads on: the same event would meet the same gap again.
    """
    here = version
    while order(here) < order(wanted):  # ends: each step leads to a newer version
        step = steps.get(here)
        if step is None or order(step[0]) > order(wanted):
            raise NonRetriableError(_gap(name, version, here, wanted))
        here, data = step[0], _result(step[1](data), name, here, step[0])
    return data


def check_upcast(name: str, data: dict[str, Any], version: str, schema: str) -> None:
    """Raises NonRetriableError where what the upcasts returned does not fit the schema of its version."""
    from tidemill.schemas.check import problems

    wrong = problems(schema, data)
    if wrong:
        (place, message), *others = wrong
        where = ".".join(map(str, ("data", *place)))
        more = f" ({len(wrong)} problems in all)" if others else ""
        raise NonRetriableError(
            f"what the upcasts of the event {name!r} returned does not fit version {version!r}: {where}:"
            f" {message}{more}; correct the @app.upcast that leads to {version!r}"
        )


def _gap(name: str, version: str, here: str, wanted: str) -> str:
    came = f", which was brought as far as {here!r}" if here != version else ""
    return (
        f"the event {name!r} has data of version {version!r}{came}, and the code declares {wanted!r}: write"
        f" @app.upcast({name!r}, {here!r}, {wanted!r})"
    )


def _result(given: object, name: str, was: str, to: str) -> dict[str, Any]:
    if isinstance(given, dict):
        return cast("dict[str, Any]", given)
    raise NonRetriableError(
        f"@app.upcast({name!r}, {was!r}, {to!r}) returned {type(given).__name__}, not a dict; return the event's data"
    )
