"""The contract of Registry's schemas, and how resources of a deployment declare them in DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from support.doubles import Clock

from tidemill.aws.dynamo.registry import DynamoRegistry
from tidemill.aws.dynamo.schemas import declare, withdraw
from tidemill.aws.dynamo.table import Table
from tidemill.limits import MINUTE
from tidemill.model import EventSchema
from tidemill.ports import Registry
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.testing import moto

Declare = Callable[[Sequence[EventSchema]], Registry]
PAID = [EventSchema("paid", v, f'{{"title":"{v}"}}') for v in ("1", "2", "ü/10")]
LEFT = EventSchema("user/left", "1", "{}")


@pytest.fixture
def table() -> Table:
    return moto.fresh_table("schemas")


@pytest.fixture(params=["local", "moto"])
def declared(request: pytest.FixtureRequest) -> Declare:
    def local(schemas: Sequence[EventSchema]) -> Registry:
        registry = LocalRegistry()
        registry.replace([], "1", schemas)
        return registry

    def deployed(schemas: Sequence[EventSchema]) -> Registry:
        table: Table = request.getfixturevalue("table")
        for name in sorted({one.name for one in schemas}):
            assert declare(table, [one for one in schemas if one.name == name], f"stack/{name}") is None
        return DynamoRegistry(table)

    return {"local": local, "moto": deployed}[request.param]


def test_schemas_are_found_by_name(declared: Declare) -> None:
    registry = declared([LEFT, *PAID])
    assert registry.schemas("paid") == {one.v: one.schema for one in PAID}
    assert registry.schemas("user/left") == {"1": "{}"}
    assert registry.schemas("other") == {}
    assert registry.all_schemas() == [*PAID, LEFT]


def test_no_schemas(declared: Declare) -> None:
    registry = declared([])
    assert registry.schemas("paid") == {}
    assert registry.all_schemas() == []


def test_what_a_resource_declares_no_longer_is_gone(table: Table) -> None:
    declare(table, PAID, "a/1")
    declare(table, PAID[1:], "a/1")
    assert list(DynamoRegistry(table).schemas("paid")) == ["2", "ü/10"]
    withdraw(table, "paid", "a/1")
    withdraw(table, "paid", "a/1")
    assert DynamoRegistry(table).all_schemas() == []


def test_equal_declarations_of_two_resources_are_one_until_both_are_gone(table: Table) -> None:
    assert declare(table, PAID[:1], "a/1") is None
    assert declare(table, PAID, "b/1") is None
    withdraw(table, "paid", "b/1")
    assert list(DynamoRegistry(table).schemas("paid")) == ["1"]
    withdraw(table, "paid", "a/1")
    assert DynamoRegistry(table).schemas("paid") == {}


def test_a_different_declaration_is_refused_and_nothing_changes(table: Table) -> None:
    declare(table, PAID[:1], "a/1")
    problem = declare(table, [PAID[1], EventSchema("paid", "1", "{}")], "b/1")
    assert problem is not None
    assert "another schema for version '1', declared by a/1" in problem
    assert DynamoRegistry(table).all_schemas() == PAID[:1]
    assert declare(table, [EventSchema("paid", "1", "{}")], "a/1") is None  # its own it may change
    assert DynamoRegistry(table).schemas("paid") == {"1": "{}"}


def test_a_process_follows_within_a_minute_and_asks_for_names_without_schemas_once_a_minute(table: Table) -> None:
    clock = Clock(0)
    registry = DynamoRegistry(table, clock)
    assert registry.schemas("paid") == {}
    declare(table, PAID, "a/1")
    calls: list[str] = []
    ask = table.client.call

    def counted(service: str, operation: str, body: object) -> object:
        calls.append(operation)
        return ask(service, operation, body)  # type: ignore[arg-type]

    table.client.call = counted  # type: ignore[method-assign,assignment]
    for _ in range(100):
        assert registry.schemas("paid") == {}
    assert calls == []
    clock.ms = MINUTE
    for _ in range(100):
        assert len(registry.schemas("paid")) == 3
        assert registry.schemas("other") == {}
    assert calls == ["GetItem", "Query"]
