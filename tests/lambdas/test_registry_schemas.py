"""The custom resource that makes schemas of events known: what it is asked, what is declared then."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest

from tidemill.aws.dynamo.registry import DynamoRegistry
from tidemill.aws.dynamo.table import Table
from tidemill_lambdas.registry import handle
from tidemill_lambdas.registry.refused import Refused
from tidemill_local.testing import moto


@pytest.fixture
def table() -> Table:
    return moto.fresh_table("schemas")


def asked(
    kind: str, v: str = "1", text: str = "{}", *, resource: str = "A", physical: str | None = None
) -> dict[str, Any]:
    packed = base64.b64encode(zlib.compress(text.encode())).decode()
    return {
        "RequestType": kind,
        "ResourceType": "Custom::TidemillSchema",
        "StackId": "arn:aws:cloudformation:eu-west-1:1:stack/shop/1",
        "LogicalResourceId": resource,
        "ResourceProperties": {"Name": "user/left", "Version": v, "Schema": packed},
        **({"PhysicalResourceId": physical} if physical else {}),
    }


def known(table: Table) -> dict[str, str]:
    return dict(DynamoRegistry(table).schemas("user/left"))


def test_a_schema_is_made_changed_and_removed(table: Table) -> None:
    physical = handle(asked("Create"), table, 5)
    assert known(table) == {"1": "{}"}
    text = '{"title":"ü"}'
    assert handle(asked("Update", text=text, physical=physical), table, 5) == physical
    assert known(table) == {"1": text}
    for _ in range(2):
        handle(asked("Delete", physical=physical), table, 5)
    assert known(table) == {}


def test_a_resource_that_comes_to_stand_for_another_version_leaves_the_old_one_when_it_is_deleted(table: Table) -> None:
    old = handle(asked("Create"), table, 5)
    new = handle(asked("Update", "2", physical=old), table, 5)
    assert new != old
    assert set(known(table)) == {"1", "2"}
    handle(asked("Delete", physical=old), table, 5)
    assert set(known(table)) == {"2"}


def test_another_schema_for_a_version_is_refused_and_nothing_changes(table: Table) -> None:
    handle(asked("Create"), table, 5)
    with pytest.raises(Refused, match=r"another schema for version '1', declared by shop/A"):
        handle(asked("Create", text='{"title":"B"}', resource="B"), table, 5)
    handle(asked("Delete", resource="B", physical="none"), table, 5)
    assert known(table) == {"1": "{}"}
    handle(asked("Create", resource="C"), table, 5)  # an equal one is one with it
    assert known(table) == {"1": "{}"}
