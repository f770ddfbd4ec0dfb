"""The registry of an executor: functions of its own code come from memory, all others from the deployed registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.model import EventSchema, FunctionSpec, WebhookSpec
from tidemill.ports import Registry


class OwnRegistry:
    """`version`: of this Lambda's code."""

    def __init__(self, registry: Registry, own: Mapping[str, FunctionSpec], version: str) -> None:
        self._registry = registry
        self._own = own
        self._version = version

    def function(self, function_id: str) -> FunctionSpec | None:
        return self._own.get(function_id) or self._registry.function(function_id)

    def functions(self) -> list[FunctionSpec]:
        return self._registry.functions()

    def listeners(self, name: str) -> list[FunctionSpec]:
        return self._registry.listeners(name)

    def version(self, function_id: str) -> str:
        return self._version if function_id in self._own else self._registry.version(function_id)

    def schemas(self, name: str) -> Mapping[str, str]:
        return self._registry.schemas(name)

    def all_schemas(self) -> list[EventSchema]:
        return self._registry.all_schemas()

    def webhook(self, name: str) -> WebhookSpec | None:
        return self._registry.webhook(name)

    def webhook_secrets(self, webhook: WebhookSpec, *, fresh: bool = False) -> Sequence[str]:
        return self._registry.webhook_secrets(webhook, fresh=fresh)
