"""`/v1/schemas`: the schemas of events' data, by name and version."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidemill.model import schemas_by_name
from tidemill.schemas.versions import order
from tidemill_lambdas.http import Response, respond
from tidemill_lambdas.router import Call


def page(call: Call) -> Response:
    registry, name = call.world.registry, call.query.get("name")
    found: Mapping[str, Mapping[str, str]] = (
        schemas_by_name(registry.all_schemas()) if name is None else {name: registry.schemas(name)}
    )
    rows = [row for each in sorted(found) for row in _rows(each, found[each])]
    return respond(200, {"data": rows, "cursor": None})


def _rows(name: str, schemas: Mapping[str, str]) -> list[dict[str, object]]:
    """The newest version first."""
    versions = sorted(schemas, key=order, reverse=True)
    return [
        {"name": name, "v": v, "schema": msgspec.Raw(schemas[v].encode()), "newest": v == versions[0]} for v in versions
    ]
