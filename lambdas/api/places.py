"""The usage of a function's limits: places in use, runs in line, the longest wait, and the busiest keys."""

from __future__ import annotations

from typing import Any

from tidemill.core.flow import concurrency as places
from tidemill.core.view.values import time_view
from tidemill.limits import TOP_KEYS
from tidemill.model import FunctionSpec
from tidemill.ports import Usage, World


def view(world: World, spec: FunctionSpec) -> list[dict[str, Any]]:
    """One object per limit. A shared limit counts the runs of all its functions."""
    return [_limit(world, spec, declared) for declared in spec.flow.get("concurrency", ())]


def _limit(world: World, spec: FunctionSpec, declared: dict[str, Any]) -> dict[str, Any]:
    total, *keys = world.flow.usage(places.family(spec, declared), TOP_KEYS)
    return {
        "scope": declared["scope"],
        "counts": declared["counts"],
        "key": declared.get("key"),
        "limit": declared["limit"],
        **_usage(total),
        "keys": [{"value": usage.label, **_usage(usage)} for usage in keys] if declared.get("key") else [],
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {"used": usage.used, "waiting": usage.waiting, "oldest_wait": time_view(usage.oldest)}
