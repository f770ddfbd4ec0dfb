"""`/v1/schemas`: the schemas of events' data, by name and version."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidemill.model import EventSchema
from tidemill.schemas.versions import newest, order
from tidemill_lambdas.http import Response, respond
from tidemill_lambdas.router import Call


def page(call: Call) -> Response:
    registry, name = call.world.registry, call.query.get("name")
    found = registry.all_schemas() if name is None else _of(name, registry.schemas(name))
    by_name: dict[str, list[EventSchema]] = {}
    for one in found:
        by_name.setdefault(one.name, []).append(one)
    rows = [row for each in sorted(by_name) for row in _rows(by_name[each])]
    return respond(200, {"data": rows, "cursor": None})


def _of(name: str, schemas: Mapping[str, str]) -> list[EventSchema]:
    return [EventSchema(name, v, schema) for v, schema in schemas.items()]


def _rows(schemas: list[EventSchema]) -> list[dict[str, object]]:
    """The newest version first."""
    latest = newest(one.v for one in schemas)
    return [
        {"name": one.name, "v": one.v, "schema": msgspec.Raw(one.schema.encode()), "newest": one.v == latest}
        for one in sorted(schemas, key=lambda one: order(one.v), reverse=True)
    ]
