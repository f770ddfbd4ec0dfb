"""The custom resource `Custom::TidemillFunction`: a stack's function, as the registry knows it, and its queues. (For
the schemas of events see `schemas`.)

CloudFormation asks with `RequestType` Create, Update or Delete. The physical id of the resource is the function's id:
an update that gives it another one makes CloudFormation delete the old by its old physical id, after all else has
succeeded; a deployment that is rolled back deletes the new one. Everything may be asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidemill.aws.dynamo.registry import leaves, register, unregister
from tidemill.aws.dynamo.table import Table
from tidemill.model import FunctionSpec
from tidemill.sdk.name_rules import text_problem
from tidemill_lambdas.registry import schemas
from tidemill_lambdas.registry.queues import Queues, make, queues, retire
from tidemill_lambdas.registry.refused import Refused

_ID_CHARS = 257  # an app's name, a dot and a function's id
_UNKNOWN = "none"  # the physical id of what never came into being

Leaving = Callable[[FunctionSpec], object]
_SAME = "deploy with the constructs of the same version of tidemill as the deployment that this stack joins"

_spec = msgspec.json.Decoder(FunctionSpec)


def handle(event: Mapping[str, Any], table: Table, now: int, leaving: Leaving = lambda _: None) -> str:
    """Do what CloudFormation asks. The resource's physical id. Raises Refused.

    `leaving` is told of a function that nobody will declare any more, while it is still known.
    """
    owner = f"{_stack_name(event['StackId'])}/{event['LogicalResourceId']}"
    if event.get("ResourceType") == schemas.TYPE:
        return schemas.handle(event, table, owner)
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
    """Of a resource that could not be made or changed: what it was before."""
    return str(event.get("PhysicalResourceId") or _UNKNOWN)


def _declared(properties: Mapping[str, Any]) -> FunctionSpec:
    try:
        spec = _spec.decode(properties["Function"])
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise Refused(f"the property Function is not what a function declares ({error}): {_SAME}") from None
    problem = text_problem(spec.id, "a function's id", _ID_CHARS)
    if problem is not None:
        raise Refused(problem)
    return spec


def _queues(properties: Mapping[str, Any]) -> Queues | None:
    try:
        return queues(properties)
    except msgspec.ValidationError as error:
        raise Refused(f"the property Queues is not what the constructs write ({error}): {_SAME}") from None


def _stack_name(arn: str) -> str:
    """`arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>`; a stack that is made again keeps its name."""
    parts = arn.split("/")
    return parts[1] if len(parts) > 1 else arn
