"""The registry of the dev server: the declared functions, and the names that they listen for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tidemill.model import PLATFORM, EventSchema, EventTrigger, FunctionSpec, WebhookSpec, lines_of, schemas_by_name


class LocalRegistry:
    """The functions of the current code; empty until the first load, and replaced as a whole at each reload."""

    def __init__(self) -> None:
        self._functions: dict[str, FunctionSpec] = {}
        self._exact: dict[str, list[FunctionSpec]] = {}
        self._prefixes: list[tuple[str, FunctionSpec]] = []
        self._version = ""
        self._schemas: list[EventSchema] = []
        self._by_name: dict[str, dict[str, str]] = {}
        self._webhooks: dict[str, WebhookSpec] = {}
        self._secrets: Mapping[str, str] = {}

    def replace(
        self, functions: Iterable[FunctionSpec], version: str, schemas: Iterable[EventSchema] = ()
    ) -> list[str]:
        """Replace all functions and schemas by these. Returns the ids of the new functions."""
        self._schemas = sorted(schemas)
        self._by_name = schemas_by_name(self._schemas)
        before = self._functions
        self._functions = {spec.id: spec for spec in functions}
        self._version = version
        self._exact, self._prefixes = {}, []
        for spec in self._functions.values():
            names = {trigger.name for trigger in spec.triggers if isinstance(trigger, EventTrigger)}
            for name in sorted(names):
                if name.endswith("*"):
                    self._prefixes.append((name[:-1], spec))
                else:
                    self._exact.setdefault(name, []).append(spec)
        return [function_id for function_id in self._functions if function_id not in before]

    def replace_webhooks(self, webhooks: Iterable[WebhookSpec], secrets: Mapping[str, str]) -> None:
        """Replace all webhooks by these. `secrets`: the values of the variables that they name."""
        self._webhooks = {webhook.name: webhook for webhook in webhooks}
        self._secrets = secrets

    def function(self, function_id: str) -> FunctionSpec | None:
        return self._functions.get(function_id)

    def functions(self) -> list[FunctionSpec]:
        return list(self._functions.values())

    def listeners(self, name: str) -> list[FunctionSpec]:
        exact = self._exact.get(name, [])
        if not self._prefixes:
            return exact
        platform = name.startswith(PLATFORM)
        found = {spec.id: spec for spec in exact}
        for prefix, spec in self._prefixes:
            if name.startswith(prefix) and (not platform or prefix.startswith(PLATFORM)):
                found.setdefault(spec.id, spec)
        return list(found.values())

    def version(self, function_id: str) -> str:  # noqa: ARG002  one load of the code has one version
        return self._version

    def schemas(self, name: str) -> Mapping[str, str]:
        return self._by_name.get(name, _NONE)

    def all_schemas(self) -> list[EventSchema]:
        return list(self._schemas)

    def webhook(self, name: str) -> WebhookSpec | None:
        return self._webhooks.get(name)

    def webhook_secrets(self, webhook: WebhookSpec, *, fresh: bool = False) -> Sequence[str]:  # noqa: ARG002  always
        return lines_of(self._secrets.get(webhook.secret, ""))


_NONE: Mapping[str, str] = {}
