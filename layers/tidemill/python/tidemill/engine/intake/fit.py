"""The check that all doors share: what an event's data must be, by the schema of its name and version.

Every way in calls `fitting` before an event is kept or published: HTTP, webhooks, PutEvents, `app.send`,
`step.send_event` and resend. What does not fit is an EventError with each problem by its place, and what that means is
the door's own: a 400, an error of the caller, or an event that is kept as rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tidemill.errors import EventError
from tidemill.model import PLATFORM, Event
from tidemill.ports import Registry

_NAMED = 1_000  # problems in one error

Error = dict[str, Any]  # {"index", "loc", "msg"}


def fitting(registry: Registry, events: Sequence[Event]) -> list[Event]:
    """The events, each with its version where its name has schemas. Raises EventError with every problem of all."""
    fit: list[Event] = []
    errors: list[Error] = []
    for index, event in enumerate(events):
        schemas = registry.schemas(event.name) if not event.name.startswith(PLATFORM) else None
        if not schemas:
            fit.append(event)
            continue
        v = event.v if event.v is not None else _newest(schemas)
        errors += [{"index": index, **error} for error in _errors(schemas, v, event)]
        fit.append(event if event.v is not None else msgspec.structs.replace(event, v=v))
    if errors:
        raise EventError(_sentence(errors, events), errors[:_NAMED])
    return fit


def _newest(schemas: Mapping[str, str]) -> str:
    from tidemill.schemas.versions import newest  # most events have no schema

    return newest(schemas)


def _errors(schemas: Mapping[str, str], v: str, event: Event) -> Iterator[Error]:
    schema = schemas.get(v)
    if schema is None:
        yield {"loc": ("v",), "msg": f"the event {event.name!r} has no version {v!r}; there are {_listed(schemas)}"}
        return
    from tidemill.schemas.check import problems

    for place, message in problems(schema, event.data):
        yield {"loc": ("data", *place), "msg": message}


def _listed(schemas: Mapping[str, str]) -> str:
    from tidemill.schemas.versions import order

    return ", ".join(map(repr, sorted(schemas, key=order)))


def _sentence(errors: Sequence[Error], events: Sequence[Event]) -> str:
    first = errors[0]
    event = events[int(first["index"])]
    which = f"event {first['index']} ({event.name})" if len(events) > 1 else f"the event {event.name}"
    count = f" ({len(errors)} problems in all, see errors)" if len(errors) > 1 else ""
    return f"{which} does not fit its schema: {'.'.join(map(str, first['loc']))}: {first['msg']}{count}"
