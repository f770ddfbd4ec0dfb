"""Checks limits that functions share: all of their declarations must be equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tidemill.core.flow import concurrency as places
from tidemill.model import FunctionSpec


def clashes(specs: Iterable[FunctionSpec]) -> list[tuple[str, str]]:
    """Each function whose shared limit has another number of places than an earlier one's, with an error sentence."""
    found: dict[str, tuple[FunctionSpec, dict[str, Any]]] = {}
    problems: list[tuple[str, str]] = []
    for spec in sorted(specs, key=lambda spec: spec.id):
        for declared in places.in_order(spec):
            if declared["scope"] == "function":
                continue
            other, first = found.setdefault(places.family(spec, declared), (spec, declared))
            if first["limit"] != declared["limit"]:
                problems.append((spec.id, _sentence(other, first, spec, declared)))
    return problems


def _sentence(one: FunctionSpec, first: dict[str, Any], other: FunctionSpec, declared: dict[str, Any]) -> str:
    key = f"key {declared['key']}" if declared.get("key") else "no key"
    return (
        f"concurrency: {one.id} and {other.id} share one limit of the {declared['scope']} ({key}, counts="
        f'"{declared["counts"]}"), but {one.id} gives it {first["limit"]} places and {other.id} {declared["limit"]}; '
        "declare the same limit in both, or give one of them another key"
    )
