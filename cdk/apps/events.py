"""The schemas of events: known to every door by the registry, and published where other teams look for them."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable

from aws_cdk import CustomResource
from aws_cdk import aws_eventschemas as eventschemas
from constructs import Construct

from tidemill.schemas import convert
from tidemill_cdk.apps.manifest import DeclaredSchema
from tidemill_cdk.bundles.assets import checks_schemas
from tidemill_cdk.problems import DeployError
from tidemill_cdk.wiring import Wiring

_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_NAME_CHARS = 300  # what EventBridge takes as a schema's name, less a digest
_ROOM = 100_000  # characters of a resource's properties that CloudFormation hands on


def declare(wiring: Wiring, schemas: Iterable[DeclaredSchema], what: str) -> None:
    """Make known what an app or a folder declares. Equal declarations are one. Raises DeployError."""
    new = [one for one in schemas if wiring.declares(one, what)]
    if not new:
        return
    if not checks_schemas(wiring.settings):
        raise DeployError(
            f"{what}: schemas of events need jsonschema-rs, which has no wheel for Lambda's Python 3.11 on arm64;"
            " set tidemill:python to 3.12 or later, or tidemill:architecture to x86_64"
        )
    problems = [problem for one in new if (problem := _problem(one)) is not None]
    if problems:
        raise DeployError(*[f"{what}: {problem}" for problem in problems])
    room = _room(wiring)
    for one in new:
        _declare(room, wiring, one)


def _problem(one: DeclaredSchema) -> str | None:
    try:
        convert.text(one.name, one.v, one.schema)
    except convert.CannotConvert as error:
        return f"version {one.v!r} of {one.name!r} cannot be published to EventBridge's schema registry: {error}"
    if len(_packed(one)) > _ROOM:
        return f"version {one.v!r} of {one.name!r} is too large a schema for CloudFormation; divide the event"
    return None


def _declare(room: Construct, wiring: Wiring, one: DeclaredSchema) -> None:
    place = Construct(room, _id(one))
    item = CustomResource(
        place,
        "Registry",
        resource_type="Custom::TidemillSchema",
        service_token=wiring.token,
        properties={"Name": one.name, "Version": one.v, "Schema": _packed(one)},
    )
    item.node.add_dependency(*wiring.after)
    registry = room.node.find_child("Published")
    published = eventschemas.CfnSchema(
        place,
        "Published",
        registry_name=_registry_name(wiring),
        type="OpenApi3",
        schema_name=_id(one),
        description=f"Version {one.v} of {one.name}"[:256],
        content=convert.text(one.name, one.v, one.schema),
    )
    published.node.add_dependency(registry)


def _room(wiring: Wiring) -> Construct:
    """One for the deployment in a stack, with a registry of its own in EventBridge."""
    found = wiring.home.node.try_find_child("EventSchemas")
    if isinstance(found, Construct):
        return found
    room = Construct(wiring.home, "EventSchemas")
    eventschemas.CfnRegistry(
        room,
        "Published",
        registry_name=_registry_name(wiring),
        description=f"The events of Tidemill {wiring.names.deployment}",
    )
    return room


def _registry_name(wiring: Wiring) -> str:
    """An imported deployment's apps publish beside it, under their stack's name: two stacks cannot own one registry."""
    imported = not wiring.after
    return f"{wiring.names.prefix}-{wiring.names.stack.stack_name}"[:64] if imported else wiring.names.prefix


def _packed(one: DeclaredSchema) -> str:
    return base64.b64encode(zlib.compress(one.schema.encode(), 9)).decode()


def _id(one: DeclaredSchema) -> str:
    """The event's name and version, as EventBridge takes names; what had to be changed is told apart by a digest."""
    wanted = f"{one.name}@{one.v}"
    plain = "".join(sign if sign in _SIGNS else "-" for sign in one.name.replace("/", "."))
    plain = f"{plain}@{''.join(sign if sign in _SIGNS else '-' for sign in one.v)}"
    if plain == wanted and len(plain) <= _NAME_CHARS:
        return plain
    return f"{plain[:_NAME_CHARS]}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
