"""Concurrency: which places a run needs before its code may run, in which order, and its position in their lines.

*One order for all runs.* A run with two limits takes its places one after the other, and keeps the first while it
waits in line for the second. That cannot deadlock, because all runs take places in the same order: limits that count
runs before limits that count steps (a run keeps those longest), limits with a key before those without (so that a
noisy user waits in that user's line, with one run in the shared one), the function's before the app's before the
account's. No run starves, because each line is served in order, and a run that has waited is not sent back to it.

*Sharing.* Two functions share a limit when its scope, its key as written, and what it counts are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tidemill.core import expression
from tidemill.core.flow import keys
from tidemill.limits import PRIORITY
from tidemill.model import Event, FunctionSpec, Place, event_fields

_SCOPES = ("function", "app", "account")


def places(spec: FunctionSpec, event: Event | None, part: bool = False) -> tuple[Place, ...]:
    """The places that a run of this function needs, in the order in which it takes them.

    `part`: the run is a chunk of a map. It executes steps, but limits that count runs count only its parent.
    """
    found: list[Place] = []
    for declared in in_order(spec):
        if part and declared["counts"] == "runs":
            continue
        key = keys.key(family(spec, declared), declared.get("key"), event)
        found.append(Place(key.text, declared["limit"], declared["counts"], key.label))
    return tuple(found)


def in_order(spec: FunctionSpec) -> list[dict[str, Any]]:
    """The function's limits in the order in which their places are taken."""
    return sorted(spec.flow.get("concurrency", ()), key=_order)


def family(spec: FunctionSpec, declared: dict[str, Any]) -> str:
    """The prefix of this limit's keys: the same for all functions that share it."""
    scope: str = declared["scope"]
    owner = spec.id if scope == "function" else spec.app if scope == "app" else ""
    return keys.family("places", scope, owner, declared.get("key") or "", declared["counts"])


def outdated(spec: FunctionSpec, places: Iterable[Place], part: bool) -> bool:
    """Whether the function now declares other limits than those of these places."""
    declared = [each for each in in_order(spec) if not (part and each["counts"] == "runs")]
    return {family(spec, each) for each in declared} != {place.key.partition("/")[0] for place in places}


def limit_now(spec: FunctionSpec | None, place: Place) -> int:
    """The limit as it is declared at present: a deploy may have changed it since the run was given its key."""
    if spec is not None:
        for declared in spec.flow.get("concurrency", ()):
            if place.key.startswith(family(spec, declared) + "/"):
                return int(declared["limit"])
    return place.limit


def rank(spec: FunctionSpec, event: Event | None, at: int) -> int:
    """A run's position in line: as if it had come `priority` seconds earlier. The lowest is the first."""
    written = spec.flow.get("priority")
    if written is None or event is None:
        return at
    seconds = expression.compile(written).number({"event": event_fields(event)})
    return at - round(max(-PRIORITY, min(PRIORITY, seconds)) * 1_000)


def reason(place: Place) -> str:
    """Why a run waits, for people."""
    what = "the only place" if place.limit == 1 else f"one of {place.limit} places"
    return f"waits for {what}" + (f" of {place.label!r}" if place.label else "") + " (concurrency)"


def _order(declared: dict[str, Any]) -> tuple[bool, bool, int, str]:
    key = declared.get("key")
    return declared["counts"] != "runs", key is None, _SCOPES.index(declared["scope"]), key or ""
