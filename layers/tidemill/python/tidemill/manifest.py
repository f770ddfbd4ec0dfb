"""The manifest: the declarations of apps as data, for readers that do not import their code (registry, CDK, CLI)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tidemill.core.pattern import pattern
from tidemill.errors import DeclarationError
from tidemill.model import EventSchema, FunctionSpec, WebhookSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill.app import App


def specs(*apps: App) -> list[FunctionSpec]:
    """All functions of the apps, sorted by id. Raises DeclarationError if two apps have one name."""
    names: set[str] = set()
    for app in apps:
        if app.name in names:
            raise DeclarationError(f"App({app.name!r})", ["two apps have this name; give one of them another"])
        names.add(app.name)
    found = [function.spec for app in apps for function in app.functions.values()]
    return sorted(found, key=lambda spec: spec.id)


def encode(functions: Iterable[FunctionSpec]) -> bytes:
    """A JSON array with every field written out, so that its readers need not know the defaults. `pattern` says which
    events EventBridge has to bring to the function (null: none)."""
    return msgspec.json.encode([whole(spec) | {"pattern": pattern(spec.triggers)} for spec in functions])


def whole_manifest(functions: bytes, schemas: Iterable[EventSchema], webhooks: Iterable[WebhookSpec]) -> bytes:
    """The functions as `encode` gives them, with the schemas of events, and the webhooks."""
    events = [{"name": one.name, "v": one.v, "schema": msgspec.Raw(one.schema.encode())} for one in schemas]
    senders = [whole(one) for one in webhooks]
    return msgspec.json.encode({"functions": msgspec.Raw(functions), "events": events, "webhooks": senders})


def decode(data: bytes) -> list[FunctionSpec]:
    return msgspec.json.decode(data, type=list[FunctionSpec])


def whole(value: Any) -> Any:
    """One function's declaration as plain data, with every field."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        return tag | {name: whole(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [whole(one) for one in cast("tuple[object, ...]", value)]
    return value
