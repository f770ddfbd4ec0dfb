"""The custom resource `Custom::TidemillFunction`: registers a stack's function, and makes its queues. (For
the schemas of events see `schemas`.)

CloudFormation asks with `RequestType` Create, Update or Delete. The physical id of the resource is the function's id:
an update that gives it another one makes CloudFormation delete the old by its old physical id, after everything else
has succeeded; a rollback deletes the new one. Every request may come twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidemill.aws.dynamo.registry import leaves, register, unregister
from tidemill.aws.dynamo.table import Table
from tidemill.model import FunctionSpec
from tidemill.sdk.name_rules import text_problem
from tidemill_lambdas.registry import schemas, webhooks
from tidemill_lambdas.registry.queues import Queues, make, queues, retire
from tidemill_lambdas.registry.refused import SAME, Refused

_ID_CHARS = 257  # an app's name, a dot and a function's id
_UNKNOWN = "none"  # the physical id of a resource that was never created

Leaving = Callable[[FunctionSpec], object]

_spec = msgspec.json.Decoder(FunctionSpec)


def handle(event: Mapping[str, Any], table: Table, now: int, leaving: Leaving = lambda _: None) -> str:
    """Carry out CloudFormation's request, and return the resource's physical id. Raises Refused.

    `leaving` is called for a function without another owner, while it is still registered.
    """
    owner = f"{_stack_name(event['StackId'])}/{event['LogicalResourceId']}"
    if event.get("ResourceType") == schemas.TYPE:
        return schemas.handle(event, table, owner)
    if event.get("ResourceType") == webhooks.TYPE:
        return webhooks.handle(event, table, owner)
    wanted = _queues(event["ResourceProperties"])
    if event["RequestType"] == "Delete":
        last = leaves(table, event["PhysicalResourceId"], owner)
        if last is not None:
            leaving(last)
        gone = unregister(table, event["PhysicalResourceId"], owner)
        if gone and wanted is not None and event["PhysicalResourceId"] != _UNKNOWN:
            retire(table.client, wanted)
        return str(event["PhysicalResourceId"])
    spec = _declared(event["ResourceProperties"])
    if wanted is not None:
        make(table.client, wanted)
    properties = event["ResourceProperties"]
    register(table, spec, owner, now, str(properties.get("Version", "")), str(properties.get("LogGroup", "")))
    return spec.id


def physical_id(event: Mapping[str, Any]) -> str:
    """The physical id of a resource that could not be created or changed: the one before."""
    return str(event.get("PhysicalResourceId") or _UNKNOWN)


def _declared(properties: Mapping[str, Any]) -> FunctionSpec:
    try:
        spec = _spec.decode(properties["Function"])
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise Refused(f"the property Function is not what a function declares ({error}): {SAME}") from None
    problem = text_problem(spec.id, "a function's id", _ID_CHARS)
    if problem is not None:
        raise Refused(problem)
    return spec


def _queues(properties: Mapping[str, Any]) -> Queues | None:
    try:
        return queues(properties)
    except msgspec.ValidationError as error:
        raise Refused(f"the property Queues is not what the constructs write ({error}): {SAME}") from None


def _stack_name(arn: str) -> str:
    """`arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>`; a stack that is created again keeps its name."""
    parts = arn.split("/")
    return parts[1] if len(parts) > 1 else arn
