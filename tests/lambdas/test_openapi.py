"""The OpenAPI document and the handlers say the same. (Every answer in these tests is checked against it, too.)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from tidemill.limits import EVENT_ID_CHARS, EVENT_NAME_CHARS, PAGE, PAGE_MOST, REQUEST_EVENTS
from tidemill.model import RUN_STATUSES
from tidemill_lambdas import api, ingest
from tidemill_lambdas.api.about import document

if TYPE_CHECKING:
    from conftest import Caller

    from tidemill_lambdas.router import Route

DOCUMENT: dict[str, Any] = msgspec.json.decode(document())
ROUTES = (*ingest.ROUTES, *api.ROUTES)


def path_of(route: Route) -> str:
    return route.template.replace("+}", "}")


def operation_of(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = DOCUMENT["paths"][path_of(route)][route.method.lower()]
    return operation


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == {(route.method, path_of(route)) for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_parameters_are_described_as_they_are_read(route: Route) -> None:
    parameters = operation_of(route).get("parameters", [])
    in_query = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    assert in_query == set(route.query or ())
    assert in_path == {part.strip("{+}") for part in route.template.split("/") if part.startswith("{")}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_what_needs_a_key_says_so(route: Route) -> None:
    operation = operation_of(route)
    assert ("401" in operation["responses"]) == route.template.startswith(("/v1/", "/e/", "/w/"))
    assert (operation.get("security") is None) == route.template.startswith("/v1/")


def test_limits_are_those_of_the_platform() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["NewEvent"]["properties"]["name"]["maxLength"] == EVENT_NAME_CHARS
    assert schemas["NewEvent"]["properties"]["id"]["maxLength"] == EVENT_ID_CHARS
    body = DOCUMENT["paths"]["/e/{event_key}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["anyOf"][1]["maxItems"] == REQUEST_EVENTS
    (limit,) = (p for p in DOCUMENT["paths"]["/v1/runs"]["get"]["parameters"] if p["name"] == "limit")
    assert (limit["schema"]["maximum"], limit["schema"]["default"]) == (PAGE_MOST, PAGE)
    assert schemas["Run"]["properties"]["status"]["enum"] == list(RUN_STATUSES)


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name
    for reference in _references(DOCUMENT):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_operation_ids_are_unique() -> None:
    ids = [operation_of(route)["operationId"] for route in ROUTES]
    assert len(set(ids)) == len(ids)


def test_it_is_served(call: Caller) -> None:
    assert call.get("/openapi.json").json == DOCUMENT


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if "$ref" in node else []
        return found + [each for item in node.values() for each in _references(item)]
    if isinstance(node, list):
        return [each for item in node for each in _references(item)]
    return []
