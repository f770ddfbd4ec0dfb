"""The arguments of `attach` as JSON, which `tidemill_local.plain` checks in a process that imports the engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from tidemill_cdk.problems import DeployError


def written(function_id: str, on: Any, options: dict[str, Any]) -> dict[str, Any]:
    """`on` as `@app.function` takes it; `options` likewise. Raises DeployError for a value that JSON cannot hold."""
    return {
        "id": function_id,
        "on": _plain(on, "on"),
        "options": {name: _plain(options[name], name) for name in options},
    }


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (list, tuple)):
        return [_plain(one, where) for one in cast("Sequence[Any]", value)]
    fields: tuple[str, ...] = getattr(value, "__struct_fields__", ())
    if fields:
        return {"$": type(value).__name__, **{name: _plain(getattr(value, name), where) for name in fields}}
    if type(value).__name__ == "Event":
        if value.model is not None:
            raise DeployError(f"attach: {where}= has a model; the handler gets plain JSON: name the event alone")
        return {"$": "Event", "name": value.name, "when": value.when}
    raise DeployError(f"attach: {where}= is of type {type(value).__name__}, which a plain handler cannot be given")
